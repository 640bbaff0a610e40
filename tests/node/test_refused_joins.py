"""What a whole node keeps of joins that it refused: each in a chain on its disk, whose head the log witnesses."""

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

import paasd.testing
from paasd.chained_file import find_break, read_records
from paasd.config import PeerConfig
from paasd.errors import PaasdError
from paasd.membership import Machine, choose_ports, join, parse_token
from paasd.model import AuditEvent
from paasd.model.refusals import EVENT
from paasd.node import engines
from paasd.testing import EmbeddedNode
from tests.membership.world import LOOPBACK

PER_MINUTE = 12


async def refused(node: EmbeddedNode, directory: Path, text: str, *, ahead_s: float = 0.0, **changes: Any) -> str:
    """What a machine is told that tries to join by this token, past what it would find out by itself."""
    member = node.node.membership.member
    token = msgspec.structs.replace(
        parse_token(text), endpoints=((node.config.cluster.listen, member.ports.peer),), **changes
    )
    machine = Machine(
        guid="0" * 36,
        name="new",
        zone="dc/new",
        memory_mb=1024,
        disk_mb=1024,
        cpus=1,
        listen="127.0.0.1",
        address="127.0.0.1",
        ports=choose_ports(LOOPBACK),
        version="1",
        schema_limit=1000,
    )
    with pytest.raises(PaasdError) as caught:
        await join(token, machine, directory, PeerConfig(), lambda _: None, lambda: time.time() + ahead_s)
    return caught.value.detail


async def test_every_refused_join_is_kept_up_to_a_rate_and_the_log_witnesses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "PERIOD_S", 0.2)
    async with paasd.testing.cluster(peer=PeerConfig(strangers_per_minute=PER_MINUTE)) as c:
        (node,) = c.nodes

        async def token(**body: Any) -> str:
            return str((await c.api.post("/paasd/v1/tokens", json=body)).raise_for_status().json()["token"])

        good, elsewhere, deleted = await token(), await token(zone="dc/elsewhere"), await token()
        (await c.api.delete(f"/paasd/v1/tokens/{parse_token(deleted).id}")).raise_for_status()
        told = [
            await refused(node, tmp_path, good, secret="a" * 26),
            await refused(node, tmp_path, elsewhere),
            await refused(node, tmp_path, deleted),
            await refused(node, tmp_path, good, ahead_s=45.0),
        ]
        for said, words in zip(told, ("not known", "is for zone", "not known", "45 s ahead"), strict=True):
            assert words in said
        for _ in range(PER_MINUTE):
            told.append(await refused(node, tmp_path, good, secret="b" * 26))
            if "too many attempts" in told[-1]:
                break
        assert "wait a minute" in told[-1]
        assert len(told) <= PER_MINUTE + 1

        kept = read_records(node.directory / "refusals.jsonl")
        assert find_break(kept) is None
        assert [record.door for record in kept] == ["join"] * len(told)
        assert all(record.why in said for record, said in zip(kept, told, strict=True))
        assert kept[0].subject == parse_token(good).id

        def witnessed() -> bool:
            with node.node.context.database.read() as tx:
                heads = [event.data for event in tx.all(AuditEvent, type=EVENT)]
            return {"count": len(kept), "head": kept[-1].hash} in heads

        await c.until(witnessed)
        with node.node.context.database.read() as tx:
            before = tx.count(AuditEvent, type=EVENT)
        await trio.sleep(engines.PERIOD_S * 3)
        with node.node.context.database.read() as tx:
            assert tx.count(AuditEvent, type=EVENT) == before, "nothing is said again while nothing comes"
