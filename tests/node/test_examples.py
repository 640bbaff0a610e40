"""Every sample app, from source to its page over HTTPS; pushed again, only what changed is done again."""

import shutil
import ssl
from collections.abc import Callable
from pathlib import Path

import h2.connection
import h2.events
import pytest
import trio
import wsproto
import wsproto.events

from tests.node.harness import EXAMPLES, Driver, running_node

pytestmark = pytest.mark.root

PAGES = {
    "asgi-chat": "<h1>Chat</h1>",
    "c-binary": "Hello from C, instance 0",
    "django-app": "Tea",
    "express-app": '<script type=module src="/client.js">',
    "flask-app": "<h1>Hello from flask-app</h1>",
    "static-site": "Served by nginx",
    "testing": "visit",
}
# A change of code, and how the page tells of it.
CHANGES: dict[str, tuple[str, Callable[[str], str], str]] = {
    "asgi-chat": ("main.py", lambda text: text.replace("<h1>Chat</h1>", "<h1>Talk</h1>"), "<h1>Talk</h1>"),
    "django-app": (
        "shop/urls.py",
        lambda text: text.replace('"Tea"', '"Coffee"'),
        "Coffee",
    ),
    "express-app": (
        "server.js",
        lambda text: text.replace("<h1>Hello</h1>", "<h1>Good day</h1>"),
        "<h1>Good day</h1>",
    ),
    "flask-app": (
        "app.py",
        lambda text: text.replace("Hello from", "Greetings from"),
        "Greetings from flask-app",
    ),
}
INSTALLING = ("Installing dependencies", "npm ci", "npm install", "added ", "Downloading", "Installed ")


@pytest.mark.timeout(420)
async def test_every_sample_app_is_served_and_pushed_again_without_doing_it_all_again(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(EXAMPLES, sources, ignore=shutil.ignore_patterns("node_modules", "__pycache__", "server"))
    await trio.run_process(["make", "-s"], cwd=sources / "c-binary")
    assert {path.parent.name for path in sources.glob("*/manifest.yml")} == set(PAGES)
    async with running_node(tmp_path / "n") as node:
        for name, text in PAGES.items():
            await pushed(node, name, sources / name)
            assert text in await page(node, name), name
            if name == "asgi-chat":
                await a_websocket_echoes(node, f"{name}.apps.localhost")
            if name == "flask-app":
                await http2_is_spoken(node, f"{name}.apps.localhost")
            await an_unchanged_push_reuses_the_droplet(node, name, sources / name)
            if name in CHANGES:
                await a_change_of_code_installs_nothing(node, name, sources / name)
            await node.delete(name)


async def pushed(node: Driver, name: str, folder: Path) -> list[str]:
    """The staging log of a push that succeeded."""
    began = trio.current_time()
    result = await node.push(name, folder, (folder / "manifest.yml").read_text())
    assert result["type"] == "result", (name, result, result["log"][-20:])
    steps = " ".join(f"{step['name']} {step['duration_s']:.2f}" for step in result["waterfall"])
    print(f"{name}: {trio.current_time() - began:.1f} s ({steps})")
    return list(result["log"])


async def page(node: Driver, name: str) -> str:
    answer = await node.get(f"{name}.apps.localhost")
    assert answer.status_code == 200, (name, answer.text)
    return answer.text


async def an_unchanged_push_reuses_the_droplet(node: Driver, name: str, folder: Path) -> None:
    log = await pushed(node, name, folder)
    assert any("Nothing changed since the droplet of" in line for line in log), (name, log)
    assert PAGES[name] in await page(node, name)


async def a_change_of_code_installs_nothing(node: Driver, name: str, folder: Path) -> None:
    file, change, text = CHANGES[name]
    code = (folder / file).read_text()
    assert change(code) != code
    (folder / file).write_text(change(code))
    log = await pushed(node, name, folder)
    assert any("unchanged" in line and "nothing to install" in line for line in log), (name, log)
    assert not [line for line in log for sign in INSTALLING if sign in line], (name, log)
    with trio.fail_after(30):
        while text not in await page(node, name):
            await trio.sleep(0.05)


async def a_websocket_echoes(node: Driver, host: str) -> None:
    """Through TLS and the router, as a browser does it."""
    async with await tls_stream(node, host, ["http/1.1"]) as stream:
        socket = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        await stream.send_all(socket.send(wsproto.events.Request(host=host, target="/chat")))
        assert isinstance(await next_event(stream, socket), wsproto.events.AcceptConnection)
        for text in ("hello", "x" * 20_000):
            await stream.send_all(socket.send(wsproto.events.TextMessage(data=text)))
            heard = ""
            while len(heard) < len(text):
                event = await next_event(stream, socket)
                assert isinstance(event, wsproto.events.TextMessage), event
                heard += event.data
            assert heard == text
        await stream.send_all(socket.send(wsproto.events.CloseConnection(code=1000)))
        assert isinstance(await next_event(stream, socket), wsproto.events.CloseConnection)


async def next_event(stream: trio.SSLStream[trio.SocketStream], socket: wsproto.WSConnection) -> wsproto.events.Event:
    with trio.fail_after(30):
        while True:
            for event in socket.events():
                return event
            socket.receive_data(bytes(await stream.receive_some(65_536)))


async def http2_is_spoken(node: Driver, host: str) -> None:
    """Two requests at once on one connection."""
    async with await tls_stream(node, host, ["h2"]) as stream:
        assert stream.selected_alpn_protocol() == "h2"
        http = h2.connection.H2Connection()
        http.initiate_connection()
        head = [(":method", "GET"), (":authority", host), (":scheme", "https"), (":path", "/health")]
        numbers = [http.get_next_available_stream_id()]
        http.send_headers(numbers[0], head, end_stream=True)
        numbers.append(http.get_next_available_stream_id())
        http.send_headers(numbers[1], head, end_stream=True)
        await stream.send_all(http.data_to_send())
        statuses: dict[int, str] = {}
        ended: set[int] = set()
        with trio.fail_after(30):
            while ended != set(numbers):
                for event in http.receive_data(bytes(await stream.receive_some(65_536))):
                    if isinstance(event, h2.events.ResponseReceived):
                        statuses[event.stream_id] = dict(event.headers)[b":status"].decode()
                    if isinstance(event, h2.events.StreamEnded):
                        ended.add(event.stream_id)
        assert statuses == dict.fromkeys(numbers, "200")


async def tls_stream(node: Driver, host: str, protocols: list[str]) -> trio.SSLStream[trio.SocketStream]:
    context = ssl.create_default_context(cafile=str(node.node.certificates.authority_path))
    context.set_alpn_protocols(protocols)
    stream = await trio.open_tcp_stream("127.0.0.1", node.https_port)
    secured = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    await secured.do_handshake()
    return secured
