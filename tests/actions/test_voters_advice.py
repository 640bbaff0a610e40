"""A node that cannot vote is named, with what to do."""

from paasd.actions.findings import Platform, advice
from paasd.model import Node


def node(name: str, etcd_version: str, **fields: str) -> Node:
    return Node(
        guid=name,
        name=name,
        zone="z",
        memory_mb=1,
        disk_mb=1,
        cpus=1,
        address="192.0.2.1",
        etcd_version=etcd_version,
        **fields,  # type: ignore[arg-type]
    )


def told(*nodes: Node) -> list[str]:
    found = advice(Platform(own_guid="a", nodes=nodes, facts={}, unreachable=frozenset()))
    return [sentence for sentence in found if "cannot vote" in sentence]


def test_control_nodes_without_etcd_are_named_where_they_could_vote() -> None:
    assert told(node("a", "3.4.23"), node("b", ""), node("c", "3.4.23")) == [
        "node b cannot vote because it has no etcd that paasd takes: `apt-get install etcd-server` there, "
        "then restart paasd"
    ]
    assert told(node("a", "3.4.23"), node("b", "3.4.23")) == []
    assert told(node("a", "")) == []
    assert told(node("a", "3.4.23"), node("b", "", role="worker")) == []
