"""The steps of changes: in order, one change at a time, and never two authorities or keys that sign or send."""

import pytest

from paasd.errors import Unavailable, Unprocessable
from paasd.model import Authority, GossipKey, Node
from paasd.model.arguments import SYSTEM
from paasd.model.membership import OpenCluster, RemoveNode, open_cluster, remove_node
from paasd.model.nodes import RegisterNode, SetNodeState, register_node, set_node_state
from paasd.model.rotation import (
    AdvanceAuthority,
    AdvanceGossipKey,
    BeginAuthority,
    BeginGossipKey,
    advance_authority,
    advance_gossip_key,
    begin_authority,
    begin_gossip_key,
)
from paasd.model.voting import ChangeVote, change_vote
from paasd.state import Database
from paasd.state.sealing import DataKey, RootKey, open_sealer, rotate_data_key
from paasd.state.sealing.datakeys import AddDataKey, ChangeRootKey, add_data_key_under, reseal_under
from tests.model.seeding import NODE, Seed


async def opened(seed: Seed) -> Database:
    await seed.node()
    await seed.database.write(
        open_cluster,
        OpenCluster(
            cluster_id="c",
            node_guid=NODE,
            authority=Authority(guid="a1", purpose="nodes", certificate="1", sealed_key="s", state="SIGNING"),
            public=Authority(guid="p", purpose="public", certificate="p", sealed_key="s", state="SIGNING"),
            gossip_key=GossipKey(id="k1", sealed="s", state="SENDING"),
        ),
    )
    return seed.database


def states(database: Database) -> tuple[dict[str, str], dict[str, str]]:
    with database.read() as tx:
        return (
            {row.guid: row.state for row in tx.all(Authority, purpose="nodes")},
            {row.id: row.state for row in tx.all(GossipKey)},
        )


async def test_an_authority_goes_through_its_states_and_skips_none(seed: Seed) -> None:
    database = await opened(seed)
    new = Authority(guid="a2", purpose="nodes", certificate="2", sealed_key="s")
    await database.write(begin_authority, BeginAuthority(authority=new, actor=SYSTEM))
    assert states(database)[0] == {"a1": "SIGNING", "a2": "TRUSTED"}
    with pytest.raises(Unprocessable, match="being changed already"):
        await database.write(begin_authority, BeginAuthority(authority=new, actor=SYSTEM))
    for guid, before in (("a1", "SIGNING"), ("a2", "FORMER"), ("p", "SIGNING"), ("nobody", "TRUSTED")):
        assert not await database.write(advance_authority, AdvanceAuthority(guid=guid, before=before))
    assert await database.write(advance_authority, AdvanceAuthority(guid="a2", before="TRUSTED"))
    assert states(database)[0] == {"a1": "FORMER", "a2": "SIGNING"}
    assert not await database.write(advance_authority, AdvanceAuthority(guid="a2", before="TRUSTED"))
    with pytest.raises(Unprocessable, match="being changed already"):
        await database.write(begin_authority, BeginAuthority(authority=new, actor=SYSTEM))
    assert await database.write(advance_authority, AdvanceAuthority(guid="a1", before="FORMER"))
    assert states(database)[0] == {"a1": "RETIRED", "a2": "SIGNING"}
    with database.read() as tx:
        assert (tx.need(Authority, "a1").sealed_key, tx.need(Authority, "a2").sealed_key) == ("", "s")
        assert tx.need(Authority, "p").state == "SIGNING"


async def test_a_gossip_key_goes_through_its_states_and_is_gone(seed: Seed) -> None:
    database = await opened(seed)
    await database.write(begin_gossip_key, BeginGossipKey(key=GossipKey(id="k2", sealed="s"), actor=SYSTEM))
    with pytest.raises(Unprocessable, match="being changed already"):
        await database.write(begin_gossip_key, BeginGossipKey(key=GossipKey(id="k3", sealed="s"), actor=SYSTEM))
    assert not await database.write(advance_gossip_key, AdvanceGossipKey(id="k1", before="FORMER"))
    assert await database.write(advance_gossip_key, AdvanceGossipKey(id="k2", before="KNOWN"))
    assert states(database)[1] == {"k1": "FORMER", "k2": "SENDING"}
    assert await database.write(advance_gossip_key, AdvanceGossipKey(id="k1", before="FORMER"))
    assert states(database)[1] == {"k2": "SENDING"}


async def test_of_two_changes_of_the_root_key_the_second_is_refused(seed: Seed) -> None:
    old, one, two = (RootKey(bytes([number]) * 32) for number in range(3))
    sealer = await open_sealer(seed.database, old)
    sealed = sealer.seal(b"kept", "x")
    with seed.database.read() as tx:
        rows = tx.all(DataKey)
    changes = [
        ChangeRootKey(old.id, new.id, {row.guid: new.seal_key(row.guid, old.open_key(row)) for row in rows})
        for new in (one, two)
    ]
    assert await seed.database.write(reseal_under, changes[0]) == 1
    with pytest.raises(Unavailable, match="was changed meanwhile"):
        await seed.database.write(reseal_under, changes[1])
    with pytest.raises(Unavailable, match="was changed meanwhile"):
        await rotate_data_key(seed.database, old)
    assert (await open_sealer(seed.database, one)).open(sealed, "x") == b"kept"


async def test_a_data_key_that_is_added_meanwhile_is_not_lost(seed: Seed) -> None:
    old, new = RootKey(bytes(32)), RootKey(bytes([1]) * 32)
    await open_sealer(seed.database, old)
    with seed.database.read() as tx:
        rows = tx.all(DataKey)
    sealed = {row.guid: new.seal_key(row.guid, old.open_key(row)) for row in rows}
    added = AddDataKey("added", old.id, old.seal_key("added", bytes(32)))
    await seed.database.write(add_data_key_under, added)
    with pytest.raises(Unavailable, match="was added meanwhile"):
        await seed.database.write(reseal_under, ChangeRootKey(old.id, new.id, sealed))
    with seed.database.read() as tx:
        assert {row.root_id for row in tx.all(DataKey)} == {old.id}


async def test_no_removal_takes_the_majority_of_the_votes_away(seed: Seed) -> None:
    database = await opened(seed)
    for guid in ("b", "c"):
        await seed.member(guid)
    with pytest.raises(Unprocessable, match="node-1 has the log alone"):
        await seed.database.write(remove_node, RemoveNode(guid=NODE, force=True, actor=SYSTEM))
    for guid in ("b", "c"):
        for before, after in (("", "JOINING"), ("JOINING", "VOTER")):
            assert await database.write(change_vote, ChangeVote(node_guid=guid, before=before, after=after))

    async def remove(guid: str) -> Node:
        return await database.write(remove_node, RemoveNode(guid=guid, force=True, actor=SYSTEM))

    await database.write(set_node_state, SetNodeState(guid="b", incarnation=1, state="DEAD"))
    with pytest.raises(Unprocessable, match=r"2 of 3 votes .* 1 would be left"):
        await remove("c")
    await database.write(register_node, _registered("b"))
    assert (await remove("c")).state == "REMOVED"


def _registered(guid: str) -> RegisterNode:
    return RegisterNode(guid=guid, name=guid, zone="z", memory_mb=1, disk_mb=1, cpus=1)
