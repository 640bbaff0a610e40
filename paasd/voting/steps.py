"""What to do next so that the right nodes vote: one small step, found anew from the rows and from etcd each time. Pure.

A row changes before etcd does when a node joins, and after it when one leaves, so every member of etcd has a row that
says so, and whoever takes over after a crash knows what was meant.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from paasd.etcd.command import member_url
from paasd.model import Node


def guids_by_url(nodes: Iterable[Node]) -> dict[str, str]:
    """Which node is behind a URL of etcd's. Only control nodes vote, and every node says itself where it is.

    A worker that says to be where a voter is must not take its place: the voter would be removed as none.
    """
    able = sorted((node for node in nodes if node.role == "control" and node.address), key=lambda node: node.voting)
    return {member_url(node.address, node.etcd_peer_port): node.guid for node in able}


class EtcdMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member as etcd lists it; `node_guid` is empty when no node has its address."""

    id: int
    node_guid: str
    learner: bool = False


class Vote(msgspec.Struct, frozen=True):
    """Change a node's row."""

    node_guid: str
    before: str
    after: str


class AddLearner(msgspec.Struct, frozen=True):
    """Let a node receive everything without a vote."""

    node_guid: str


class Promote(msgspec.Struct, frozen=True):
    """Give it the vote; etcd refuses while it lags."""

    node_guid: str
    id: int


class Remove(msgspec.Struct, frozen=True):
    """Take a member out of etcd for good."""

    id: int


Step = Vote | AddLearner | Promote | Remove


def next_step(
    target: frozenset[str],
    votes: Mapping[str, str],
    members: Sequence[EtcdMember],
    lost: frozenset[str],
) -> Step | None:
    """None: all is as it should be. `votes` are the rows and younger than `members`; `lost` are nodes that are away or
    gone: they go before others come, since etcd takes nobody in while a member is missing.
    """
    by_node = {member.node_guid: member for member in members if member.node_guid}
    for member in members:
        if votes.get(member.node_guid, "") == "":
            return Remove(member.id)
    for guid, vote in sorted(votes.items()):
        step = _finish(guid, vote, by_node.get(guid), guid in target)
        if step is not None:
            return step
    return _begin(target, votes, lost)


def _finish(guid: str, vote: str, member: EtcdMember | None, wanted: bool) -> Step | None:
    """The rest of what was begun with a node."""
    match vote:
        case "LEAVING":
            return Vote(guid, "LEAVING", "") if member is None else Remove(member.id)
        case "JOINING" if not wanted:
            return Vote(guid, "JOINING", "LEAVING")
        case "JOINING":
            if member is None:
                return AddLearner(guid)
            return Promote(guid, member.id) if member.learner else Vote(guid, "JOINING", "VOTER")
        case "VOTER" if member is None:
            return Vote(guid, "VOTER", "LEAVING")  # somebody took it out by hand
    return None


def _begin(target: frozenset[str], votes: Mapping[str, str], lost: frozenset[str]) -> Step | None:
    voters = frozenset(guid for guid, vote in votes.items() if vote == "VOTER")
    leaving, coming = sorted(voters - target), sorted(target - voters)
    absent: list[str] = [guid for guid in leaving if guid in lost]
    order: list[tuple[list[str], Literal["LEAVING", "JOINING"]]] = [
        (absent, "LEAVING"),
        (coming, "JOINING"),
        (leaving, "LEAVING"),
    ]
    for guids, after in order:
        if guids:
            return Vote(guids[0], "" if after == "JOINING" else "VOTER", after)
    return None
