"""Clocks, certificates, changes of keys and releases: what is said of them, and what is not worth a word."""

import pytest

from paasd.actions.findings import Platform, advice, problems
from paasd.actions.upkeep import KeyChange
from paasd.model import Node
from paasd.observed import NodeFact

NOW_S = 1_800_000_000.0


def node(name: str, **fields: object) -> Node:
    known = {"state": "READY", "voting": "VOTER", "version": "1", "schema_limit": 3, "etcd_version": "3.4.23", **fields}
    return Node(guid=name, name=name, zone=name, memory_mb=1, disk_mb=1, cpus=1, address="192.0.2.1", **known)  # type: ignore[arg-type]


def platform(
    *nodes: Node, offsets: dict[str, float] | None = None, ends: dict[str, float] | None = None, **more: object
) -> Platform:
    """As node a sees it. `ends`: hours that certificates have left."""
    facts = {
        one.guid: NodeFact(
            node_guid=one.guid,
            boot=1,
            clock_offset_s=(offsets or {}) if one.guid == "a" else {},
            certificate_ends_at=int(NOW_S + (ends or {}).get(one.guid, 20) * 3600),
        )
        for one in nodes
    }
    return Platform(own_guid="a", nodes=nodes, facts=facts, unreachable=frozenset(), now_s=NOW_S, **more)  # type: ignore[arg-type]


THREE = node("a"), node("b"), node("c")


@pytest.mark.parametrize(
    ("offsets", "said"),
    [
        ({}, []),
        ({"b": 2.0, "c": -2.0}, []),
        ({"b": 2.4}, ["the clock of node b is 2 s ahead of this one: run a time service"]),
        ({"b": -7.0, "c": 0.5}, ["the clock of node b is 7 s behind this one: run a time service"]),
        ({"b": 31.0}, ["the clock of node b is 31 s ahead of this one, and above 30 s a node gets no vote"]),
        ({"b": 9.0, "c": -9.0}, ["the clock of node b is 9 s ahead", "the clock of node c is 9 s behind"]),
        ({"b": 9.0, "c": 9.4}, ["the clock of this node, a, is 9 s behind all others"]),
        ({"gone": 9.0}, []),
    ],
)
def test_clocks_that_are_too_far_apart_are_named_and_whose_it_is(offsets: dict[str, float], said: list[str]) -> None:
    found = problems(platform(*THREE, offsets=offsets))
    assert len(found) == len(said)
    assert all(sentence.startswith(words) for sentence, words in zip(found, said, strict=True)), found
    assert all("chrony" in sentence for sentence in found)


def test_a_dead_nodes_clock_and_certificate_are_nobodys_business() -> None:
    dead = node("b", state="DEAD")
    (only,) = problems(platform(node("a"), dead, offsets={"b": 99.0}, ends={"b": -3}))
    assert only.startswith("node b (b) is dead")


def test_certificates_that_nobody_renews_are_named_in_time() -> None:
    assert problems(platform(*THREE, ends={"b": 6.1})) == []
    (low,) = problems(platform(*THREE, ends={"b": 5.9}))
    assert low.startswith("the certificate of node b ends in 5.9 hours and was not renewed")
    (ended,) = problems(platform(*THREE, ends={"c": -1}))
    assert ended.startswith("the certificate of node c has ended")
    unknown = platform(*THREE, ends={"c": -NOW_S / 3600})
    assert problems(unknown) == [], "a node of an older release says nothing of it"


def test_a_change_of_keys_is_a_problem_only_if_it_waits_for_who_does_not_come() -> None:
    going = KeyChange(words="the change to or from 12345678 goes on now")
    stuck = KeyChange(words="the change to or from 12345678 waits for b (dead); start or remove b", away=("b",))
    assert problems(platform(*THREE, key_changes=[going])) == []
    assert advice(platform(*THREE, key_changes=[going])) == [going.words + "; it goes on by itself"]
    assert problems(platform(*THREE, key_changes=[stuck])) == [stuck.words]
    assert advice(platform(*THREE, key_changes=[stuck])) == []


def test_an_older_release_is_named_and_what_it_holds_back() -> None:
    assert advice(platform(*THREE)) == []
    assert advice(platform(node("a", version="2"), node("b"), node("c"))) == [
        "nodes run paasd 1 and 2: upgrade the older ones"
    ]
    (held,) = advice(platform(node("a", version="2", schema_limit=4), node("b"), node("c")))
    assert held == (
        "the tables stay at version 3 of 4 until everybody knows the newer ones: upgrade b (paasd 1), c (paasd 1)"
    )
    dead = node("b", state="DEAD", schema_limit=1)
    assert advice(platform(node("a"), dead, node("c"))) == []


@pytest.mark.parametrize(("own_mb", "other_mb", "names"), [(5000, 1024, []), (5000, 1023, ["b"]), (0, None, ["a"])])
def test_a_disk_that_is_nearly_full_is_named(own_mb: int, other_mb: int | None, names: list[str]) -> None:
    facts = {"b": NodeFact(node_guid="b", boot=1, disk_free_mb=other_mb)}
    found = problems(Platform(own_guid="a", nodes=THREE, facts=facts, unreachable=frozenset(), disk_free_mb=own_mb))
    assert [sentence.split()[4] for sentence in found] == names
    assert all("Free some" in sentence for sentence in found)


@pytest.mark.parametrize(("own", "other", "names"), [((), (), []), ((20001,), (), ["a"]), ((), (20001, 20002), ["b"])])
def test_ports_that_another_program_has_are_named(
    own: tuple[int, ...], other: tuple[int, ...], names: list[str]
) -> None:
    facts = {"b": NodeFact(node_guid="b", boot=1, busy_ports=other)}
    found = problems(Platform(own_guid="a", nodes=THREE, facts=facts, unreachable=frozenset(), busy_ports=own))
    assert [sentence.split()[1] for sentence in found] == names
    assert all("port 20001" in sentence and "ss -ltnp 'sport = :20001'" in sentence for sentence in found)
