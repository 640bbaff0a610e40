"""Strangers who do their worst at the door, and the ends of the processes behind it."""

import os
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import psutil
import pytest
import trio

from paasd.config import SshConfig
from paasd.sandbox import node_prefix
from paasd.ssh.desk import Desk
from tests.node.daemon import Daemon, running_daemon
from tests.node.harness import HELLO, SPACE, archive
from tests.ssh.hands import LIMIT_S, Hands
from tests.ssh.scene import Scene, ended, open_scene, waiting

pytestmark = pytest.mark.root

SIGN_IN_S = 2
STRANGERS = SshConfig(
    port=0,
    sign_in_s=SIGN_IN_S,
    unknown_connections=40,
    unknown_connections_per_address=20,
    process_idle_s=1.5,
    sessions_per_user=2,
    channels_per_session=3,
)
FLOOD = 1500
GROWTH_LIMIT_BYTES = 64 << 20


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(LIMIT_S):
        while not condition():
            await trio.sleep(0.02)


async def test_a_desk_that_fails_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve, served = Desk.serve, list[Desk]()

    async def fail_first(desk: Desk) -> None:
        served.append(desk)
        if len(served) == 1:
            raise ExceptionGroup("both", [OSError("odd"), ValueError("odd")])
        await serve(desk)

    async with open_scene(tmp_path, STRANGERS) as scene:
        monkeypatch.setattr(Desk, "serve", fail_first)
        assert (await scene.hands.ssh(scene.user, "true")).returncode == 0, "nobody had taken the connection yet"
        assert len(served) == 2


async def test_strangers_hold_up_nobody_and_the_process_goes_when_it_is_idle(tmp_path: Path) -> None:
    async with open_scene(tmp_path, STRANGERS) as scene:
        door = scene.node.node.ssh
        assert door is not None
        assert door.process is None
        assert (await scene.hands.ssh(scene.user, "true")).returncode == 0
        assert door.process is not None
        process = psutil.Process(door.process.pid)
        size = process.memory_info().rss
        await slow_ones(scene, door.port)
        await garbage(scene, door.port)
        await flood(scene, door.port)
        assert process.is_running()
        assert process.memory_info().rss - size < GROWTH_LIMIT_BYTES
        await limits(scene)
        await until(lambda: door.process is None)
        await until(lambda: not process.is_running())
        await killed(scene)


async def slow_ones(scene: Scene, port: int) -> None:
    """They are more than there is room for and say nothing; others come in meanwhile, and they are shown out."""
    slow = [await stranger("127.0.0.2", port) for _ in range(60)]
    done = await scene.hands.ssh(scene.user, "echo in")
    assert done.stdout == b"in\n"
    with trio.fail_after(SIGN_IN_S + LIMIT_S):
        for stream in slow:
            with stream:
                try:
                    while await stream.recv(4096):
                        pass
                except ConnectionResetError:
                    pass


async def garbage(scene: Scene, port: int) -> None:
    """Whatever is said in place of a greeting, or after it."""
    for words in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(70_000), b"x" * 300_000, b"SSH-2.0-x\r\n" + os.urandom(5000)):
        with await stranger("127.0.0.2", port) as stream:
            try:
                await stream.send(words)
                with trio.move_on_after(0.2):
                    while await stream.recv(4096):
                        pass
            except OSError:
                pass
    assert (await scene.hands.ssh(scene.user, "echo in")).stdout == b"in\n"


async def flood(scene: Scene, port: int) -> None:
    """Connections as fast as they can be made, while the daemon answers and somebody comes in."""
    slowest_s = 0.0
    async with trio.open_nursery() as nursery:

        async def knock() -> None:
            for number in range(FLOOD):
                try:
                    (await stranger(f"127.0.0.{2 + number % 2}", port)).close()
                except OSError:
                    continue
            nursery.cancel_scope.cancel()

        async def ask() -> None:
            nonlocal slowest_s
            while True:
                began = trio.current_time()
                assert (await scene.node.api.get("/v3/apps")).status_code == 200
                slowest_s = max(slowest_s, trio.current_time() - began)

        nursery.start_soon(knock)
        nursery.start_soon(ask)
    assert slowest_s < 2
    assert (await scene.hands.ssh(scene.user, "echo in")).stdout == b"in\n"


async def stranger(address: str, port: int) -> trio.socket.SocketType:
    made = trio.socket.socket()
    await made.bind((address, 0))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await made.connect(("127.0.0.1", port))
    return made


async def limits(scene: Scene) -> None:
    """Two connections of one user, no more; what is over is refused with the reason."""
    first, second = await waiting(scene), await waiting(scene)
    done = await scene.hands.ssh(scene.user, "true")
    assert (done.returncode, b"You have 2 connections already" in done.stderr) == (255, True)
    for process in (first, second):
        process.kill()
        await process.wait()
    await until(lambda: scene.programs() == 1 + 1)


async def killed(scene: Scene) -> None:
    """kill -9 of the process: who was in is out, what they ran is gone, and the next one comes in."""
    door = scene.node.node.ssh
    assert door is not None
    before = scene.programs()
    process = await waiting(scene)
    assert door.process is not None
    os.kill(door.process.pid, signal.SIGKILL)
    await ended(process)
    await scene.quiet(before)
    assert (await scene.hands.ssh(scene.user, "echo in")).stdout == b"in\n"


async def test_a_daemon_that_is_killed_leaves_nothing_of_those_who_were_in(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    async with running_daemon(tmp_path / "node") as daemon, AsyncExitStack() as stack:
        transport = httpx.AsyncHTTPTransport(uds=str(daemon.socket))
        api = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60)
        )
        hands, user = await entered(api, tmp_path)
        before = shims(daemon)
        assert before == 1
        process = await hands.start(user, "nohup sleep 4321 & echo in; sleep 4321")
        assert process.stdout is not None
        assert await process.stdout.receive_some(10) == b"in\n"
        await until(lambda: len(sleepers()) == 2)
        await daemon.kill()
        await ended(process)
        await until(lambda: not sleepers() and shims(daemon) == before)
        await daemon.start()
        assert (await hands.ssh(user, "echo in")).stdout == b"in\n"  # under the same host key
        await until(lambda: shims(daemon) == before)


async def entered(api: httpx.AsyncClient, tmp_path: Path) -> tuple[Hands, str]:
    pushed = await api.post(SPACE + "/push", params={"name": "hello", "wait": "true"}, content=archive(HELLO))
    assert pushed.is_success, pushed.text
    invited = (await api.post(f"{SPACE}/apps/hello/ssh", json={})).json()
    assert invited["host"] == "ssh.system.localhost"
    return Hands(tmp_path / "home", invited["port"], api, invited["host_key"], {}), invited["user"]


def sleepers() -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "4321"]]


def shims(daemon: Daemon) -> int:
    """Processes of the daemon's shims, helpers included."""
    title = f"paasd-shim {node_prefix(daemon.data)} "
    return sum((one.info["cmdline"] or [""])[0].startswith(title) for one in psutil.process_iter(["cmdline"]))
