"""Latency of writes and local reads, beside bare apsw doing the same work in the same run, turn by turn.

    python benchmarks/state.py [--directory DIR] [--rounds N]

A write is one row of about 220 bytes with a unique name. Bare apsw commits the same row with synchronous=FULL and
without threads: what the disk and SQLite cost alone. It reads the same key as we do, from its own copy of the table.
The budget is p50 <= 2 ms for a write and <= 10 us for a read by key.
"""

import argparse
import gc
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import msgspec
import trio

from paasd.config import StateConfig
from paasd.state import Database, Record, Tx, open_database, operation
from paasd.state.log.entries import Migration

TABLE = """CREATE TABLE samples (
    guid TEXT PRIMARY KEY NOT NULL, created_at TEXT NOT NULL, name TEXT NOT NULL UNIQUE, text TEXT NOT NULL
) STRICT"""
INSERT = "INSERT INTO samples VALUES (?, ?, ?, ?)"
SELECT = "SELECT guid, created_at, name, text FROM samples WHERE guid = ?"
TEXT = "x" * 120


class Sample(Record, table="samples"):
    guid: str = ""
    created_at: str = ""
    name: str
    text: str


class AddSample(msgspec.Struct):
    name: str


@operation("benchmark.add_sample")
def add_sample(tx: Tx, arguments: AddSample) -> str:
    return tx.insert(Sample(name=arguments.name, text=TEXT)).guid


class Bare:
    """The same rows by apsw alone."""

    def __init__(self, path: Path) -> None:
        self.connection = apsw.Connection(str(path))
        for text in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", TABLE):
            self.connection.execute(text).fetchall()

    def write(self, name: str) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute(INSERT, (f"{random.getrandbits(128):032x}", "2026-01-01T00:00:00Z", name, TEXT))
        self.connection.execute("COMMIT")

    def copy_row(self, guid: str) -> None:
        self.connection.execute(INSERT, (guid, "2026-01-01T00:00:00Z", guid, TEXT))

    def read(self, guid: str) -> object:
        return self.connection.execute(SELECT, (guid,)).fetchall()


def percentile(samples: list[float], share: float) -> float:
    return sorted(samples)[min(int(len(samples) * share), len(samples) - 1)]


def report(what: str, samples: list[float], unit: str, scale: float, beside: list[float] | None = None) -> None:
    p50, p99 = percentile(samples, 0.5) * scale, percentile(samples, 0.99) * scale
    line = f"{what:<34} p50 {p50:8.2f} {unit}  p99 {p99:8.2f} {unit}"
    if beside:
        line += f"  {p50 / (percentile(beside, 0.5) * scale):5.2f} x bare apsw"
    print(line)


async def timed(samples: list[float], function: Callable[[], Awaitable[object]]) -> None:
    start = time.perf_counter()
    await function()
    samples.append(time.perf_counter() - start)


async def measure_sequential(database: Database, bare: Bare, rounds: int, label: str) -> str:
    ours: list[float] = []
    theirs: list[float] = []
    guid = ""
    for number in range(rounds):
        start = time.perf_counter()
        guid = await database.write(add_sample, AddSample(f"{label} {number}"))
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        bare.write(f"{label} {number}")
        theirs.append(time.perf_counter() - start)
    report(f"write, bare apsw{label}", theirs, "ms", 1e3)
    report(f"write, one client{label}", ours, "ms", 1e3, theirs)
    print(f"{'':<34} {1 / statistics.mean(ours):8.0f} writes/s; bare apsw {1 / statistics.mean(theirs):.0f}")
    return guid


async def measure_concurrent(database: Database, clients: int, rounds: int) -> None:
    samples: list[float] = []
    start_index, start = database.index, time.perf_counter()

    async def client(number: int) -> None:
        for turn in range(rounds):
            name = f"{clients} clients, {number}, {turn}"
            await timed(samples, lambda: database.write(add_sample, AddSample(name)))  # noqa: B023

    async with trio.open_nursery() as nursery:
        for number in range(clients):
            nursery.start_soon(client, number)
    elapsed = time.perf_counter() - start
    report(f"write, {clients} clients", samples, "ms", 1e3)
    entries = database.index - start_index
    print(f"{'':<34} {len(samples) / elapsed:8.0f} writes/s, {len(samples) / entries:.1f} to an entry")


def measure_reads(database: Database, bare: Bare, guid: str, rounds: int) -> None:
    ours: list[float] = []
    theirs: list[float] = []
    many = 100
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(many):
            with database.read() as tx:
                tx.get(Sample, guid)
        ours.append((time.perf_counter() - start) / many)
        start = time.perf_counter()
        for _ in range(many):
            bare.read(guid)
        theirs.append((time.perf_counter() - start) / many)
    report("read by key, bare apsw", theirs, "us", 1e6)
    report("read by key, snapshot and record", ours, "us", 1e6, theirs)
    inside: list[float] = []
    for _ in range(rounds):
        with database.read() as tx:
            start = time.perf_counter()
            for _ in range(many):
                tx.get(Sample, guid)
            inside.append((time.perf_counter() - start) / many)
    report("read by key, inside one snapshot", inside, "us", 1e6, theirs)


async def main(directory: Path, rounds: int) -> None:
    migrations = [Migration(1, "samples", TABLE)]
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        bare = Bare(Path(folder) / "bare.db")
        config = StateConfig(snapshot_interval_s=0)
        async with open_database(Path(folder) / "paasd", config, migrations=migrations) as database:
            await measure_sequential(database, bare, max(rounds // 10, 10), " (warming up)")
            guid = await measure_sequential(database, bare, rounds, "")
            for clients in (8, 32):
                await measure_concurrent(database, clients, rounds // 4)
            bare.copy_row(guid)
            gc.collect()
            measure_reads(database, bare, guid, max(rounds // 4, 10))
        bare.connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="on the disk to be measured")
    parser.add_argument("--rounds", type=int, default=2000)
    options = parser.parse_args()
    trio.run(main, options.directory, options.rounds)
