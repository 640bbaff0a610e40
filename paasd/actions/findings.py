"""What is wrong with the platform, in sentences that say what to do. Pure: rows and facts in, sentences out."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from paasd.actions.upkeep import (
    KeyChange,
    authority_problems,
    certificate_problems,
    clock_problems,
    disk_problems,
    key_advice,
    key_problems,
    port_problems,
    release_advice,
)
from paasd.model import Node
from paasd.observed import NodeFact

LAG_ENTRIES: Final = 1000
VOTES: Final = 3


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """What is known here and now. `stale_s` is None while the log answers; `progress` are words of draining nodes."""

    own_guid: str
    nodes: Sequence[Node]
    facts: Mapping[str, NodeFact]
    unreachable: frozenset[str]
    progress: Mapping[str, str] = {}
    brake: str | None = None
    stale_s: float | None = None
    index: int = 0
    certificate_left_s: float | None = None
    disk_free_mb: int | None = None
    busy_ports: Sequence[int] = ()
    blobs: Sequence[str] = ()
    not_absorbed: Mapping[str, int] = {}
    log_error: str | None = None
    now_s: float = 0.0
    key_changes: Sequence[KeyChange] = ()
    authorities: Mapping[str, float] = {}
    """The ends (unix seconds) of those that sign, by the words for what they certify."""
    unlimited: Sequence[str] = ()
    """What several organizations share without a limit."""
    silent: Collection[str] = ()
    """Nodes that were asked just now, and did not answer."""


def problems(platform: Platform) -> list[str]:
    """The worst first."""
    found: list[str] = []
    if platform.stale_s is not None:
        found.append(
            f"the log has had no quorum, or could not be reached from here, for {platform.stale_s:.0f} s: apps run and "
            "are served, changes are refused. Bring the control nodes back; if most are lost for good: docs/recovery.md"
        )
    if platform.brake is not None:
        found.append(platform.brake)
    for node in platform.nodes:
        sentence = _about(platform, node)
        if sentence is not None:
            found.append(sentence)
    found += _votes(platform)
    found += clock_problems(platform.own_guid, platform.nodes, platform.facts)
    others = [node for node in platform.nodes if node.guid != platform.own_guid]
    found += certificate_problems(others, platform.facts, platform.now_s)
    found += authority_problems(platform.authorities, platform.now_s)
    found += key_problems(platform.key_changes)
    if platform.certificate_left_s is not None and platform.certificate_left_s < 3600:
        found.append(
            f"this node's certificate ends in {max(0.0, platform.certificate_left_s) / 60:.0f} minutes and was not "
            "renewed: no control node answers it; check the network between them"
        )
    found += platform.blobs
    free_mb = {guid: fact.disk_free_mb for guid, fact in platform.facts.items()}
    found += disk_problems(platform.nodes, {**free_mb, platform.own_guid: platform.disk_free_mb})
    busy = {guid: fact.busy_ports for guid, fact in platform.facts.items()}
    found += port_problems(platform.nodes, {**busy, platform.own_guid: platform.busy_ports})
    if platform.log_error is not None:
        found.append(f"log lines cannot be stored: {platform.log_error}; is the disk full?")
    return found


def _about(platform: Platform, node: Node) -> str | None:
    match node.state:
        case "DEAD":
            return (
                f"node {node.name} ({node.zone}) is dead: what it ran was started elsewhere. Start it again, or "
                f"`paasd node remove {node.name}`"
            )
        case "DRAINING":
            return f"node {node.name} ({node.zone}) is {platform.progress.get(node.guid, 'draining')}"
        case "JOINING":
            return f"node {node.name} ({node.zone}) has joined and was never started: `paasd serve` there"
        case "RETURNING":
            return f"node {node.name} ({node.zone}) is back and takes apps again when it has been steady for a while"
    if node.guid in platform.unreachable:
        return (
            f"node {node.name} ({node.zone}) cannot be reached from here at {node.address}: check that it runs, and "
            "that ports 7400 and 7401 are open both ways"
        )
    if node.guid in platform.silent:
        return (
            f"node {node.name} ({node.zone}) did not answer just now: its daemon hangs, or is very busy; if that goes "
            "on, look at its log and restart it"
        )
    fact = platform.facts.get(node.guid)
    if fact is not None and platform.index - fact.applied_index > LAG_ENTRIES:
        return f"node {node.name} is {platform.index - fact.applied_index} writes behind; is its disk or network slow?"
    return None


def _votes(platform: Platform) -> list[str]:
    """Between one vote and three the loss of either of two stops writes: nobody should switch a node off then."""
    able = [node for node in platform.nodes if node.role == "control" and node.state == "READY" and node.etcd_version]
    voters = sum(node.voting == "VOTER" for node in able)
    if len(able) < VOTES or voters >= VOTES:
        return []
    return [
        f"{voters} of {len(able)} control nodes vote so far: until {VOTES} have, losing one may stop all changes."
        " It takes some seconds after the third has joined; `paasd members` shows it"
    ]


def advice(platform: Platform) -> list[str]:
    """What is not wrong and would be better."""
    found = []
    control = [node for node in platform.nodes if node.role == "control"]
    zones = {node.zone for node in platform.nodes}
    if len(control) == 2:
        found.append("of two control nodes one has the log: a third makes the platform survive the loss of any of them")
    found += [
        f"node {node.name} cannot vote because it has no etcd that paasd takes: `apt-get install etcd-server` there, "
        "then restart paasd"
        for node in control
        if len(control) > 1 and node.state == "READY" and node.address and not node.etcd_version
    ]
    if len(platform.nodes) > 2 and len(zones) == 1:
        found.append(f"all nodes are in zone {zones.pop()}: nodes in other zones make it survive the loss of a zone")
    for zone, missing_mb in platform.not_absorbed.items():
        found.append(
            f"the loss of zone {zone} could not be absorbed: {missing_mb} MB would be missing elsewhere. Add nodes, "
            "or keep more free with [scheduler] headroom"
        )
    found += release_advice(platform.nodes)
    found += key_advice(platform.key_changes)
    found += platform.unlimited
    return found
