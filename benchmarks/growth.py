"""A platform as it grows: from one node to three and five, and what every node needs of memory and of bytes.

    sudo .venv/bin/python -m benchmarks.growth [--nodes 1 3 5] [--pushes 20]

Nodes are hosts in namespaces of this machine, in a zone each, with real etcd and Envoy. For every size: seconds from
`paasd join` to an answering node, and until three (five) vote; a push of a small app through each node in turn, with
three instances; then, two seconds after the last, the memory (PSS) of paasd, Envoy and etcd on the first and on the
last node, and what a node sends to others while nothing happens. Last, in this process: what one node holds of the
facts of 100 and 1,000 nodes with 25 instances each.
"""

import argparse
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import psutil
import trio

from benchmarks.measured import pss_mb
from paasd.observed import Observed
from tests.cluster.cluster import Cluster, Member, cluster
from tests.node.harness import HELLO
from tests.simulation.gossiping import instance

MANIFEST = "applications:\n- name: {name}\n  instances: {instances}\n  memory: 64M\n"
IDLE_S = 10.0
QUIET_S = 2.0
VOTES_LIMIT_S = 90.0
INSTANCES_EACH = 25


async def grow(directory: Path, sizes: list[int], pushes: int) -> None:
    zones = [f"dc/{number}" for number in range(max(sizes))]
    async with cluster(directory / "hosts", zones, started=1) as platform:
        standing = 1
        for size in sizes:
            began = time.monotonic()
            while standing < size:
                joined = time.monotonic()
                await platform.join(platform.members[standing], platform.members[0])
                standing += 1
                print(f"node {standing}: answers {time.monotonic() - joined:.1f} s after `paasd token create`")
            if size >= 3:
                await all_vote(platform, min(5, size) if size >= 5 else 3)
                print(f"{size} nodes: every vote there {time.monotonic() - began:.1f} s after the first token")
            await report(platform, platform.members[:size], pushes)


async def all_vote(platform: Cluster, count: int) -> None:
    first = platform.members[0]

    async def voting() -> bool:
        return (await trio.to_thread.run_sync(first.paasd, "members")).count("voter") == count

    await platform.until(voting, limit_s=VOTES_LIMIT_S, what=f"{count} votes")


async def report(platform: Cluster, members: list[Member], pushes: int) -> None:
    times = []
    for number in range(pushes):
        name = f"app{number % 5}"
        began = time.perf_counter()
        text = MANIFEST.format(name=name, instances=min(3, len(members)))
        result = await members[number % len(members)].push(name, HELLO, text)
        assert result["type"] == "result", result
        times.append(time.perf_counter() - began)
    await trio.sleep(QUIET_S)
    times.sort()
    print(
        f"{len(members)} nodes: push p50 {statistics.median(times):.2f} s, longest {times[-1]:.2f} s, {pushes} pushes"
    )
    before = [sent_bytes(member) for member in members]
    await trio.sleep(IDLE_S)
    rates = [(sent_bytes(member) - earlier) / IDLE_S / 1000 for member, earlier in zip(members, before, strict=True)]
    print(f"{len(members)} nodes: idle, each sends {min(rates):.1f} to {max(rates):.1f} KB/s (etcd included)")
    for member in {members[0].name: members[0], members[-1].name: members[-1]}.values():
        found = ", ".join(f"{name} {memory:.0f}" for name, memory in memory_of(member))
        print(f"{len(members)} nodes: memory of {member.name}: {found} MB PSS", flush=True)


def memory_of(member: Member) -> Iterator[tuple[str, float]]:
    """Of the processes in the host's own pid namespace."""
    home = Path(f"/proc/{member.host.pid_one}/ns/pid").readlink()
    for process in psutil.process_iter(["name", "cmdline"]):
        try:
            if Path(f"/proc/{process.pid}/ns/pid").readlink() != home:
                continue
        except OSError:
            continue  # it has just ended
        name, words = process.info["name"], process.info["cmdline"] or []
        if name in ("envoy", "etcd"):
            yield name, pss_mb(process.pid)
        elif "serve" in words and "-m" in words:
            yield "paasd", pss_mb(process.pid)


def sent_bytes(member: Member) -> int:
    text = member.host.execute("cat", "/proc/net/dev").stdout
    line = next(line for line in text.splitlines() if "eth0:" in line)
    return int(line.split()[9])


def facts_mb(nodes: int) -> float:
    """What the facts of so many nodes take in one."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    observed = Observed()
    for number in range(nodes * INSTANCES_EACH):
        observed.put(instance(f"node-{number % nodes:08}", f"instance-{number:024}"))
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(list(observed.instances())) == nodes * INSTANCES_EACH
    return used / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="*", default=[1, 3, 5])
    parser.add_argument("--pushes", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paasd-growth-") as directory:
        trio.run(grow, Path(directory), options.nodes, options.pushes)
    for nodes in (100, 1000):
        print(f"facts of {nodes} nodes with {INSTANCES_EACH} instances each: {facts_mb(nodes):.1f} MB in every node")


if __name__ == "__main__":
    main()
