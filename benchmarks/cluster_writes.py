"""Latency of writes with one and three voters, beside bare etcd puts of the same size in the same run, turn by turn.

    python -m benchmarks.cluster_writes [--directory DIR] [--rounds N]

All members, databases and clients are on this machine and share its disk. A write is `Database.write` of one row of
about 220 bytes with a unique name; a bare put is one key of 300 bytes through the same client. `led` is the node whose
member leads, `followed` another one. A read is `fresh()`: the log is asked what is newest. The budget is p50 <= 5 ms
for a write with three voters.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import trio

from benchmarks.state import TABLE, AddSample, add_sample, percentile
from paasd.config import StateConfig
from paasd.etcd import Client
from paasd.etcd import messages as m
from paasd.state import Database, open_database
from paasd.state.log.entries import Migration
from tests.etcd.members import Village, found_client, log_of

PUT_BYTES = 300
PER_ROUND = 20
Samples = dict[str, list[float]]


async def put(client: Client, names: Any) -> None:
    request = m.TxnRequest(
        success=[m.RequestOp(request_put=m.PutRequest(key=f"/bare/{next(names)}".encode(), value=bytes(PUT_BYTES)))]
    )
    await client.txn(request)


async def write(database: Database, names: Any) -> None:
    await database.write(add_sample, AddSample(f"n{next(names)}"))


async def fresh(database: Database) -> None:
    assert await database.fresh()


async def timed(samples: list[float], call: Callable[[], Awaitable[None]]) -> None:
    began = time.perf_counter()
    await call()
    samples.append(time.perf_counter() - began)


async def throughput(call: Callable[[], Awaitable[None]], clients: int, seconds: float = 3.0) -> float:
    """Calls per second of so many clients at once."""
    done = 0

    async def client() -> None:
        nonlocal done
        while True:
            await call()
            done += 1

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(clients):
                nursery.start_soon(client)
    return done / seconds


async def measure(directory: Path, voters: int, rounds: int) -> None:
    found = Village(directory / f"{voters}", voters)
    names = iter(range(10**9))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(found.stop)
        await found.start()
        enter = stack.enter_async_context
        first = await enter(found_client(found))
        await found.until_ready(first)
        lead = (await first.status()).leader
        leader = next(int(member.name[1:]) for member in await first.members() if lead == member.ID)
        places = {"led": leader, "followed": (leader + 1) % voters} if voters > 1 else {"": 0}
        calls: dict[str, Callable[[], Awaitable[None]]] = {}
        for name, number in places.items():
            bare = await enter(found_client(found, number))
            log = await enter(log_of(found, "benchmark", number))
            database = await enter(
                open_database(
                    directory / f"{voters}-{number}",
                    StateConfig(snapshot_interval_s=0),
                    log=log,
                    migrations=[Migration(1, "samples", TABLE)],
                    random=random.Random(number),
                )
            )
            calls[f"bare put {name}"] = partial(put, bare, names)
            calls[f"write {name}"] = partial(write, database, names)
            calls[f"fresh read {name}"] = partial(fresh, database)
        samples = await interleaved(calls, rounds)
        show(voters, samples, places)
        for name in places:
            rates = [f"x{n} {await throughput(calls[f'write {name}'], n):.0f}/s" for n in (1, 8, 32)]
            print(f"  writes {name:<10} {'  '.join(rates)}")


async def interleaved(calls: dict[str, Callable[[], Awaitable[None]]], rounds: int) -> Samples:
    samples: Samples = {name: [] for name in calls}
    for number in range(rounds + 1):
        order = list(calls)
        random.shuffle(order)
        for name in order:
            for _ in range(PER_ROUND):
                await timed(samples[name] if number else [], calls[name])  # the first round warms up
    return samples


def show(voters: int, samples: Samples, places: dict[str, int]) -> None:
    print(f"{voters} voter{'s' if voters > 1 else ''}, {len(next(iter(samples.values())))} of each")
    for place in places:
        bare = statistics.median(samples[f"bare put {place}"])
        for what in ("bare put", "write", "fresh read"):
            found = samples[f"{what} {place}"]
            p50, p99 = percentile(found, 0.5) * 1000, percentile(found, 0.99) * 1000
            budget = "  budget 5 ms" if what == "write" and voters > 1 else ""
            ratio = p50 / bare / 1000
            print(f"  {what:<11} {place:<9} p50 {p50:6.2f} ms  p99 {p99:6.2f} ms  {ratio:5.2f} x bare{budget}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(dir=options.directory))
    try:
        for voters in (1, 3):
            trio.run(measure, directory, voters, options.rounds)
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
