"""Who changes a field of a row names that field in an audit event, with what it was before and what it is now."""

import typing
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

import paasd.model
from paasd.model import AuditChain, AuditEvent
from paasd.state import Database, InlineRunner, Operation, Record, open_database
from paasd.state.records import table_of
from tests.model.cases import CASES
from tests.model.cases.changing import VARIANTS
from tests.model.cases.register import Prepare
from tests.model.seeding import Seed
from tests.model.test_every_change_is_audited import INTERNAL

TOLD_OTHERWISE: Final[dict[str, str]] = {
    "App.environment": "one sealed text; the event names the variables that were set",
    "Domain.deleting": "what a delete-request event is",
    "Job.errors": "how a client waits; what failed has an event",
    "Job.state": "how a client waits; what came of it has an event",
    "JoinToken.used_by": "the event of the node that joined names its token",
    "JoinToken.uses_left": "as above",
    "Organization.deleting": "what a delete-request event is",
    "SecondFactor.confirmed": "what its event is",
    "SecondFactor.last_step": "what keeps a code from counting twice; the sign-in has an event",
    "SecondFactor.recovery_hashes": "secrets; that they are others now is what the event is",
    "SecurityGroup.running_default": "as globally_enabled, which is how Cloud Foundry calls it",
    "SecurityGroup.staging_default": "as globally_enabled",
    "Setting.value": "each means something else and may be secret; the event says what",
    "Space.deleting": "what a delete-request event is, that of its organization too",
    "User.not_before": "the end of all sessions, with whatever ended them",
    "User.registered": "that Cloud Controller knows of somebody who has an account: with a role, as its event tells",
    "User.password_hash": "a secret; that it is another now is what the event is",
    "VariableGroup.variables": "one sealed text; the event names the variables that were set and removed",
}
NEIGHBOURS: Final = {"Buildpack.position"}
"""Others move up or down; the event tells the position of the one that came or went."""
STAMPS: Final = ("created_at", "updated_at", "state_changed_at")
WALKED: Final = {
    **{name: case for name, case in CASES.items() if name not in INTERNAL},
    **{f"{operation.name}-{number}": (operation, prepare) for number, (operation, prepare) in enumerate(VARIANTS)},
}
ROWS: Final[list[type[Record]]] = [
    record
    for record in (getattr(paasd.model, name) for name in paasd.model.__all__)
    if isinstance(record, type) and issubclass(record, Record) and record not in (AuditEvent, AuditChain)
]


@pytest.mark.parametrize("name", sorted(WALKED))
async def test_its_events_name_what_it_changes(name: str, tmp_path: Path) -> None:
    changed, told = await walk(*WALKED[name], tmp_path)
    untold = {field for field in changed if field.partition(".")[2] not in told} - TOLD_OTHERWISE.keys()
    if name in ("buildpack.create", "buildpack.delete"):
        untold -= NEIGHBOURS
    assert untold == set(), "give difference(before, after) to its event, or the reason why it is told otherwise"


async def test_every_argument_of_an_update_is_walked(tmp_path: Path) -> None:
    changed: dict[str, set[str]] = {}
    wanted: dict[str, set[str]] = {}
    for number, (operation, prepare) in enumerate(WALKED.values()):
        if operation.name.rpartition(".")[2] in ("update", "scale", "set"):
            arguments = {field.name for field in msgspec.structs.fields(arguments_of(operation)) if not field.required}
            wanted[operation.name] = arguments - NOT_FIELDS
            found, _ = await walk(operation, prepare, tmp_path / str(number))
            changed.setdefault(operation.name, set()).update(field.partition(".")[2] for field in found)
    missing = {name: fields - changed[name] for name, fields in wanted.items()}
    assert {name: fields for name, fields in missing.items() if fields} == {}, "see tests/model/cases/changing.py"


NOT_FIELDS: Final = {"metadata", "actor", "sizes", "removed"}


async def walk(operation: Operation[Any, Any], prepare: Prepare, folder: Path) -> tuple[set[str], set[str]]:
    """The fields that differ in rows that were there before, as Table.field, and the names that its events tell."""
    async with open_database(folder, runner=InlineRunner(), sync=False) as database:
        arguments = await prepare(Seed(database))
        before, known = rows(database), events(database).keys()
        await database.write(operation, arguments)
        after = rows(database)
        changed = {
            f"{table}.{field.name}"
            for table, key in before.keys() & after.keys()
            for field in msgspec.structs.fields(type(before[table, key]))
            if getattr(before[table, key], field.name) != getattr(after[table, key], field.name)
            and field.name not in STAMPS
        }
        told = set().union(*(names(event.data) for guid, event in events(database).items() if guid not in known))
        return changed, told


def arguments_of(operation: Operation[Any, Any]) -> type[msgspec.Struct]:
    """The struct that its function takes."""
    found: type[msgspec.Struct] = typing.get_type_hints(operation.function)["args"]
    return found


def rows(database: Database) -> dict[tuple[str, tuple[Any, ...]], Record]:
    with database.read() as tx:
        return {
            (record.__name__, tuple(getattr(row, name) for name in table_of(record).key)): row
            for record in ROWS
            for row in tx.all(record)
        }


def events(database: Database) -> dict[str, AuditEvent]:
    with database.read() as tx:
        return {event.guid: event for event in tx.all(AuditEvent)}


def names(data: Any, name: str = "") -> set[str]:
    """What has a before or an after: `{"before": {NAME: ...}}` or `{NAME: {"before": ...}}`, wherever it stands."""
    if not isinstance(data, dict):
        return set()
    found = set().union(*(names(value, key) for key, value in data.items()))
    for side in (data[key] for key in ("before", "after") if key in data):
        found |= set(side) if isinstance(side, dict) else {name}
    return found
