"""The desk gives nothing without a used code, whatever the process that speaks ssh says: it may be an enemy by now."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from paasd.actions.ssh import Place
from paasd.auth.throttle import Throttle
from paasd.config import ApiConfig, AuthConfig, Config, SshConfig
from paasd.errors import NotFound
from paasd.sandbox import AnyContainer
from paasd.ssh.confinement import build_filter
from paasd.ssh.desk import FAILED, Desk, Opens
from paasd.ssh.messages import (
    Admit,
    Asked,
    Connect,
    Expel,
    Leave,
    Opened,
    Refuse,
    Resize,
    Signal,
    SignIn,
    Start,
    Told,
    decode_told,
    encode,
)
from paasd.ssh.programs import End, Program, Programs
from paasd.ssh.wire import Ask
from tests.api.serving import CHEAP_HASHES, Served, serve
from tests.api.tenants import make_tenant
from tests.api.test_ssh import code_of, running

LIMIT_S = 10.0
FAILURES = 3


class Nowhere:
    """No instance is here."""

    def container_of(self, _instance_guid: str, _epoch: int) -> AnyContainer | None:
        return None


class Process:
    """The other end of the control socket."""

    def __init__(self, control: trio.socket.SocketType) -> None:
        self._control = control

    async def say(self, message: Asked | bytes) -> None:
        await self._control.send(message if isinstance(message, bytes) else encode(message))

    async def hear(self) -> Told:
        with trio.fail_after(LIMIT_S):
            return decode_told(await self._control.recv(65536))

    async def ask(self, message: Asked) -> Told:
        await self.say(message)
        return await self.hear()


@asynccontextmanager
async def open_desk(
    served: Served, opens: Opens | None = None
) -> AsyncIterator[tuple[Process, list[tuple[str, str, str]]]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    programs, refused = Programs(Nowhere(), lambda: False), list[tuple[str, str, str]]()
    with trio.socket.from_stdlib_socket(ours) as control, trio.socket.from_stdlib_socket(theirs) as other:
        desk = Desk(
            served.context,
            served.auth,
            opens or (lambda _place, ask: programs.open(ask)),
            control,
            Throttle(served.context.config.auth),
            lambda *words: refused.append(words),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.serve)
            yield Process(other), refused
            nursery.cancel_scope.cancel()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    auth = msgspec.structs.replace(CHEAP_HASHES, login_failures=FAILURES, login_wait_s=60.0)
    config = Config(api=ApiConfig(port=0, grace_s=1.0), auth=auth, ssh=SshConfig(sessions_per_user=2))
    async with serve(tmp_path, config) as made:
        yield made


def start(session: str, number: int = 9) -> Start:
    return Start(id=number, session=session, kind="shell")


async def test_a_session_is_what_a_used_code_has_opened_and_ends_when_its_client_leaves(served: Served) -> None:
    tenant = await make_tenant(served, "acme")
    target = await running(served, tenant)
    async with open_desk(served) as (process, refused), tenant.client("developer") as http:
        assert await process.ask(start("made-up")) == Refuse(9, "You are not in")
        assert await process.ask(Connect(id=8, session="", host="127.0.0.1", port=1)) == Refuse(8, "You are not in")
        code = await code_of(http)
        admitted = await process.ask(SignIn(1, target, code, "192.0.2.7"))
        assert isinstance(admitted, Admit)
        assert await process.ask(start(admitted.session)) == Refuse(9, "The instance has ended")
        again = await process.ask(SignIn(2, target, code, "192.0.2.7"))
        assert isinstance(again, Refuse)
        assert [(address, why) for address, _, why in refused] == [("192.0.2.7", "wrong code")]
        await process.say(Leave(admitted.session))
        assert await process.ask(start(admitted.session)) == Refuse(9, "You are not in")


async def test_a_user_is_in_so_often_and_not_more(served: Served) -> None:
    tenant = await make_tenant(served, "acme")
    target = await running(served, tenant)
    async with open_desk(served) as (process, _), tenant.client("developer") as http:
        answers = [await process.ask(SignIn(one, target, await code_of(http), "192.0.2.7")) for one in range(3)]
        assert [type(answer) for answer in answers] == [Admit, Admit, Refuse]
        assert answers[2] == Refuse(2, "You have 2 connections already")


async def test_who_loses_the_right_is_expelled_and_gets_nothing_any_more(served: Served) -> None:
    tenant = await make_tenant(served, "acme")
    target = await running(served, tenant)
    async with open_desk(served) as (process, _), tenant.client("developer") as http, await served.admin() as admin:
        admitted = await process.ask(SignIn(1, target, await code_of(http), "192.0.2.7"))
        assert isinstance(admitted, Admit)
        await admin.patch("/paasd/v1/organizations/acme/ssh", json={"allowed": False})
        assert await process.hear() == Expel(admitted.session, "ssh is disabled for organization")
        assert await process.ask(start(admitted.session)) == Refuse(9, "You are not in")


async def test_an_address_waits_after_wrong_codes_and_others_do_not(served: Served) -> None:
    tenant = await make_tenant(served, "acme")
    target = await running(served, tenant)
    async with open_desk(served) as (process, refused), tenant.client("developer") as http:
        for number in range(FAILURES):
            answer = await process.ask(SignIn(number, target, "aaaa-aaaa-aaaa-aaaa", "192.0.2.7"))
            assert isinstance(answer, Refuse) and "The code is wrong" in answer.reason
        waits = await process.ask(SignIn(8, target, await code_of(http), "192.0.2.7"))
        assert isinstance(waits, Refuse) and "Too many wrong codes; try again in" in waits.reason
        assert isinstance(await process.ask(SignIn(9, target, await code_of(http), "192.0.2.8")), Admit)
    assert [why for *_, why in refused] == ["wrong code"] * FAILURES + ["too many wrong codes"]


class Broken:
    """A program that has ended, and nobody has noticed."""

    ends = ()

    async def wait(self) -> End:
        await trio.sleep_forever()
        raise AssertionError

    async def signal(self, _name: str) -> None:
        raise trio.ClosedResourceError

    async def resize(self, _size: tuple[int, int, int, int]) -> None:
        raise ExceptionGroup("both", [ValueError("odd")])

    def let_go(self) -> None: ...


@asynccontextmanager
async def open_broken(_place: Place, ask: Ask) -> AsyncIterator[Program]:
    if ask.kind == "connect":
        raise ExceptionGroup("both", [OSError("odd")])
    yield Broken()


async def test_what_goes_wrong_in_one_session_is_the_end_of_no_other(served: Served) -> None:
    tenant = await make_tenant(served, "acme")
    target = await running(served, tenant)
    async with open_desk(served, open_broken) as (process, _), tenant.client("developer") as http:
        admitted = await process.ask(SignIn(1, target, await code_of(http), "192.0.2.7"))
        assert isinstance(admitted, Admit)
        assert await process.ask(start(admitted.session)) == Opened(9)
        await process.say(Signal(9, "INT"))
        await process.say(Resize(9, (80, 24, 0, 0)))
        assert await process.ask(Connect(8, admitted.session, "127.0.0.1", 1)) == Refuse(8, FAILED)
        assert isinstance(await process.ask(SignIn(2, target, await code_of(http), "192.0.2.7")), Admit)


async def test_who_is_in_goes_when_what_they_are_in_is_gone(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await make_tenant(served, "acme")
    target = await running(served, tenant)
    async with open_desk(served) as (process, _), tenant.client("developer") as http, await served.admin() as admin:
        admitted = await process.ask(SignIn(1, target, await code_of(http), "192.0.2.7"))
        assert isinstance(admitted, Admit)

        def gone(*_: object) -> None:
            raise NotFound("Space")

        monkeypatch.setattr("paasd.ssh.desk.check_still", gone)
        await admin.patch("/paasd/v1/organizations/acme/ssh", json={"allowed": True})
        assert await process.hear() == Expel(admitted.session, "Space not found")
        assert await process.ask(start(admitted.session)) == Refuse(9, "You are not in")


async def test_nonsense_is_the_end_of_the_process(served: Served) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with trio.socket.from_stdlib_socket(ours) as control, theirs:
        theirs.send(b"\xc1 nonsense")
        programs = Programs(Nowhere(), lambda: False)
        desk = Desk(
            served.context,
            served.auth,
            lambda _place, ask: programs.open(ask),
            control,
            Throttle(AuthConfig()),
            lambda *_: None,
        )
        with trio.fail_after(LIMIT_S):
            await desk.serve()


def test_the_filter_is_a_program_of_some_hundred_instructions() -> None:
    assert 100 < len(build_filter()) / 8 < 1000
