"""An answer is lost between the daemon and who types: the command sends its call again, and nothing is made twice."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from paasd.cli import persistence
from paasd.cli.persistence import KEY, persist
from paasd.model import AuditEvent, Organization
from tests.api.serving import Served, serve
from tests.cli.typing_hands import paasd


class Cutter:
    """A socket in the daemon's place: it lets calls through, and cuts the first answers to those that change something.

    After a cut it does not listen for a while, as while a daemon starts again.
    """

    def __init__(self, path: Path, behind: Path, cuts: int) -> None:
        self.path = path
        self.behind = behind
        self.cuts = cuts
        self.keys: list[str] = []

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        while True:
            self.path.unlink(missing_ok=True)
            listener = trio.socket.socket(trio.socket.AF_UNIX)
            await listener.bind(str(self.path))
            listener.listen()
            if not self.keys:
                task_status.started()
            with listener:
                while not await self.serve(trio.SocketStream((await listener.accept())[0])):
                    pass
            await trio.sleep(0.5)

    async def serve(self, caller: trio.SocketStream) -> bool:
        """One connection; whether it was cut."""
        cutting = False

        async def ask(daemon: trio.SocketStream, scope: trio.CancelScope) -> None:
            nonlocal cutting
            async for request in caller:
                key = re.search(rb"idempotency-key: (\S+)", request, re.IGNORECASE)
                if key:
                    self.keys.append(key[1].decode())
                    cutting = len(self.keys) <= self.cuts
                await daemon.send_all(request)
            scope.cancel()

        async with caller, await trio.open_unix_socket(str(self.behind)) as daemon, trio.open_nursery() as nursery:
            nursery.start_soon(ask, daemon, nursery.cancel_scope)
            async for answer in daemon:
                if cutting:
                    break
                await caller.send_all(answer)
            nursery.cancel_scope.cancel()
        return cutting


@asynccontextmanager
async def cut(folder: Path, cuts: int) -> AsyncIterator[tuple[Served, Cutter, str]]:
    """A daemon whose first answers are lost, and the directory that commands take it for."""
    async with serve(folder / "api") as served, trio.open_nursery() as nursery:
        seen = folder / "seen"
        (seen / "run").mkdir(parents=True)
        cutter = Cutter(seen / "run" / "api.sock", served.doors.unix_path, cuts)
        await nursery.start(cutter.run)
        yield served, cutter, str(seen)
        nursery.cancel_scope.cancel()


def organizations(served: Served) -> tuple[int, int]:
    """How many there are of the name `one`, and how many were made."""
    with served.context.database.read() as tx:
        made = tx.count(AuditEvent, type="audit.organization.create", target_name="one")
        return tx.count(Organization, name="one"), made


async def test_a_command_whose_answer_is_lost_is_carried_out_once(tmp_path: Path) -> None:
    async with cut(tmp_path, cuts=2) as (served, cutter, data):
        typed = await paasd("--data", data, "create-org", "one")
        assert (typed.code, organizations(served)) == (0, (1, 1)), typed
        assert "the connection broke before the answer came; trying again for up to 15 s" in typed.err
        assert typed.err.count("trying again") == 1
        assert len(cutter.keys) == 3 and len(set(cutter.keys)) == 1
        assert (await paasd("--data", data, "create-org", "two")).code == 0
        assert len(set(cutter.keys)) == 2, "another call has another key"


async def test_without_a_cut_nothing_is_said(tmp_path: Path) -> None:
    async with cut(tmp_path, cuts=0) as (served, cutter, data):
        typed = await paasd("--data", data, "create-org", "one")
        assert (typed.code, typed.err, organizations(served)) == (0, "", (1, 1))
        assert len(cutter.keys) == 1


def answers(*found: int | Exception) -> tuple[list[dict[str, str]], persistence.Send]:
    """A platform that answers so, one after the other, the last one for ever."""
    left, seen = list(found), list[dict[str, str]]()

    def send(headers: dict[str, str]) -> httpx.Response:
        seen.append(headers)
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, Exception):
            raise one
        return httpx.Response(one)

    return seen, send


BROKEN, REFUSED = httpx.ReadError("cut"), httpx.ConnectError("refused")


def test_a_write_goes_on_until_the_platform_takes_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    seen, send = answers(503, 504, BROKEN, REFUSED, 201)
    answer, again = persist("POST", send)
    assert (answer.status_code, again, len(seen)) == (201, True, 5)
    assert len({headers[KEY] for headers in seen}) == 1
    assert capsys.readouterr().err.count("the answer was 503; trying again") == 1


def test_it_ends_with_what_the_platform_said_last_or_the_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "LIMIT_S", 0.3)
    assert persist("DELETE", answers(503)[1])[0].status_code == 503
    with pytest.raises(httpx.ReadError):
        persist("POST", answers(BROKEN, REFUSED)[1])


@pytest.mark.parametrize(("method", "found"), [("POST", REFUSED), ("GET", REFUSED), ("POST", httpx.ReadTimeout(""))])
def test_who_does_not_listen_or_takes_too_long_is_not_waited_for(method: str, found: Exception) -> None:
    seen, send = answers(found)
    with pytest.raises(type(found)):
        persist(method, send)
    assert len(seen) == 1


def test_a_reader_hears_at_once_that_the_platform_is_not_well_but_is_not_cut_off() -> None:
    seen, send = answers(503)
    assert persist("GET", send)[0].status_code == 503 and len(seen) == 1
    seen, send = answers(BROKEN, 200)
    assert persist("GET", send)[0].status_code == 200 and seen == [{}, {}]
