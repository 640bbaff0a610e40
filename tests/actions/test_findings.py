"""What is wrong is told in a sentence that names the node and what to do; where nothing is wrong, nothing is told."""

import re
from typing import Any

import msgspec
import pytest

from paasd.actions.findings import Platform, advice, problems
from paasd.model import Node
from paasd.observed import NodeFact


def node(name: str, etcd_version: str = "3.4.23", **fields: str) -> Node:
    fields = {"zone": f"zone-{name}", "voting": "VOTER", **fields}
    return Node(
        guid=name,
        name=name,
        memory_mb=1,
        disk_mb=1,
        cpus=1,
        address="192.0.2.1",
        etcd_version=etcd_version,
        **fields,  # type: ignore[arg-type]
    )


def fact(guid: str, **fields: Any) -> NodeFact:
    return NodeFact(node_guid=guid, boot=1, **fields)


WELL = Platform(own_guid="a", nodes=[node("a"), node("b"), node("c")], facts={}, unreachable=frozenset())
A, B, C = WELL.nodes
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no quorum": ({"stale_s": 12.3}, "has had no quorum.* for 12 s.*docs/recovery.md"),
    "brake": ({"brake": "the brake holds"}, "the brake holds"),
    "dead": ({"nodes": [A, B, C, node("d", state="DEAD")]}, "d .zone-d. is dead.*`paasd node remove d`"),
    "draining": ({"nodes": [A, B, C, node("d", state="DRAINING")], "progress": {"d": "busy"}}, "d .zone-d. is busy"),
    "never started": ({"nodes": [A, B, C, node("d", state="JOINING")]}, "d .zone-d. has joined.*`paasd serve` there"),
    "returning": ({"nodes": [A, B, C, node("d", state="RETURNING")]}, "d .zone-d. is back"),
    "unreachable": ({"unreachable": frozenset("b")}, "b .zone-b. cannot be reached from here at 192.0.2.1.*7400"),
    "behind": ({"index": 5000, "facts": {"b": fact("b", applied_index=100)}}, "b is 4900 writes behind"),
    "two of three votes": ({"nodes": [A, B, node("c", voting="JOINING")]}, "2 of 3 control nodes vote so far"),
    "clock ahead": ({"facts": {"a": fact("a", clock_offset_s={"b": 7.0})}}, "clock of node b is 7 s ahead.*chrony"),
    "clock behind": ({"facts": {"a": fact("a", clock_offset_s={"b": -7.0})}}, "clock of node b is 7 s behind"),
    "certificate": ({"certificate_left_s": 600.0}, "certificate ends in 10 minutes"),
    "blobs": ({"blobs": ["too few copies"]}, "too few copies"),
    "log lines": ({"log_error": "no space"}, "cannot be stored: no space"),
}
BETTER: dict[str, tuple[dict[str, Any], str]] = {
    "two control nodes": ({"nodes": [A, B]}, "a third makes the platform survive"),
    "no etcd": (
        {"nodes": [A, node("b", ""), C]},
        "node b cannot vote because it has no etcd that paasd takes: `apt-get install etcd-server` there, ",
    ),
    "one zone": ({"nodes": [node(name, zone="z") for name in "abc"]}, "all nodes are in zone z"),
    "not absorbed": ({"not_absorbed": {"z": 512}}, "loss of zone z could not be absorbed: 512 MB"),
    "versions": ({"nodes": [node(name, version=f"1.{name}") for name in "abc"]}, r"1\.a and 1\.b and 1\.c"),
}


def test_a_platform_that_is_well_hears_nothing() -> None:
    assert problems(WELL) == [] and advice(WELL) == []


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_alone(name: str) -> None:
    changes, sentence = WRONG[name]
    (found,) = problems(msgspec.structs.replace(WELL, **changes))
    assert re.search(sentence, found), found


@pytest.mark.parametrize("name", BETTER)
def test_what_would_be_better_is_told_alone(name: str) -> None:
    changes, sentence = BETTER[name]
    (found,) = advice(msgspec.structs.replace(WELL, **changes))
    assert re.search(sentence, found), found


def test_small_differences_are_no_problem() -> None:
    facts = {"a": fact("a", applied_index=5000, clock_offset_s={"b": 1.5}), "b": fact("b", applied_index=4500)}
    assert problems(msgspec.structs.replace(WELL, facts=facts, index=5000, certificate_left_s=7200.0)) == []


def test_votes_are_not_missed_where_there_cannot_be_three() -> None:
    for nodes in ([A], [A, node("b", voting="")], [A, node("b", ""), node("c", "")], [A, B, node("w", role="worker")]):
        assert [one for one in problems(msgspec.structs.replace(WELL, nodes=nodes)) if "vote" in one] == []


def test_nodes_alone_and_workers_need_no_etcd() -> None:
    for nodes in ([node("a", "")], [A, node("b", "", role="worker")]):
        assert [one for one in advice(msgspec.structs.replace(WELL, nodes=nodes)) if "cannot vote" in one] == []
