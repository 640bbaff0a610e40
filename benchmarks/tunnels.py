"""Requests between nodes: what a tunnel costs, how soon another node's router follows a change, what a lost node costs.

    python -m benchmarks.tunnels [--routes 1000 10000] [--seconds 3] [--rounds 3] [--losses 10]

Two whole routers on this machine, fed from the same rows, with facts handed to both, so gossip's delay is not in it.
Needs wrk and nginx, and nft (as root) for the losses in which a link falls silent. CPU is that of the proxies'
processes, from /proc; the ratios to bare Envoy, measured in the same run and interleaved, are what counts.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import trio
from cryptography import x509

from benchmarks.router import (
    DOMAIN,
    UPSTREAM,
    Probe,
    Proxy,
    bare_envoy,
    base,
    fact,
    free_port,
    memory_mb,
    nginx,
    put,
    running,
    shown,
    until_listening,
)
from paasd.config import RouterConfig, TunnelsConfig
from paasd.model.records import Instance, Node
from paasd.observed import Observed
from paasd.pki import KeyPair, issue, make_authority, new_key, request
from paasd.router import (
    Certificates,
    NodeIdentity,
    RouteFeed,
    Router,
    open_certificates,
    open_route_feed,
    open_router,
)
from paasd.router.engine.binary import find_binary
from paasd.state import Database, Tx, open_database, operation

PREFIX = "spiffe://paasd/benchmark/node/"
CONFIG = RouterConfig(http_port=0, https_port=0, workers=1)


@operation("benchmark.tunnels.base", version=1)
def nodes(tx: Tx, args: dict[str, Any]) -> None:
    for guid, port in args["ports"].items():
        tx.insert(
            Node(
                guid=guid, name=guid, zone="z", memory_mb=1, disk_mb=1, cpus=1, address="127.0.0.1", tunnel_port=port
            )
        )  # fmt: skip
    for app, node in args["apps"].items():
        tx.update(tx.need(Instance, f"i-{app}"), node_guid=node)


class Side:
    """One node's router, what it observes, and the feed between the two."""

    def __init__(self, guid: str, router: Router, observed: Observed) -> None:
        self.guid = guid
        self.router = router
        self.observed = observed
        self.feed: RouteFeed

    @property
    def pid(self) -> int:
        return self.router.engine.pid or 0


def identity(authority: KeyPair, guid: str) -> NodeIdentity:
    key, names = new_key(), [x509.UniformResourceIdentifier(f"{PREFIX}{guid}/control")]
    signed = issue(authority, request(key), guid, names, datetime.now(UTC), timedelta(hours=24), client=True)
    return NodeIdentity(prefix=PREFIX, pair=KeyPair(signed, key), authorities=authority.certificate)


@asynccontextmanager
async def two_nodes(
    directory: Path, certificates: Certificates, apps: dict[str, str], tunnels: TunnelsConfig, routes: int = 1
) -> AsyncIterator[tuple[Side, Side, Database]]:
    """`apps` says which node has the instance of app `a` and of app `b`; all routes lead to `a`."""
    authority = make_authority("benchmark", datetime.now(UTC))
    (directory / "state").mkdir(parents=True)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        database = await enter(open_database(directory / "state", sync=False))
        await database.write(base, {})
        for start in range(0, routes, 200):
            await database.write(put, {"numbers": [start, min(start + 200, routes)], "app": "a"})
        sides, ports = [], {}
        for guid in ("edge", "owner"):
            (directory / guid).mkdir()
            router = await enter(open_router(CONFIG, directory / guid, certificates, tunnels=tunnels, outlive=False))
            ports[guid] = router.open_tunnels(identity(authority, guid), "127.0.0.1", 0)
            sides.append(Side(guid, router, Observed()))
        await database.write(nodes, {"ports": ports, "apps": apps})
        for side in sides:
            feed = open_route_feed(side.router, database, side.observed, {}, node_guid=side.guid)
            side.feed = await enter(feed)
            await side.router.settled()
        yield sides[0], sides[1], database


def tell(sides: tuple[Side, Side], node: str, app: str, port: int, *, routable: bool = True) -> None:
    known = msgspec.structs.replace(fact(app, port, routable), node_guid=node)
    for side in sides:
        side.observed.put(known)


# --- what a tunnel costs -------------------------------------------------------------------------------------------


async def data_path(seconds: int, rounds: int, upstream: int, certificates: Certificates, directory: Path) -> None:
    ports = free_port(), free_port()
    file = directory / "bare.json"
    file.write_text(json.dumps(bare_envoy(upstream, *ports, directory / "tls")))
    command = [str(find_binary()), "--config-path", str(file), "--concurrency", "1", "--disable-hot-restart"]
    async with (
        running(command) as bare,
        two_nodes(directory / "path", certificates, {"a": "owner", "b": "edge"}, TunnelsConfig()) as found,
    ):
        edge, owner, database = found
        tell((edge, owner), "owner", "a", upstream)
        tell((edge, owner), "edge", "b", upstream)
        await database.write(put, {"numbers": [1, 2], "app": "b"})
        await until_listening(ports[0])
        for host in ("app-0", "app-1"):
            await ready(edge, host)
        address = f"http://127.0.0.1:{edge.router.http_port}/"
        own = Measured("own node", address, [edge.pid], "app-1")
        far = Measured("tunnelled", address, [edge.pid], "app-0", owner.pid)
        first = Measured("bare Envoy", f"http://127.0.0.1:{ports[0]}/", [bare.pid], "app-0")
        for size in ("index.html", "large"):
            for proxy in (first, own, far):
                proxy.reset(size)
            for _ in range(rounds):
                for proxy in (first, own, far):
                    await proxy.load(seconds)
            print(f"one request for {'1 KB' if size == 'index.html' else '1 MB'}, {rounds} rounds of {seconds} s")
            for proxy in (first, own, far):
                proxy.report(first)


class Measured(Proxy):
    """With the owner's processor time beside that of the edge."""

    def __init__(self, name: str, url: str, pids: list[int], host: str, owner: int | None = None) -> None:
        super().__init__(name, url, pids, f"{host}.{DOMAIN}")
        self._base = url
        self._owner = None if owner is None else Proxy(name, url, [owner])
        self.owner_us: list[float] = []

    def reset(self, path: str) -> None:
        self.url = self._base + path
        self.rates, self.costs_us, self.owner_us = [], [], []

    async def load(self, seconds: int) -> None:
        before = 0.0 if self._owner is None else self._owner.cpu_s()
        await super().load(seconds)
        if self._owner is not None:
            self.owner_us.append((self._owner.cpu_s() - before) / (self.rates[-1] * seconds) * 1e6)

    def report(self, peer: "Measured") -> None:
        owner = f" + {min(self.owner_us):5.1f} at the owner" if self.owner_us else ""
        rate = statistics.median(a / b for a, b in zip(self.rates, peer.rates, strict=True))
        print(
            f"  {self.name:10} {max(self.rates):7.0f} req/s ({rate:.2f} of bare Envoy)   "
            f"{min(self.costs_us):6.1f} us CPU/request{owner}   {min(self.costs_us) / min(peer.costs_us):.2f} of bare"
        )


async def ready(edge: Side, host: str) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", edge.router.http_port) as stream:
        with trio.fail_after(10):
            await Probe(stream).until(host, b"200")


# --- how soon a change is followed ---------------------------------------------------------------------------------


async def changes(count: int, upstream: int, certificates: Certificates, directory: Path) -> None:
    """From the report of an instance on another node, or the write of a row, to the first request served by it."""
    apps = {"a": "owner", "b": "owner"}
    async with two_nodes(directory, certificates, apps, TunnelsConfig(), routes=count) as (edge, owner, database):
        both = edge, owner
        idle_mb = memory_mb(edge.pid)
        tell(both, "owner", "a", upstream)
        await ready(edge, "app-0")
        new, moved = [], []
        await database.write(put, {"numbers": [count, count + 1], "app": "b"})
        async with await trio.open_tcp_stream("127.0.0.1", edge.router.http_port) as stream:
            probe = Probe(stream)
            await probe.until(f"app-{count}", b"503")
            for number in range(count + 1, count + 31):
                began = time.perf_counter()
                await database.write(put, {"numbers": [number, number + 1], "app": "a"})
                await probe.until(f"app-{number}", b"200")
                new.append(time.perf_counter() - began)
            for number in range(30):
                began = time.perf_counter()
                tell(both, "owner", "b", upstream, routable=number % 2 == 0)
                await probe.until(f"app-{count}", b"503" if number % 2 else b"200")
                moved.append(time.perf_counter() - began)
        print(f"{count} routes, all to another node; Envoy {idle_mb:.0f} -> {memory_mb(edge.pid):.0f} MB")
        print(f"  new route, write to served through the tunnel  {shown(new)}")
        print(f"  instance elsewhere up or down, to effect       {shown(moved)}")


async def checks(certificates: Certificates, directory: Path) -> None:
    """What it costs to ask a node whether it answers, by asking very often."""
    eager = TunnelsConfig(check_interval_s=0.004, idle_check_interval_s=0.004)
    async with two_nodes(directory, certificates, {"a": "owner", "b": "owner"}, eager) as (edge, owner, _):
        await trio.sleep(1)
        both = [Proxy(side.guid, "", [side.pid]) for side in (edge, owner)]
        before = [one.cpu_s() for one in both]
        await trio.sleep(5)
        used = sum(one.cpu_s() - start for one, start in zip(both, before, strict=True))
    per_check_us = used / (2 * 5 / eager.check_interval_s) * 1e6
    often = 1 / TunnelsConfig().check_interval_s
    print(f"asking a node whether it answers: {per_check_us:.0f} us CPU on both sides, {often:.1f} times a second")
    print(f"  that is {100 * often * per_check_us / 1e6:.3f} % of a core for each other node")


# --- what a lost node costs ----------------------------------------------------------------------------------------


class Requests:
    """100 a second, each on a connection of its own; when those that failed began and ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.failed: list[float] = []
        self.slowest_s = 0.0
        self.done = 0

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(self._one)
                await trio.sleep(0.01)

    async def _one(self) -> None:
        began = trio.current_time()
        answer = b""
        try:
            async with await trio.open_tcp_stream("127.0.0.1", self._port) as stream:
                await stream.send_all(f"GET / HTTP/1.1\r\nHost: app-0.{DOMAIN}\r\nConnection: close\r\n\r\n".encode())
                while data := await stream.receive_some(65536):
                    answer += data
        except (OSError, trio.BrokenResourceError):
            answer = b""
        ended = trio.current_time()
        if answer.startswith(b"HTTP/1.1 200 ") and len(answer) > 1024:
            self.done += 1
            self.slowest_s = max(self.slowest_s, ended - began)
        else:
            self.failed.append(ended)


def kill(owner: Side) -> None:
    owner.router.engine.stopping = True
    os.kill(owner.pid, signal.SIGKILL)


def pause(owner: Side) -> None:
    os.kill(owner.pid, signal.SIGSTOP)


def silence(owner: Side) -> None:
    _, port = owner.router.engine.tunnel or ("", 0)
    rules = f"tcp dport {port} drop; tcp sport {port} drop"
    hook = "type filter hook input priority -300"
    subprocess.run(["nft", f"table inet paasd_benchmark {{ chain cut {{ {hook}; {rules}; }}; }}"], check=True)


def heal() -> None:
    subprocess.run(["nft", "delete table inet paasd_benchmark"], check=False, stderr=subprocess.DEVNULL)


async def losses(
    name: str, lose: Callable[[Side], None], count: int, upstream: int, certificates: Certificates, directory: Path
) -> None:
    """Of two instances one is on the node that is lost; its row and its fact stay, as before gossip has spoken."""
    last, failed, total, slowest = [], [], 0, 0.0
    for number in range(count):
        apps = {"a": "edge", "b": "owner"}
        async with two_nodes(directory / f"{name}-{number}", certificates, apps, TunnelsConfig()) as (
            edge,
            owner,
            database,
        ):
            await database.write(beside, {})
            tell((edge, owner), "edge", "a", upstream)
            other = msgspec.structs.replace(fact("a", upstream), instance_guid="i-c", node_guid="owner", index=1)
            for side in (edge, owner):
                side.observed.put(other)
            await ready(edge, "app-0")
            requests = Requests(edge.router.http_port)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(requests.run)
                await trio.sleep(2)
                early = len(requests.failed)
                lost_at = trio.current_time()
                lose(owner)
                await trio.sleep(3)
                nursery.cancel_scope.cancel()
            if lose is pause:
                os.kill(owner.pid, signal.SIGCONT)
            heal()
            last.append(max((at - lost_at for at in requests.failed), default=0.0))
            failed.append(len(requests.failed) - early)
            total += early
            slowest = max(slowest, requests.slowest_s)
    print(
        f"{name}: {count} losses; of 300 requests after each {statistics.median(failed):.0f} failed, at most "
        f"{max(failed)}, the last after {shown(last)}; slowest good one {slowest:.2f} s; {total} failed before"
    )


@operation("benchmark.tunnels.beside", version=1)
def beside(tx: Tx, args: dict[str, Any]) -> None:
    one = tx.need(Instance, "i-a")
    tx.insert(msgspec.structs.replace(one, guid="i-c", node_guid="owner", index=1))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--routes", type=int, nargs="*", default=[1000, 10000])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--losses", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        certificates = open_certificates(directory / "tls", DOMAIN, "system.localhost")
        port = free_port()
        servers = UPSTREAM.format(port=port, dir=directory / "upstream")
        async with nginx(directory / "upstream", port, servers, port):
            (directory / "upstream" / "www" / "large").write_bytes(b"x" * 1024 * 1024)
            if options.rounds:
                await data_path(options.seconds, options.rounds, port, certificates, directory)
            await checks(certificates, directory / "checks")
            for count in options.routes:
                await changes(count, port, certificates, directory / f"routes-{count}")
            ways = [("router killed", kill), ("router paused", pause)]
            if os.geteuid() == 0:
                ways.append(("link silent", silence))
            for title, lose in ways if options.losses else []:
                await losses(title, lose, options.losses, port, certificates, directory)


if __name__ == "__main__":
    trio.run(main)
