"""A worker has no host key; who comes to its port is led to a control node, by the unmodified OpenSSH client."""

import os
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from paasd.config import ApiConfig, Config, SshConfig
from paasd.model import AuditEvent
from paasd.peer import PeerRefused, TlsPeers
from paasd.ssh import passing
from paasd.ssh.door import SshDoor, open_door
from paasd.ssh.wire import End
from paasd.state.sealing import Sealer
from tests.api.serving import CHEAP_HASHES, Served, serve
from tests.api.tenants import make_tenant
from tests.api.test_ssh import running
from tests.peer.hands import Town, guid_of
from tests.ssh.hands import LIMIT_S, Hands

BYTES = 3 * 1024 * 1024
FROM = "127.0.0.5"


class Cat:
    """In place of an instance: a program that gives back what it is given."""

    def __init__(self) -> None:
        self._pairs = [os.pipe() for _ in range(3)]
        (given, _), (_, out), (_, errors) = self._pairs
        self._cat = subprocess.Popen(["cat"], stdin=given, stdout=out, stderr=errors)
        for one in (given, out, errors):
            os.close(one)

    @property
    def ends(self) -> tuple[int, ...]:
        (_, given), (out, _), (errors, _) = self._pairs
        return given, out, errors

    async def wait(self) -> End:
        return End(code=await trio.to_thread.run_sync(self._cat.wait, abandon_on_cancel=True))

    async def signal(self, name: str) -> None: ...

    async def resize(self, size: tuple[int, int, int, int]) -> None: ...

    def let_go(self) -> None:
        for one in self.ends:
            os.close(one)

    def end(self) -> None:
        self._cat.kill()
        self._cat.wait()


@asynccontextmanager
async def cat() -> AsyncIterator[Cat]:
    made = Cat()
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    ssh = SshConfig(port=0, unknown_connections_per_address=2)
    config = Config(api=ApiConfig(port=0, grace_s=1.0), auth=CHEAP_HASHES, ssh=ssh)
    async with serve(tmp_path, config) as made:
        yield made


@asynccontextmanager
async def door_of(served: Served, peers: TlsPeers, directory: Path) -> AsyncIterator[SshDoor]:
    sealer = served.context.sealer
    assert isinstance(sealer, Sealer)
    log = directory / "ssh.log"
    async with open_door(
        served.context, served.auth, sealer, lambda _place, _ask: cat(), log, lambda *_words: None
    ) as door:
        passing.serve(peers, door.take_in)
        yield door


async def test_who_comes_to_a_worker_is_led_to_a_control_node_that_lives(served: Served, tmp_path: Path) -> None:
    tenant, town = await make_tenant(served, "acme"), Town(tmp_path / "town")
    user = await running(served, tenant)
    dead, control = guid_of(1), guid_of(2)
    town.addresses[dead] = ("127.0.0.1", unused())
    async with (
        town.node(2) as one,
        town.node(3, "worker") as two,
        door_of(served, one, tmp_path) as door,
        tenant.client("developer") as http,
        trio.open_nursery() as nursery,
    ):
        listener = socket.create_server(("127.0.0.1", 0))
        nursery.start_soon(passing.pass_on, listener, two, lambda: [dead, control])
        port = listener.getsockname()[1]
        hands = Hands(tmp_path, port, http, door.public_key, dict(http.headers))
        assert door.process is None
        given = os.urandom(BYTES)
        for _ in range(2):
            done = await hands.run(["ssh", "-b", FROM, "-l", user, "127.0.0.1", "cat"], given=given)
            assert (done.returncode, done.stdout == given) == (0, True), done.stderr
        with served.context.database.read() as tx:
            events = tx.all(AuditEvent, type="audit.app.ssh-authorized")
        assert {event.address for event in events} == {FROM}
        await strangers(port)
        assert (await hands.run(["ssh", "-b", FROM, "-l", user, "127.0.0.1", "cat"])).returncode == 0
        nursery.cancel_scope.cancel()


async def strangers(port: int) -> None:
    """They are counted by the address that they came from; those that are too many are closed at once."""
    async with trio.open_nursery() as nursery:
        greeted: list[bytes] = []

        async def come() -> None:
            with trio.socket.socket() as here:
                await here.bind(("127.0.0.6", 0))
                await here.connect(("127.0.0.1", port))
                greeted.append(await here.recv(100))
                if greeted[-1]:
                    await trio.sleep_forever()

        for _ in range(5):
            nursery.start_soon(come)
        with trio.fail_after(LIMIT_S):
            while len(greeted) < 5:
                await trio.sleep(0.02)
        nursery.cancel_scope.cancel()
    assert sorted(map(bool, greeted)) == [False] * 3 + [True] * 2


async def test_only_workers_lead_somebody_and_where_no_control_node_answers_the_connection_ends(
    served: Served, tmp_path: Path
) -> None:
    town = Town(tmp_path / "town")
    async with (
        town.node(2) as one,
        town.node(3, "worker") as two,
        town.node(4) as other,
        door_of(served, one, tmp_path) as door,
        trio.open_nursery() as nursery,
    ):
        with pytest.raises(PeerRefused):
            async with other.stream(guid_of(2), passing.KIND, b"\x81\xa7address\xa9127.0.0.1") as stream:
                await stream.receive()
        assert door.process is None
        listener = socket.create_server(("127.0.0.1", 0))
        nursery.start_soon(passing.pass_on, listener, two, lambda: [guid_of(4)])
        async with await trio.open_tcp_stream("127.0.0.1", listener.getsockname()[1]) as here:
            with trio.fail_after(LIMIT_S):
                assert await here.receive_some() == b""
        nursery.cancel_scope.cancel()


def unused() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
