"""Containers up and down, twice: start times, memory of each, and that nothing is left on the host.

    sudo .venv/bin/python benchmarks/sandbox_start.py [--count 60] [--at-once 4]

Each container has its own quota disk, network and cgroups; two layer images are shared by all of them. The peer in the
same run is unshare(1) with the same kinds of namespaces and nothing in them. Budget: 20 ms for create and start
together, 5 MB; on a busy machine look at the least and at the ratio.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import trio

from paasd.config import SandboxConfig
from paasd.sandbox import (
    Container,
    ContainerSpec,
    Inventory,
    Limits,
    ProcessSpec,
    Sandbox,
    node_prefix,
    open_sandbox,
    take_inventory,
)
from paasd.sandbox.inventory import processes_of

MIB = 1024 * 1024
LIMITS = Limits(memory_bytes=64 * MIB, disk_bytes=64 * MIB, inodes=2000, pids=32)
Times = dict[str, list[float]]


def make_layer(directory: Path, name: str) -> Path:
    tree = directory / f"{name}.d" / "home/vcap/app"
    tree.mkdir(parents=True)
    (tree / name).write_text(name * 1000)
    image = directory / f"{name}.sqfs"
    subprocess.run(["mksquashfs", str(directory / f"{name}.d"), str(image), "-quiet", "-no-progress"], check=True)
    return image


async def up(sandbox: Sandbox, guid: str, layers: tuple[Path, ...], times: Times) -> None:
    began = time.perf_counter()
    container = await sandbox.create(ContainerSpec(guid=guid, layers=layers, limits=LIMITS))
    made = time.perf_counter()
    await container.start(ProcessSpec(argv=("/bin/sleep", "1000")))
    times["create"].append(made - began)
    times["start"].append(time.perf_counter() - made)


async def down(container: Container, times: Times) -> None:
    began = time.perf_counter()
    await container.destroy()
    times["destroy"].append(time.perf_counter() - began)


async def several(at_once: int, tasks: list) -> float:
    """Run the tasks with at most so many at a time; returns the seconds it took."""
    limiter, began = trio.CapacityLimiter(at_once), time.perf_counter()

    async def one(task) -> None:
        async with limiter:
            await task()

    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(one, task)
    return time.perf_counter() - began


def bare(count: int) -> list[float]:
    """Seconds of the peer, each."""
    command = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--fork", "/bin/true"]
    times = []
    for _ in range(count):
        began = time.perf_counter()
        subprocess.run(command, check=True)
        times.append(time.perf_counter() - began)
    return times


def pss_kib(pid: int) -> int:
    """Proportional share of memory: what is shared between processes counts once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


async def rounds(data: Path, count: int, at_once: int) -> tuple[Times, dict[str, list[str]], float]:
    times: Times = {"create": [], "start": [], "destroy": []}
    layers = tuple(make_layer(data, name) for name in ("dependencies", "app"))
    slots = data / "slots.json"
    left: dict[str, list[str]] = {}
    async with open_sandbox(SandboxConfig(), data / "node", keep=False, slots=slots) as sandbox:
        look = lambda: take_inventory(data / "node", sandbox.prefix, slots)  # noqa: E731
        # One up and down first, so that mounted stacks and warm threads are in the first inventory.
        await several(1, [lambda: up(sandbox, "warm", layers, {"create": [], "start": []})])
        await sandbox.destroy_all()
        before = look()
        for number in (1, 2):
            guids = [f"bench-{number}-{index:03d}" for index in range(count)]
            took = await several(at_once, [lambda g=guid: up(sandbox, g, layers, times) for guid in guids])
            print(f"round {number}: {count} containers up in {took:.2f} s ({1000 * took / count:.1f} ms each)")
            processes = processes_of(sandbox.prefix)
            memory = sum(map(pss_kib, processes["shim"])) + sum(map(pss_kib, processes["pid1"]))
            average = memory / count
            took = await several(at_once, [lambda c=c: down(c, times) for c in sandbox.containers.values()])
            print(f"round {number}: down in {took:.2f} s ({1000 * took / count:.1f} ms each)")
            left |= look().difference(before)
    after: Inventory = take_inventory(data / "node", node_prefix(data / "node"), slots)
    left |= {k: v for k, v in msgless(after).items() if v}
    return times, left, average


def msgless(inventory: Inventory) -> dict[str, list[str]]:
    fields = ("cgroups", "mounts", "loops", "network", "processes", "slots", "files")
    return {name: sorted(getattr(inventory, name)) for name in fields}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paasd-bench-") as scratch:
        peer = bare(options.count)
        times, left, average = trio.run(rounds, Path(scratch), options.count, options.at_once)
    times["both"] = [sum(pair) for pair in zip(times["create"], times["start"], strict=True)]
    times["unshare"] = peer + bare(options.count)
    print(f"{options.at_once} at once, load {os.getloadavg()[0]:.1f}")
    for name, seconds in times.items():
        cuts = statistics.quantiles(seconds, n=100)
        print(f"{name:8} least {1000 * min(seconds):6.1f}   p50 {1000 * cuts[49]:6.1f}   p99 {1000 * cuts[98]:6.1f} ms")
    print(f"memory of shim and pid 1: {average / 1024:.2f} MiB per container")
    print(f"left on the host: {left or 'nothing'}")
    raise SystemExit(1 if left else 0)


if __name__ == "__main__":
    main()
