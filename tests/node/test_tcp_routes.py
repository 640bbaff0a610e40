"""A route with a port on a whole node: the example is pushed, and answers on its port until it is unmapped."""

import socket
from pathlib import Path
from typing import Any

import pytest
import trio

from paasd.config import RouterConfig
from tests.node.harness import EXAMPLES, Driver, running_node

pytestmark = pytest.mark.root


def files() -> dict[str, str | bytes]:
    return {
        path.name: path.read_text()
        for path in (EXAMPLES / "tcp-routes" / "echo").iterdir()
        if path.name != "manifest.yml"
    }


def free_ports() -> list[int]:
    """Two that nobody has and the kernel gives to nobody."""
    found: list[int] = []
    for port in range(21000, 22000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
            if len(found) == 2:
                return found
    raise AssertionError("no free ports")


GONE = (OSError, trio.BrokenResourceError)


async def echoed(port: int, text: bytes) -> bytes:
    """What the app says to a connection that says this; raises what GONE names where nobody listens."""
    with trio.fail_after(10):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(text)
            await stream.send_eof()
            return b"".join([bytes(data) async for data in stream])


async def until_closed(port: int) -> None:
    with trio.fail_after(10):
        while True:
            try:
                await echoed(port, b"")
            except GONE:
                return
            await trio.sleep(0.02)


async def until_said(port: int, text: bytes, answer: bytes) -> None:
    with trio.fail_after(10):
        while True:
            try:
                if await echoed(port, text) == answer:
                    return
            except GONE:
                pass
            await trio.sleep(0.02)


async def made(node: Driver, path: str, body: dict[str, Any]) -> Any:
    answer = await node.api.post(path, json=body)
    assert answer.is_success, answer.text
    return answer.json()


@pytest.mark.timeout(240)
async def test_an_app_answers_on_its_port_until_it_is_unmapped(tmp_path: Path) -> None:
    port, taken = free_ports()
    router = RouterConfig(http_port=0, https_port=0, tcp_ports=f"{port},{taken}")
    async with running_node(tmp_path / "n", router=router) as node:
        result = await node.push("echo", files())
        assert result["type"] == "result", result
        app = await node.app("echo")
        group = (await node.api.get("/routing/v1/router_groups")).json()[0]["guid"]
        domain = await made(node, "/v3/domains", {"name": "tcp.localhost", "router_group": {"guid": group}})
        space = app["relationships"]["space"]
        wanted = {"relationships": {"space": space, "domain": {"data": {"guid": domain["guid"]}}}}
        route = await made(node, "/v3/routes", {"port": port, **wanted})
        mapped = f"/v3/routes/{route['guid']}/destinations"
        leading = {"destinations": [{"app": {"guid": app["guid"]}}]}
        (destination,) = (await made(node, mapped, leading))["destinations"]
        await until_said(port, b"hello\n", b"instance 0\nhello\n")
        large = b"x" * 65535 + b"\n"
        assert await echoed(port, large * 40) == b"instance 0\n" + large * 40
        with socket.create_server(("127.0.0.1", taken)):
            other = await made(node, "/v3/routes", {"port": taken, **wanted})
            await made(node, f"/v3/routes/{other['guid']}/destinations", leading)
            with trio.fail_after(10):
                while not [one for one in await problems(node) if f"on port {taken}: another program" in one]:
                    await trio.sleep(0.05)
            assert await echoed(port, b"a\n") == b"instance 0\na\n"
        await until_said(taken, b"b\n", b"instance 0\nb\n")
        assert [one for one in await problems(node) if "another program" in one] == []
        again = await node.push("echo", files())
        assert {f"tcp://tcp.localhost:{port}", f"tcp://tcp.localhost:{taken}"} <= set(again["urls"])
        await until_said(port, b"c\n", b"instance 0\nc\n")
        assert (await node.api.delete(f"{mapped}/{destination['guid']}")).status_code == 204
        await until_closed(port)
        assert (await node.api.post(f"/v3/apps/{app['guid']}/actions/stop")).is_success
        await until_closed(taken)


async def problems(node: Driver) -> list[str]:
    return list((await node.api.get("/paasd/v1/status")).json()["problems"])
