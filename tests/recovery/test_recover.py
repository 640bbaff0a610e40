"""The quorum is lost for good: a node goes on alone, with real databases and real members of etcd."""

from pathlib import Path

import pytest
import trio

from paasd.errors import PaasdError
from paasd.membership import MemberFile, MemberFiles, Ports
from paasd.model import Node, Setting
from paasd.model.settings import PutSetting, put_setting
from paasd.node.alone import ask_others, go_alone, read_rows, refuse, what_may_be_lost
from paasd.state import LocalLog, StateInUse, read_standing
from paasd.state.engine import Standing, read_closed
from paasd.state.guard import exclusive_access
from tests.voting.cluster import Town, town


def become_member(folder: Path, guid: str) -> None:
    """What a member keeps beside its database."""
    (folder / "node-guid").write_text(guid + "\n")
    files = MemberFiles(folder)
    files.folder.mkdir()
    ports = Ports(peer=1, tunnel=2, etcd_client=3, etcd_peer=4)
    files.write(MemberFile(guid=guid, cluster_id="c", role="control", zone="z", address="127.0.0.1", ports=ports))


async def three_of_them(found: Town) -> Path:
    """Nodes a, b and c vote; a's daemon is at rest and its etcd goes on. The folder of a."""
    for guid in "abc":
        await found.start(guid, outlive=guid == "a")
    await found.until_votes("abc")
    become_member(found.directory / "a", "a")
    await found.stop("a")
    found.unreachable.add("a")
    return found.directory / "a"


async def write(found: Town, guid: str, *names: str) -> None:
    for name in names:
        await found.databases[guid].write(put_setting, PutSetting(name=name, value="v"), timeout_s=20)


async def answers(found: Town, folder: Path) -> dict[str, str]:
    """What the others tell a, whose daemon does not run."""
    standing, nodes = read_rows(folder)
    said = await ask_others(found.network.add("a"), nodes, standing)
    found.network.remove("a")
    refuse(said, nodes)
    return dict(said)


def names_in(folder: Path) -> set[str]:
    with read_closed(folder / "state.db") as tx:
        return {setting.name for setting in tx.all(Setting)}


async def test_a_node_goes_on_alone_with_all_that_was_acknowledged_while_its_daemon_was_down() -> None:
    async with town() as found:
        folder = await three_of_them(found)
        await write(found, "b", "k1", "k2", "k3")
        newest, before = found.databases["b"].index, read_standing(folder / "state.db")
        for guid in "bc":
            await found.lose(guid)
        assert before is not None
        assert await answers(found, folder) == {"b": "silent", "c": "silent"}
        assert not names_in(folder) & {"k1", "k2", "k3"}, "only etcd has them here"
        recovered = await go_alone(folder, "a", ["b", "c"], lambda _: None)
        assert (recovered.removed, recovered.dead) == (["b", "c"], [])
        assert names_in(folder) >= {"k1", "k2", "k3"}
        after = read_standing(folder / "state.db")
        assert after is not None
        assert (after.kind, after.index) == ("local", newest + 1)
        assert after.identity != before.identity
        assert not (folder / "etcd" / "data").exists(), "its member of etcd is gone"
        database = await found.start("a")
        assert isinstance(database.log, LocalLog)
        await write(found, "a", "k4")
        assert {guid: (node.state, node.voting) for guid, node in found.nodes("a").items()} == {
            "a": ("READY", "VOTER"),
            "b": ("REMOVED", ""),
            "c": ("REMOVED", ""),
        }


async def test_it_refuses_while_the_others_agree_and_while_one_of_them_has_more() -> None:
    async with town() as found:
        folder = await three_of_them(found)
        with pytest.raises(PaasdError, match="b, c can still write"):
            await answers(found, folder)
        await write(found, "b", "more")
        with trio.fail_after(20):
            while found.databases["c"].index < found.databases["b"].index:
                await trio.sleep(0.01)
        await found.seats["a"].member.stop()
        await found.lose("c")
        with pytest.raises(PaasdError, match="b has entries that this node lacks"):
            await answers(found, folder)
        assert names_in(folder).isdisjoint({"more"})


async def test_one_that_has_nothing_more_does_not_stand_in_the_way() -> None:
    async with town() as found:
        folder = await three_of_them(found)
        await found.start("a", outlive=True)
        with trio.fail_after(20):
            while len({database.index for database in found.databases.values()}) > 1:
                await trio.sleep(0.01)
        await found.stop("a")
        await found.seats["a"].member.stop()
        await found.lose("c")
        assert await answers(found, folder) == {"b": "behind", "c": "silent"}


async def test_it_is_refused_where_there_is_nothing_to_recover(tmp_path: Path) -> None:
    with pytest.raises(PaasdError, match="no node"):
        read_rows(tmp_path)
    async with town() as found:
        await found.start("a")
        folder = found.directory / "a"
        with pytest.raises(StateInUse), exclusive_access(folder / "state.db"):
            pass
        await found.stop("a")
        (folder / "node-guid").write_text("a")
        with pytest.raises(PaasdError, match="no control node of a cluster"):
            read_rows(folder)
        become_member(folder, "a")
        with pytest.raises(PaasdError, match="decides alone already"):
            read_rows(folder)


def test_who_decides_is_told_what_may_be_lost() -> None:
    def node(guid: str, voting: str) -> Node:
        return Node(guid=guid, name=f"name-{guid}", zone="z", memory_mb=1, disk_mb=1, cpus=1, voting=voting)

    nodes = {"a": node("a", "VOTER"), "b": node("b", "VOTER"), "w": node("w", "")}
    standing = Standing(kind="etcd", base=0, identity="i", index=77, schema=3)
    text = what_may_be_lost(standing, nodes, "a", {"b": "behind", "w": "silent"})
    assert "name-a has entry 77" in text
    assert "Not reached: name-w." in text
    assert "join anew: name-b" in text
