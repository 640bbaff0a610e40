"""Security groups and network policies on a whole node: real apps, real connections, changes while they run."""

import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from paasd.config import NetworkConfig
from paasd.sandbox import mounts
from paasd.sandbox.network import links
from tests.node.harness import Driver, running_node
from tests.sandbox.network.world import Outside, listening, out_there

pytestmark = pytest.mark.root
# Says its name; /to/HOST/PORT says what a connection there gave: the first line, or the error.
APP = """
import http.server, os, socket
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        parts = self.path.split("/")
        text = os.environ["CF_INSTANCE_GUID"]
        if parts[1] == "to":
            try:
                with socket.create_connection((parts[2], int(parts[3])), 3) as sock:
                    sock.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
                    said = b""
                    while chunk := sock.recv(4096):
                        said += chunk
                    text = said.decode().splitlines()[-1] if said else "closed"
            except OSError as error:
                text = f"{type(error).__name__}"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Page).serve_forever()
"""
REFUSED = ("ConnectionRefusedError", "OSError", "PermissionError")
FILES: dict[str, str | bytes] = {"app.py": APP, "Procfile": "web: python3 app.py\n"}


@pytest.fixture
def outside() -> Iterator[Outside]:
    directory = Path(f"/run/paasd-test-{secrets.token_hex(4)}")
    directory.mkdir(mode=0o700)
    machine = Outside(directory)
    machine.start()
    yield machine
    machine.stop()
    for mounted in mounts.mounted_below(directory):
        mounts.unmount(mounted, lazy=True)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


async def ok(answer: Awaitable[httpx.Response]) -> dict[str, Any]:
    found = await answer
    assert found.is_success, found.text
    return dict(found.json()) if found.content else {}


async def push(node: Driver, name: str) -> str:
    """A running app; its guid."""
    result = await node.push(name, FILES)
    assert result["type"] == "result", result
    return str((await node.app(name))["guid"])


async def says(node: Driver, name: str, host: str, port: int) -> str:
    return (await node.get(f"{name}.apps.localhost", f"/to/{host}/{port}")).text


async def soon(check: Callable[[], Awaitable[bool]], limit_s: float = 1.0) -> None:
    """It comes true within a second."""
    with trio.fail_after(limit_s):
        while not await check():
            await trio.sleep(0.02)


async def map_internally(node: Driver, host: str, app_guid: str) -> None:
    api = node.api
    domain = (await ok(api.get("/v3/domains?names=apps.internal")))["resources"][0]["guid"]
    space = (await ok(api.get("/v3/spaces")))["resources"][0]["guid"]
    relationships = {"domain": {"data": {"guid": domain}}, "space": {"data": {"guid": space}}}
    route = await ok(api.post("/v3/routes", json={"host": host, "relationships": relationships}))
    destinations = {"destinations": [{"app": {"guid": app_guid}}]}
    await ok(api.post(f"/v3/routes/{route['guid']}/destinations", json=destinations))


def policy(source: str, destination: str, start: int = 8080, end: int = 8080) -> dict[str, Any]:
    ports = {"start": start, "end": end}
    one = {"source": {"id": source}, "destination": {"id": destination, "protocol": "tcp", "ports": ports}}
    return {"policies": [one]}


@asynccontextmanager
async def node_beside(outside: Outside, data: Path, *, outlive: bool = False) -> AsyncIterator[Driver]:
    async with running_node(data, outlive=outlive, network=NetworkConfig(uplinks=(outside.interface,))) as node:
        yield node


async def test_a_group_bound_to_a_space_opens_a_private_address_to_an_app_that_runs(outside: Outside, tmp_path: Path):
    def answering() -> Any:
        return listening("0.0.0.0")

    with await out_there(outside, answering) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            while True:
                try:
                    stream, _ = server.accept()
                except OSError:
                    return
                with stream:
                    stream.recv(100)
                    stream.sendall(b"the database")

        async with node_beside(outside, tmp_path) as node, trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.to_thread.run_sync, serve, abandon_on_cancel=True))
            await push(node, "shop")
            reaches = partial(says, node, "shop")
            assert await reaches(outside.public, port) == "the database", "as ever"
            assert await reaches(outside.private, port) != "the database"
            space = (await ok(node.api.get("/v3/spaces")))["resources"][0]["guid"]
            rule = {"protocol": "tcp", "destination": outside.private, "ports": str(port)}
            made = await ok(node.api.post("/v3/security_groups", json={"name": "database", "rules": [rule]}))
            path = f"/v3/security_groups/{made['guid']}/relationships/running_spaces"
            await ok(node.api.post(path, json={"data": [{"guid": space}]}))
            await soon(lambda: said(reaches(outside.private, port), "the database"))
            await ok(node.api.delete(f"{path}/{space}"))
            await soon(lambda: refused(reaches(outside.private, port)))
            groups = (await ok(node.api.get("/v3/security_groups?names=public_networks")))["resources"]
            off = {"globally_enabled": {"running": False}}
            await ok(node.api.patch(f"/v3/security_groups/{groups[0]['guid']}", json=off))
            await soon(lambda: refused(reaches(outside.public, port)))
            nursery.cancel_scope.cancel()


async def test_an_app_reaches_another_while_a_policy_says_so(outside: Outside, tmp_path: Path):
    """Also while no daemon runs, and under the next one, which finds everything as it was."""

    def call() -> str:
        """As the front app, whatever becomes of the daemon."""
        with socket.create_connection((address, 8080), 3) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"".join(iter(partial(sock.recv, 4096), b"")).decode().splitlines()[-1]

    async with node_beside(outside, tmp_path, outlive=True) as node:
        front, back = await push(node, "front"), await push(node, "back")
        await map_internally(node, "back", back)
        reaches = partial(says, node, "front", "back.apps.internal")
        instance = (await node.get("back.apps.localhost")).text
        assert await reaches(8080) == "gaierror", "the name does not even exist"
        await ok(node.api.post("/networking/v1/external/policies", json=policy(front, back)))
        await soon(lambda: said(reaches(8080), instance))
        assert await reaches(8081) in REFUSED, "of no other port"
        assert await says(node, "back", "front.apps.internal", 8080) == "gaierror", "nor the way back"
        containers = node.node.sandbox.containers.values()
        namespaces = {one.spec.policies.caller: one.address for one in containers}
        [namespace] = [
            one.netns_path for one in node.node.sandbox.network.list().values() if one.address == namespaces[front]
        ]
        address = json.loads((tmp_path / "calls.json").read_text())[0]["address"]
    assert await trio.to_thread.run_sync(partial(links.in_namespace, call, namespace)) == instance
    async with node_beside(outside, tmp_path) as node:
        reaches = partial(says, node, "front", "back.apps.internal")
        assert await reaches(8080) == instance
        assert json.loads((tmp_path / "calls.json").read_text())[0]["address"] == address
        await ok(node.api.post("/networking/v1/external/policies/delete", json=policy(front, back)))
        await soon(lambda: said(reaches(8080), "gaierror"))
        with pytest.raises(OSError):
            await trio.to_thread.run_sync(partial(links.in_namespace, call, namespace))
        await ok(node.api.post("/networking/v1/external/policies", json=policy(front, back)))
        await soon(lambda: said(reaches(8080), instance))
        await node.delete("back")
        await soon(lambda: said(reaches(8080), "gaierror"))


async def said(answer: Awaitable[str], wanted: str) -> bool:
    return await answer == wanted


async def refused(answer: Awaitable[str]) -> bool:
    return await answer in REFUSED
