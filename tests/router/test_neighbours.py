from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paasd.model.records import Node
from paasd.observed import InstanceFact
from paasd.router import NodeDoor
from paasd.router.neighbours import Neighbours
from paasd.router.picture import Picture

NODES = ("here", "there", "far")


def node(guid: str, **fields: Any) -> Node:
    known = {"zone": "z", "address": f"192.0.2.{len(guid)}", "tunnel_port": 7401, **fields}
    return Node(guid=guid, name=guid, memory_mb=1, disk_mb=1, cpus=1, **known)


def fact(guid: str, on: str, app: str = "app", epoch: int = 1, **fields: Any) -> InstanceFact:
    known = {"state": "RUNNING", "routable": True, "address": "10.0.0.1", "port": 8080, **fields}
    return InstanceFact(
        instance_guid=guid,
        epoch=epoch,
        node_guid=on,
        app_guid=app,
        process_guid=app,
        process_type="web",
        index=0,
        since=0.0,
        **known,
    )


@pytest.fixture
def neighbours() -> Neighbours:
    found = Neighbours("here")
    found.nodes = {guid: node(guid) for guid in NODES}
    found.placed = {"one": (1, "here"), "two": (1, "there")}
    return found


def test_a_node_is_passed_requests_when_both_have_said_where_they_are(neighbours: Neighbours) -> None:
    assert neighbours.door("there") == NodeDoor(address="192.0.2.5", port=7401)
    assert neighbours.door("here") is None and neighbours.door("unknown") is None
    for poor in (node("there", address=""), node("there", tunnel_port=0), node("there", state="REMOVED")):
        neighbours.nodes["there"] = poor
        assert neighbours.door("there") is None
    neighbours.nodes["there"] = node("there", state="DEAD")
    assert neighbours.door("there") is not None
    neighbours.nodes["here"] = node("here", address="")
    assert neighbours.door("there") is None


def test_dead_and_unreachable_nodes_are_asked_only_when_there_is_nobody_else(neighbours: Neighbours) -> None:
    both = [fact("one", "here"), fact("two", "there")]
    assert len(neighbours.routable(both)) == 2
    neighbours.unreachable = frozenset(["there"])
    assert [one.instance_guid for one in neighbours.routable(both)] == ["one"]
    assert [one.instance_guid for one in neighbours.routable(both[1:])] == ["two"]
    neighbours.unreachable = frozenset()
    neighbours.nodes["there"] = node("there", state="DEAD")
    assert [one.instance_guid for one in neighbours.routable(both)] == ["one"]


def test_others_may_ask_for_what_has_a_process_here_whatever_its_state(neighbours: Neighbours) -> None:
    facts = [
        fact("one", "here", state="STOPPING", routable=False),
        fact("new", "here", state="STARTING", routable=False),
        fact("gone", "here", state="CRASHED", routable=False, address=None, port=None),
        fact("two", "there"),
    ]
    doors = {"api.x": ("127.0.0.1", 9000)}
    links = neighbours.links(facts, {("app", "web"): {9090}}, doors)
    assert set(links.targets) == {"one.1", "one.1.9090", "new.1", "new.1.9090", "api.here"}
    assert links.targets["one.1.9090"] == ("10.0.0.1", 9090)
    assert set(links.nodes) == {"there", "far"}
    neighbours.placed["one"] = (2, "there")
    assert "one.1" not in neighbours.links(facts, {}, doors).targets, "its row speaks of a later run"
    assert "api.here" not in neighbours.links(facts, {}, {"api.x": None}).targets
    neighbours.nodes = {"here": node("here")}
    assert neighbours.links(facts, {}, doors).targets == {}, "a node alone is asked for nothing"


FACTS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.builds(
        lambda on, app, epoch, routable: (on, app, epoch, routable),
        st.sampled_from(NODES),
        st.sampled_from(["x", "y"]),
        st.integers(1, 2),
        st.booleans(),
    ),
)


@given(st.lists(st.tuples(FACTS, st.sets(st.sampled_from(NODES[1:]))), max_size=8))
def test_following_changes_one_by_one_ends_with_what_a_fresh_look_sees(
    steps: list[tuple[dict[str, tuple[str, str, int, bool]], set[str]]],
) -> None:
    def look() -> Picture:
        picture = Picture("here", {})
        picture.neighbours.nodes = {guid: node(guid) for guid in NODES}
        picture.neighbours.placed = {guid: (1, NODES[number % 3]) for number, guid in enumerate("abcdef")}
        return picture

    following = look()
    for described, away in steps:
        facts = {
            guid: fact(guid, on, app, epoch, routable=routable)
            for guid, (on, app, epoch, routable) in described.items()
        }
        following.observe(facts, frozenset(away))
        fresh = look()
        fresh.observe(facts, frozenset(away))
        assert following.instances == fresh.instances
