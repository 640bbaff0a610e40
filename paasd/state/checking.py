"""Checks for tests: that an operation stands what an ordered log may do to it, and that databases hold the same."""

import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import msgspec

from paasd.errors import PaasdError
from paasd.state.engine import Database, InlineRunner, open_database
from paasd.state.engine.connection import open_reader
from paasd.state.engine.schema import NOT_REPLICATED
from paasd.state.log import Faults, MemoryLog
from paasd.state.log.entries import Migration
from paasd.state.operations import Operation
from paasd.state.query import quote
from paasd.state.records import Record, table_of

A = TypeVar("A", bound=msgspec.Struct)
R = TypeVar("R")
Prepare = Callable[[Database], Awaitable[A]]

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
_COLUMNS = 'SELECT name, type, "notnull", pk FROM pragma_table_info(?)'

HOSTILE = Faults(lose_request=0.2, lose_answer=0.2, late_request=0.2, stranger=0.3)


def contents(path: Path) -> dict[str, list[Any]]:
    """Every row of every replicated table of a state.db, sorted; equal for databases that hold the same."""
    reader = open_reader(path)
    try:
        names = [str(row[0]) for row in reader.execute(_TABLES)]
        return {
            name: sorted(reader.execute(f"SELECT * FROM {quote(name)}").fetchall(), key=repr)
            for name in sorted(names)
            if name not in NOT_REPLICATED
        }
    finally:
        reader.close()


def table_mismatches(path: Path, records: Sequence[type[Record]]) -> list[str]:
    """How record classes and the tables of a state.db differ: columns, types, NOT NULL, key; empty when they fit."""
    reader = open_reader(path)
    try:
        found: list[str] = []
        for cls in records:
            table = table_of(cls)
            wanted = {c.name: (c.kind, not c.nullable) for c in table.columns.values()}
            rows = reader.execute(_COLUMNS, (table.name,)).fetchall()
            actual = {str(name): (kind, bool(required or pk)) for name, kind, required, pk in rows}
            found += [
                f"{table.name}.{name}: record {wanted.get(name)}, table {actual.get(name)}"
                for name in sorted(wanted.keys() | actual.keys())
                if wanted.get(name) != actual.get(name)
            ]
            key = tuple(str(row[0]) for row in sorted(rows, key=lambda row: str(row[3])) if row[3])
            if key != table.key:
                found.append(f"{table.name}: the record has the key {table.key}, the table {key}")
        return found
    finally:
        reader.close()


async def check_operation_is_repeatable(
    operation: Operation[A, R],
    prepare: Prepare[A],
    directory: Path,
    *,
    seed: int = 0,
    migrations: Sequence[Migration] | None = None,
) -> R:
    """Run an operation on a log that refuses, loses and delays, and assert that it took effect exactly once.

    `prepare(database)` writes what the operation needs and returns its arguments. The result is returned; a PaasdError
    that the operation raises is raised, after it was seen to change nothing. Raises AssertionError with the seed.
    """
    folder = Path(tempfile.mkdtemp(dir=directory))
    async with _open(folder / "control", MemoryLog(seed), seed, migrations) as control:
        control_arguments = await prepare(control)
        expected_error: type[PaasdError] | None = None
        try:
            await control.write(operation, control_arguments)
        except PaasdError as error:
            expected_error = type(error)
        expected = _counts(control.path)

    log = MemoryLog(seed)
    async with (
        _open(folder / "one", log, seed, migrations) as one,
        _open(folder / "two", log, seed + 1, migrations) as two,
    ):
        arguments = await prepare(one)
        before, packed = contents(one.path), operation.encode_arguments(arguments)
        counted, runs = _counting(operation)
        log.plan("stranger", "lose_answer", "late_request", "stranger", "lose_request")
        request_id = f"repeatable-{seed}"
        try:
            result = await one.write(counted, arguments, request_id=request_id)
        except PaasdError as error:
            assert type(error) is expected_error, f"seed {seed}: {error!r}, alone {expected_error}"
            assert contents(one.path) == before, f"seed {seed}: {operation} failed and changed something"
            raise
        assert expected_error is None, f"seed {seed}: alone {operation} raised {expected_error}"
        assert len(runs) > 1, f"seed {seed}: {operation} was never repeated, so nothing was checked"
        log.faults = HOSTILE
        again = await two.write(operation, operation.decode_arguments(packed), request_id=request_id)
        assert again == result, f"seed {seed}: the stored result is {again!r}, the first was {result!r}"
        assert operation.encode_arguments(arguments) == packed, f"seed {seed}: {operation} changed its arguments"
        log.faults = Faults()
        await one.catch_up()
        await two.catch_up()
        assert contents(one.path) == contents(two.path), f"seed {seed}: two databases differ after {operation}"
        counts = _counts(one.path)
        assert counts == expected, f"seed {seed}: rows {counts} after repeats, {expected} after running once"
    return result


def _open(
    folder: Path, log: MemoryLog, seed: int, migrations: Sequence[Migration] | None
) -> AbstractAsyncContextManager[Database]:
    return open_database(
        folder,
        log=log.client(),
        migrations=migrations,
        node=folder.name,
        random=Random(seed),
        runner=InlineRunner(),
        sync=False,
    )


def _counts(path: Path) -> Mapping[str, int]:
    return {table: len(rows) for table, rows in contents(path).items()}


def _counting(operation: Operation[A, R]) -> tuple[Operation[A, R], list[None]]:
    runs: list[None] = []

    def function(tx: Any, arguments: A) -> R:
        runs.append(None)
        return operation.function(tx, arguments)

    counted = Operation(operation.name, operation.version, operation.function)
    counted.function = function
    counted.result_decoder = operation.result_decoder
    return counted, runs
