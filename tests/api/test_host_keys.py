"""The host key of ssh is changed: clients hear of the next one for two weeks before they see it, or see it at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio.testing

from paasd.auth.host_keys import HostKey, keep_host_keys, public_host_keys, read_host_keys
from paasd.config import PeerConfig
from paasd.membership.book import Book
from paasd.membership.files import MemberFiles
from paasd.membership.rotation import RootKeeper, Rotation, open_rotation
from paasd.membership.rotation.steps import HOST_KEY_NOTICE_S
from paasd.model import AuditEvent, Authority, SshHostKey
from paasd.peer import open_peers
from paasd.pki import KeyPair
from paasd.state.sealing import RootKeys, Sealer
from tests.api.serving import Served, serve

CHANGE = "/paasd/v1/keys/ssh/actions/change"
DAY_S = 86400.0


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as made:
        yield made


@asynccontextmanager
async def rotating(served: Served, directory: Path) -> AsyncIterator[Rotation]:
    """Who takes the steps, in the time of the test."""

    def nothing() -> KeyPair:
        raise AssertionError("no host key needs an authority")

    context, sealer = served.context, sealer_of(served)
    async with open_peers(PeerConfig(), "node", lambda _: None, clock=served.clock) as peers:
        keeper = RootKeeper(context.database, RootKeys(directory), peers, Book(MemberFiles(directory), "node"))
        rotation = Rotation(context.database, sealer, keeper, dict, lambda _: True, nothing, served.clock)
        rotation.due = list  # type: ignore[method-assign]
        yield rotation


def sealer_of(served: Served) -> Sealer:
    assert isinstance(served.context.sealer, Sealer)
    return served.context.sealer


def keys(served: Served) -> list[HostKey]:
    return read_host_keys(served.context.database, sealer_of(served))


async def first(served: Served) -> HostKey:
    (key,) = await keep_host_keys(served.context.database, sealer_of(served))
    return key


async def changed(http: httpx.AsyncClient, **params: str) -> None:
    answer = await http.post(CHANGE, params=params)
    assert answer.status_code == 200, answer.text


async def test_the_next_host_key_is_announced_then_shown_and_the_former_one_is_forgotten(
    served: Served, tmp_path: Path
) -> None:
    old = await first(served)
    async with await served.admin() as http, rotating(served, tmp_path) as rotation:

        async def after(days: float) -> list[HostKey]:
            served.clock.ahead_s += days * DAY_S
            async with open_rotation(rotation):
                await trio.testing.wait_all_tasks_blocked(0.05)
            return keys(served)

        await changed(http)
        _, new = found = keys(served)
        assert found == [old, new] and new.public != old.public
        again = await http.post(CHANGE)
        assert (again.status_code, "is being changed already" in again.text) == (422, True)
        assert await after(13.9) == [old, new]
        assert "is announced beside the present one until" in rotation.steps()[0].in_words()
        assert await after(0.2) == [new, old]
        assert "is announced until" in rotation.steps()[0].in_words()
        assert await after(13.8) == [new, old]
        assert await after(0.3) == [new]
        assert rotation.steps() == []
        assert await keep_host_keys(served.context.database, sealer_of(served)) == [new]
    with served.context.database.read() as tx:
        rows = {row.certificate: row for row in tx.all(Authority)}
        assert (rows[old.public].state, rows[old.public].sealed_key) == ("RETIRED", "")
        assert tx.all(SshHostKey) == [], "what opens the former key is nowhere"
        assert public_host_keys(tx) == [new.public]
        events = [
            (row.type, row.actor_name, row.data["public_key"]) for row in tx.all(AuditEvent, target_type="authority")
        ]
    assert sorted(events) == sorted(
        [
            ("audit.authority.begin", "admin", new.public),
            ("platform.authority.advance", "paasd", new.public),
            ("platform.authority.advance", "paasd", old.public),
        ]
    )
    assert HOST_KEY_NOTICE_S == 14 * DAY_S


async def test_a_host_key_in_other_hands_is_replaced_at_once_with_all_that_was_announced(served: Served) -> None:
    old = await first(served)
    async with await served.admin() as http:
        await changed(http)
        announced = keys(served)[1]
        await changed(http, at_once="true")
        (new,) = keys(served)
        assert new.public not in (old.public, announced.public)
        refused = await http.post("/paasd/v1/keys/root/actions/change", params={"at_once": "true"})
        assert (refused.status_code, "only the host key of ssh" in refused.text) == (422, True)
    with served.context.database.read() as tx:
        assert sorted(bool(row.sealed_key) for row in tx.all(Authority)) == [False, False, True]
        assert tx.all(SshHostKey) == []
        (event,) = tx.all(AuditEvent, type="audit.authority.replace")
    assert (event.actor_name, event.data) == ("admin", {"purpose": "ssh", "public_key": new.public})


async def test_without_a_door_there_is_no_host_key_to_change_and_others_than_admins_change_none(served: Served) -> None:
    async with await served.admin() as http:
        answer = await http.post(CHANGE)
        assert (answer.status_code, "no node has listened for ssh" in answer.text) == (422, True)
    await first(served)
    await served.make_user("ada")
    async with served.client((await served.login("ada"))["access_token"]) as http:
        for params in ({}, {"at_once": "true"}):
            assert (await http.post(CHANGE, params=params)).status_code == 403
    assert len(keys(served)) == 1
