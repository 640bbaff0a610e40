"""The authority of etcd is followed by another one while writes go on. etcd reads whom it believes at its start."""

import time
import uuid
from datetime import UTC, datetime

import pytest
import trio

from paasd import pki
from paasd.membership.rotation import Holding, Ready, authority_step
from paasd.model import Authority, Node
from paasd.model.arguments import SYSTEM
from paasd.model.membership import authority_context
from paasd.model.rotation import AdvanceAuthority, BeginAuthority, advance_authority, begin_authority, believed
from paasd.model.settings import PutSetting, put_setting
from paasd.model.voting import ETCD_AUTHORITY
from paasd.state.sealing import load_root_key, open_sealer
from paasd.voting import following
from tests.voting.cluster import Town, town


def rows(found: Town) -> list[Authority]:
    with found.databases["a"].read() as tx:
        return believed(tx, ETCD_AUTHORITY)


async def begin(found: Town) -> str:
    """The next authority, as the rotation makes it."""
    database, guid = found.databases["a"], str(uuid.uuid4())
    sealer = await open_sealer(database, load_root_key(found.directory / "a" / "root-key"))
    made = pki.make_authority("etcd", datetime.now(UTC))
    row = Authority(
        guid=guid,
        purpose=ETCD_AUTHORITY,
        certificate=made.certificate.decode(),
        sealed_key=sealer.seal(made.key, authority_context(guid)),
    )
    await database.write(begin_authority, BeginAuthority(authority=row, actor=SYSTEM))
    return guid


async def advance(found: Town) -> None:
    """One step, if every voter is ready for it."""
    with found.databases["a"].read() as tx:
        nodes = tx.all(Node)
    members = [
        Holding(
            guid=node.guid,
            name=node.name,
            state=node.state,
            votes=bool(node.voting),
            things=frozenset(found.seats[node.guid].holds(rows(found))),
        )
        for node in nodes
    ]
    step = authority_step(rows(found), members)
    if isinstance(step, Ready):
        await found.databases["a"].write(advance_authority, AdvanceAuthority(guid=step.key, before=step.before))


@pytest.mark.timeout(150)
async def test_voters_take_the_next_authority_one_by_one_while_writes_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "TURN_S", 1.5)
    monkeypatch.setattr(following, "CHECK_S", 0.3)
    async with town() as found:
        for guid, zone in (("a", "x"), ("b", "y"), ("c", "z")):
            await found.start(guid, zone)
        await found.until_votes("abc")
        (old,) = rows(found)
        pids = {guid: seat.member.pid for guid, seat in found.seats.items()}
        slowest_s, writes = 0.0, 0

        async def write() -> None:
            nonlocal slowest_s, writes
            while True:
                for guid in "abc":
                    began = time.monotonic()
                    await found.databases[guid].write(put_setting, PutSetting(name=guid, value="x"), timeout_s=15)
                    slowest_s, writes = max(slowest_s, time.monotonic() - began), writes + 1
                    await trio.sleep(0.05)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            guid = await begin(found)
            with trio.fail_after(90):
                while [row.guid for row in rows(found)] != [guid]:
                    await advance(found)
                    await trio.sleep(0.1)
                while not all(
                    seat.member.authorities() == rows(found)[0].certificate.encode() and seat.member.believes_all
                    for seat in found.seats.values()
                ):
                    await trio.sleep(0.1)
            done = writes
            while writes < done + 6:
                await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        assert slowest_s < 10
        assert all(seat.shows(rows(found)[0].certificate.encode()) for seat in found.seats.values())
        assert not any(seat.shows(old.certificate.encode()) for seat in found.seats.values())
        assert all(seat.member.pid != pids[guid] for guid, seat in found.seats.items())
