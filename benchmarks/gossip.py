"""How soon a loss is known and what gossip costs, as the number of nodes grows; beside HashiCorp's serf.

    python -m benchmarks.gossip [--nodes 10 100 1000 10000] [--losses 10] [--serf 10 30]

The real cores of this project run in a simulated network of three zones, 15 ms apart, that loses 1 % of datagrams. For
each size: payload and 28 bytes of headers sent by each node a second while nothing happens, then nodes crash one after
another, and it is printed when the first and when the last of the others holds the node to be unreachable. serf
(profile lan, Debian's) runs as that many real agents on the loopback of a network namespace, without loss: agents are
killed and the event is awaited in their logs; its bytes are those of the interface. Budgets of this project: known to
all within 6 s with up to 30 nodes, and less than 2 KB a second for each node whatever the size.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import ChainMap
from collections.abc import Callable
from pathlib import Path

from paasd.gossip.swim.effects import Compare, Datagram
from paasd.gossip.swim.members import Standing
from tests.simulation.engine import World
from tests.simulation.gossiping import Cluster, zoned

HEADERS = 28
LIMIT_S, PAUSE_S = 60.0, 5.0
MANY = 1000
"""Above this fewer seconds are looked at, and nodes have been up for a while (`_have_been_up`)."""
FIRST_S = 2.0
ZONE_DELAY_S = 0.015
SERF_WARM_S, SERF_IDLE_S = 15.0, 15.0
FAILED = re.compile(r"EventMemberFailed: (\S+)")


class Meter:
    """Counts the datagrams of a world."""

    def __init__(self, world: World) -> None:
        self.sent = 0
        self._send = world.send
        world.send = self._count  # type: ignore[method-assign]

    def _count(self, source: str, target: str, message: object, *, reliable: bool = False) -> None:
        if isinstance(message, Datagram):
            self.sent += len(message.payload) + HEADERS
        self._send(source, target, message, reliable=reliable)


def simulate(count: int, losses: int, seed: int) -> tuple[float, list[float], list[float]]:
    """Bytes a second for each node, and after each loss the seconds until the first and until all others know."""
    world = World(seed, loss=0.01)
    zones = zoned(count)
    world.link_delay = lambda source, target: 0.0 if zones[source] == zones[target] else ZONE_DELAY_S
    cluster = Cluster(world, zones)
    meter = Meter(world)
    if count > MANY:
        _have_been_up(cluster)
    settle_s, idle_s = (10.0, 20.0) if count <= MANY else (3.0, 5.0)
    world.run(settle_s)
    before = meter.sent
    world.run(settle_s + idle_s)
    rate = (meter.sent - before) / idle_s / count
    first, last = list[float](), list[float]()
    for _ in range(losses):
        doomed = world.random.choice(list(cluster.nodes))
        known: dict[str, float] = {}
        for guid, node in cluster.nodes.items():
            node.on_change = _noter(world, known, guid, doomed)
        lost_at = world.now
        cluster.crash(doomed)
        while len(known) < len(cluster.nodes) and world.now < lost_at + LIMIT_S:
            world.run(world.now + 0.05)
        first.append(min(known.values(), default=float("inf")) - lost_at)
        last.append(max(known.values()) - lost_at if len(known) == len(cluster.nodes) else float("inf"))
        if len(last) < losses:
            cluster.start(doomed)
            world.run(world.now + PAUSE_S)
    return rate, first, last


def _have_been_up(cluster: Cluster) -> None:
    """Nodes that know each other, have said so, and have compared: the next comparison is minutes away.

    Thousands that start in one second tell thousands of each of them, which is minutes of computing, and no cluster
    begins like that. What all know of all is held once: as many tables would be 10 GB.
    """
    known = {guid: Standing(node.swim.members.incarnation) for guid, node in cluster.nodes.items()}
    for guid, node in cluster.nodes.items():
        members = node.swim.members
        members._standings = ChainMap({}, known)  # type: ignore[assignment]
        members.news.withdraw(guid)
        host = cluster.world.hosts[guid]
        host.perform = _without_first_comparison(cluster.world, host.perform)


def _without_first_comparison(world: World, perform: Callable[[object], None]) -> Callable[[object], None]:
    return lambda effect: None if isinstance(effect, Compare) and world.now < FIRST_S else perform(effect)


def _noter(world: World, known: dict[str, float], guid: str, doomed: str):  # type: ignore[no-untyped-def]
    def note(about: str, status: str) -> None:
        if about == doomed and status == "unreachable":
            known.setdefault(guid, world.now)

    return note


def serf(count: int, losses: int) -> tuple[float, list[float], list[float]]:
    """The same of real agents; runs in a network namespace of its own."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    directory = Path(tempfile.mkdtemp(prefix="paasd-serf-"))
    agents = {f"n{number:03}": _agent(directory, number) for number in range(count)}
    try:
        time.sleep(SERF_WARM_S)
        before = _loopback_bytes()
        time.sleep(SERF_IDLE_S)
        rate = (_loopback_bytes() - before) / SERF_IDLE_S / count
        first, last = list[float](), list[float]()
        for _ in range(losses):
            if len(agents) < count // 2:
                break
            name, agent = agents.popitem()
            lost_at = time.monotonic()
            agent.send_signal(signal.SIGKILL)
            agent.wait()
            known: dict[str, float] = {}
            while len(known) < len(agents) and time.monotonic() < lost_at + LIMIT_S:
                for other in set(agents) - set(known):
                    if name in FAILED.findall((directory / other).read_text()):
                        known[other] = time.monotonic() - lost_at
                time.sleep(0.02)
            first.append(min(known.values(), default=float("inf")))
            last.append(max(known.values()) if len(known) == len(agents) else float("inf"))
        return rate, first, last
    finally:
        for agent in agents.values():
            agent.kill()
            agent.wait()
        shutil.rmtree(directory)


def _agent(directory: Path, number: int) -> subprocess.Popen[bytes]:
    command = ["serf", "agent", f"-node=n{number:03}", f"-bind=127.0.1.{number + 1}:7946", "-log-level=info"]
    command += [f"-rpc-addr=127.0.1.{number + 1}:7373"] + ["-join=127.0.1.1:7946"] * (number > 0)
    with (directory / f"n{number:03}").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _loopback_bytes() -> int:
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if "lo:" in line)
    return int(line.split()[9])


def row(what: str, count: int, found: tuple[float, list[float], list[float]], took_s: float) -> str:
    rate, first, last = found
    return (
        f"{what:<12} {count:>6} nodes  {rate:>6.0f} B/s each  first knows p50 {statistics.median(first):5.2f} s  "
        f"all know p50 {statistics.median(last):5.2f} max {max(last):5.2f} s  ({len(last)} losses, took {took_s:.0f} s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="*", default=[3, 10, 30, 100, 1000])
    parser.add_argument("--losses", type=int, default=10)
    parser.add_argument("--serf", type=int, nargs="*", default=[10, 30])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside is not None:
        began = time.monotonic()
        print(row("serf (real)", options.inside, serf(options.inside, options.losses), time.monotonic() - began))
        return
    for count in options.nodes:
        began = time.monotonic()
        losses = options.losses if count <= 100 else max(3, options.losses * 100 // count)
        found = simulate(count, losses, options.seed)
        print(row("paasd (sim)", count, found, time.monotonic() - began), flush=True)
    if shutil.which("serf") is None or os.geteuid() != 0:
        print("serf: not measured; it takes Debian's package serf, and root for a network namespace")
        return
    for count in options.serf:
        here = [sys.executable, "-m", "benchmarks.gossip", "--inside", str(count), "--losses", str(options.losses)]
        subprocess.run(["unshare", "--net", *here], check=True)


if __name__ == "__main__":
    main()
