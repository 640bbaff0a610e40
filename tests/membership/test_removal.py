"""A node finds out that it was removed, whoever of the others it can still ask."""

from pathlib import Path

from paasd.membership.files import Place
from paasd.membership.messages import HERE
from paasd.membership.removal import ask_whether_member
from paasd.model.arguments import SYSTEM
from paasd.model.membership import RemoveNode, remove_node
from paasd.peer import Peer
from tests.membership.world import World, until
from tests.peer.hands import Town, guid_of


def place(number: int) -> Place:
    return Place(guid=guid_of(number), role="control", zone="dc/a", address="127.0.0.1", peer_port=1)


async def here(peer: Peer, body: bytes) -> bytes:
    return b""


async def test_a_node_asks_until_a_control_node_answers_and_only_the_removed_one_is_told(tmp_path: Path) -> None:
    town = Town(tmp_path)
    told: list[str] = []
    async with town.node(1) as control, town.node(3) as node:
        control.serve(HERE, here)
        node._allowed = lambda guid: True
        node.on_removed = told.append
        lost, living = place(2), place(1)
        town.addresses[lost.guid] = "127.0.0.1", 1
        assert await ask_whether_member(node, []) is False
        assert await ask_whether_member(node, [lost]) is False
        assert await ask_whether_member(node, [lost, living]) is True
        assert told == []
        town.removed.add(node.guid)
        assert await ask_whether_member(node, [lost, living]) is True
        assert told == [control.guid]


async def test_it_is_noted_on_disk_before_anything_is_done_about_it(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one)
    noted = two.directory / "member" / "removed.json"
    assert not noted.exists()
    await one.database.write(remove_node, RemoveNode(guid=two.guid, force=True, actor=SYSTEM))
    await until(two.membership.removed.is_set)
    assert noted.exists()
    assert not (one.directory / "member" / "removed.json").exists()
