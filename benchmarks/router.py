"""The router's costs: how long a route change takes to work, what a request costs, what the routes cost in memory.

    python -m benchmarks.router [--routes 1000 10000] [--seconds 3] [--rounds 3]

Needs wrk and nginx. Figures of a shared machine move; the ratios to bare Envoy and nginx, measured in the same run and
interleaved, are what counts. CPU is that of the proxy's processes, from /proc.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from paasd.config import RouterConfig
from paasd.model.records import App, Destination, Domain, Instance, Organization, Route, Space
from paasd.observed import InstanceFact, Observed
from paasd.router import Endpoint, RouteEntry, Router, RouteTable, open_certificates, open_route_feed, open_router
from paasd.router.certificates import Certificates
from paasd.router.engine.binary import find_binary
from paasd.router.engine.engine import claim_port
from paasd.state import Database, Tx, open_database, operation

DOMAIN = "apps.localhost"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


# --- route changes -------------------------------------------------------------------------------------------------


@operation("benchmark.router.put", version=1)
def put(tx: Tx, args: dict[str, Any]) -> None:
    for number in range(*args["numbers"]):
        tx.insert(Route(guid=f"r{number}", domain_guid="d", space_guid="s", host=f"app-{number}"))
        tx.insert(Destination(guid=f"t{number}", route_guid=f"r{number}", app_guid=args["app"]))


@operation("benchmark.router.base", version=1)
def base(tx: Tx, args: dict[str, Any]) -> None:
    tx.insert(Organization(guid="o", name="o"))
    tx.insert(Space(guid="s", name="s", organization_guid="o"))
    tx.insert(Domain(guid="d", name=DOMAIN))
    tx.insert(App(guid="a", name="a", space_guid="s", state="STARTED"))
    tx.insert(App(guid="b", name="b", space_guid="s", state="STARTED"))
    for app in ("a", "b"):
        tx.insert(
            Instance(
                guid=f"i-{app}", app_guid=app, process_guid="p" + app, process_type="web", index=0, app_version=1,
                droplet_guid="d", node_guid="n", memory_mb=1, disk_mb=1,
            )
        )  # fmt: skip


def fact(app: str, port: int, routable: bool = True) -> InstanceFact:
    return InstanceFact(
        instance_guid=f"i-{app}", epoch=1, node_guid="n", app_guid=app, process_guid="p", process_type="web", index=0,
        state="RUNNING", since=0.0, address="127.0.0.1", port=port, routable=routable,
    )  # fmt: skip


class Probe:
    """One kept-alive connection that asks again and again until the status is as wanted."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def until(self, host: str, status: bytes) -> float:
        """Seconds until the first such answer."""
        began = time.perf_counter()
        request = f"GET / HTTP/1.1\r\nHost: {host}.{DOMAIN}\r\n\r\n".encode()
        while True:
            await self._stream.send_all(request)
            data = b""
            while b"\r\n\r\n" not in data:
                data += await self._stream.receive_some(65536)
            head, _, body = data.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            while length and len(body) < int(length[1]):
                body += await self._stream.receive_some(65536)
            if head.split(b" ", 2)[1] == status:
                return time.perf_counter() - began


def memory_mb(pid: int) -> float:
    """Proportional set size."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"Pss: +(\d+)", text)[1]) / 1024  # type: ignore[index]


def make_directories(path: Path) -> None:
    path.mkdir(parents=True)


def shown(times: list[float]) -> str:
    ordered = sorted(times)
    p50, p90, largest = (
        1000 * one for one in (statistics.median(ordered), ordered[len(ordered) * 9 // 10], ordered[-1])
    )
    return f"p50 {p50:5.1f} ms  p90 {p90:5.1f}  max {largest:5.1f}"


async def route_changes(count: int, upstream_port: int, certificates: Certificates, directory: Path) -> None:
    """From the write of a row, or the report of an instance, to the first request served by it."""
    make_directories(directory / "state")
    observed = Observed()
    observed.put(fact("a", upstream_port))
    async with (
        open_database(directory / "state", sync=False) as database,
        open_router(RouterConfig(http_port=0, https_port=0), directory, certificates, outlive=False) as router,
    ):
        pid = router.engine.pid or 0
        idle_mb = memory_mb(pid)
        await database.write(base, {})
        for start in range(0, count, 200):
            await database.write(put, {"numbers": [start, min(start + 200, count)], "app": "a"})
        began = time.perf_counter()
        async with open_route_feed(router, database, observed, {}, node_guid="n"):
            await router.settled()
            started_s = time.perf_counter() - began
            await measure_changes(router, database, observed, count, upstream_port)
            print(
                f"  whole table from rows to acknowledged {started_s:.2f} s; "
                f"Envoy {idle_mb:.0f} -> {memory_mb(pid):.0f} MB"
            )


async def measure_changes(router: Router, database: Database, observed: Observed, count: int, port: int) -> None:
    new, written, instance = [], [], []
    async with await trio.open_tcp_stream("127.0.0.1", router.http_port) as stream:
        probe = Probe(stream)
        await probe.until("app-0", b"200")
        for number in range(count, count + 30):
            began = time.perf_counter()
            await database.write(put, {"numbers": [number, number + 1], "app": "a"})
            committed = time.perf_counter()
            await probe.until(f"app-{number}", b"200")
            done = time.perf_counter()
            new.append(done - began)
            written.append(committed - began)
        await database.write(put, {"numbers": [count + 30, count + 31], "app": "b"})
        await probe.until(f"app-{count + 30}", b"503")
        for number in range(30):
            began = time.perf_counter()
            observed.put(fact("b", port, routable=number % 2 == 0))
            await probe.until(f"app-{count + 30}", b"503" if number % 2 else b"200")
            instance.append(time.perf_counter() - began)
    print(f"{count} routes")
    print(f"  new route, write to served      {shown(new)}   (of which the write {shown(written)})")
    print(f"  instance up or down, to effect  {shown(instance)}")


# --- data path -----------------------------------------------------------------------------------------------------


class Proxy:
    """What is measured: where it listens, its processes, and what each round gave."""

    def __init__(self, name: str, url: str, pids: list[int], host: str = f"app.{DOMAIN}") -> None:
        self.name = name
        self.host = host
        self.url = url
        self.pids = pids
        self.rates: list[float] = []
        self.costs_us: list[float] = []

    def cpu_s(self) -> float:
        fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in self.pids]
        return sum(int(one[11]) + int(one[12]) for one in fields) * TICK_S

    async def load(self, seconds: int) -> None:
        before = self.cpu_s()
        command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "-H", f"Host: {self.host}", self.url]
        done = await trio.run_process(command, capture_stdout=True)
        used = self.cpu_s() - before
        text = done.stdout.decode()
        requests = int(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]
        if "Non-2xx" in text or "Socket errors" in text:
            raise SystemExit(f"{self.name}: {text}")
        self.rates.append(requests / seconds)
        self.costs_us.append(used / requests * 1e6)


@asynccontextmanager
async def running(command: list[str]) -> AsyncIterator[subprocess.Popen[bytes]]:
    # Each in a session of its own, as ours is: the kernel shares processors out by session, and one that gets less of
    # them finds more to do each time it wakes, which makes its requests look cheaper by a third.
    process = await trio.lowlevel.open_process(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process  # type: ignore[misc]
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


async def until_listening(port: int) -> None:
    with trio.fail_after(10):
        while True:
            try:
                await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                return
            except OSError:
                await trio.sleep(0.02)


NGINX = """
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log; user root;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream app {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
  {servers}
}}
"""
UPSTREAM = "server {{ listen 127.0.0.1:{port}; location / {{ root {dir}/www; }} }}"
FORWARD = """server {{
  listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl;
  ssl_certificate {dir}/../tls/apps.pem; ssl_certificate_key {dir}/../tls/apps.key;
  location / {{
    proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Request-Id $request_id;
  }}
}}"""


def write_site(directory: Path, configuration: str) -> None:
    (directory / "www").mkdir(parents=True)
    (directory / "www" / "index.html").write_text("x" * 1024)
    (directory / "nginx.conf").write_text(configuration)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@asynccontextmanager
async def nginx(directory: Path, upstream: int, servers: str, port: int) -> AsyncIterator[list[int]]:
    write_site(directory, NGINX.format(dir=directory, upstream=upstream, servers=servers))
    async with running(["nginx", "-c", str(directory / "nginx.conf"), "-p", str(directory)]) as process:
        await until_listening(port)
        yield children(process.pid)


LOGGED = {
    "start": "%START_TIME%", "method": "%REQ(:METHOD)%", "path": "%REQ(:PATH)%", "host": "%REQ(:AUTHORITY)%",
    "status": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "in": "%BYTES_RECEIVED%", "out": "%BYTES_SENT%",
    "duration": "%DURATION%", "upstream": "%UPSTREAM_HOST%", "cluster": "%UPSTREAM_CLUSTER%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS%", "for": "%REQ(X-FORWARDED-FOR)%", "proto": "%REQ(X-FORWARDED-PROTO)%",
    "id": "%REQ(X-REQUEST-ID)%", "agent": "%REQ(USER-AGENT)%", "referer": "%REQ(REFERER)%",
}  # fmt: skip


def bare_envoy(upstream: int, http: int, https: int, tls: Path, log: Path | None = None) -> dict[str, Any]:
    """Envoy as simple as it can be: one route and no filters; with `log`, the fields of an RTR line into a file."""
    extension = "type.googleapis.com/envoy.extensions."
    manager: dict[str, Any] = {
        "@type": extension + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bare",
        "http_filters": [
            {"name": "router", "typed_config": {"@type": extension + "filters.http.router.v3.Router"}},
        ],
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}
            ]
        },
    }
    if log is not None:
        logged = {"path": str(log), "log_format": {"json_format": LOGGED}}
        logger = {"@type": extension + "access_loggers.file.v3.FileAccessLog", **logged}
        manager["access_log"] = [{"name": "file", "typed_config": logger}]
    files = {
        "certificate_chain": {"filename": str(tls / "apps.pem")},
        "private_key": {"filename": str(tls / "apps.key")},
    }
    context = {
        "@type": extension + "transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificates": [files]},
    }
    listeners = []
    for port, secure in ((http, False), (https, True)):
        chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": manager}]}
        if secure:
            chain["transport_socket"] = {"name": "tls", "typed_config": context}
        address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        listeners.append({"name": f"l{port}", "address": address, "filter_chains": [chain]})
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}}}
    assignment = {"cluster_name": "app", "endpoints": [{"lb_endpoints": [endpoint]}]}
    cluster = {"name": "app", "type": "STATIC", "load_assignment": assignment}
    return {"static_resources": {"listeners": listeners, "clusters": [cluster]}}


def free_port() -> int:
    return claim_port("127.0.0.1", 0, "http_port")


async def data_path(seconds: int, rounds: int, upstream: int, certificates: Certificates, directory: Path) -> None:
    entries = 0

    def count(batch: list[Any]) -> None:
        nonlocal entries
        entries += len(batch)

    ports = [free_port() for _ in range(6)]
    async with AsyncExitStack() as stack:
        servers = FORWARD.format(dir=directory / "nginx", http=ports[0], https=ports[1])
        pids = await stack.enter_async_context(nginx(directory / "nginx", upstream, servers, ports[0]))
        bares = []
        for number, log in ((2, None), (4, directory / "access.log")):
            file = directory / f"bare-{number}.json"
            file.write_text(json.dumps(bare_envoy(upstream, *ports[number : number + 2], directory / "tls", log)))
            command = [str(find_binary()), "--config-path", str(file), "--concurrency", "1", "--disable-hot-restart"]
            bares.append(await stack.enter_async_context(running(command)))
            await until_listening(ports[number])
        (directory / "ours").mkdir()
        config = RouterConfig(http_port=0, https_port=0, workers=1)
        router = await stack.enter_async_context(
            open_router(config, directory / "ours", certificates, on_access=count, outlive=False)
        )
        endpoint = Endpoint(instance_guid="i", index=0, address="127.0.0.1", port=upstream)
        route = RouteEntry(host=f"app.{DOMAIN}", endpoints=(endpoint,), route_guid="r", app_guid="a")
        router.publish(RouteTable(routes=(route,), domains=(DOMAIN,)))
        await router.settled()
        await until_listening(router.http_port)
        local = "127.0.0.1"
        for kind, scheme, at in (("HTTP", "http", 0), ("TLS 1.3", "https", 1)):
            ours_port = (router.http_port, router.https_port)[at]
            proxies = [
                Proxy("paasd", f"{scheme}://{local}:{ours_port}/", [router.engine.pid or 0]),
                Proxy("bare Envoy", f"{scheme}://{local}:{ports[2 + at]}/", [bares[0].pid]),
                Proxy("and a log", f"{scheme}://{local}:{ports[4 + at]}/", [bares[1].pid]),
                Proxy("nginx", f"{scheme}://{local}:{ports[at]}/", pids),
            ]
            await compare(kind, proxies, seconds, rounds)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(
            f"access log: {entries} entries read, {router.dropped_entries} dropped; "
            f"daemon {used.ru_maxrss / 1024:.0f} MB"
        )


async def compare(kind: str, proxies: list[Proxy], seconds: int, rounds: int) -> None:
    for _ in range(rounds):
        for proxy in proxies:
            await proxy.load(seconds)
    print(f"{kind}: kept-alive, 32 connections, 1 KB, one worker each, {rounds} rounds of {seconds} s")
    base_us = min(proxies[1].costs_us)
    for proxy in proxies:
        paired = [cost / other for cost, other in zip(proxy.costs_us, proxies[1].costs_us, strict=True)]
        print(
            f"  {proxy.name:10}  {max(proxy.rates):7.0f} req/s   {min(proxy.costs_us):5.1f} us CPU/request"
            f"   of bare Envoy: {min(proxy.costs_us) / base_us:.2f} by minimum,"
            f" {statistics.median(paired):.2f} by median"
        )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--routes", type=int, nargs="*", default=[1000, 10000])
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        certificates = open_certificates(directory / "tls", DOMAIN, "system.localhost")
        port = free_port()
        servers = UPSTREAM.format(port=port, dir=directory / "upstream")
        async with nginx(directory / "upstream", port, servers, port):
            for count in options.routes:
                await route_changes(count, port, certificates, directory / f"routes-{count}")
            if options.rounds:
                await data_path(options.seconds, options.rounds, port, certificates, directory)


if __name__ == "__main__":
    trio.run(main)
