"""What is about to go wrong: clocks, certificates, changes of keys that wait, releases. Pure: rows and facts in,
sentences out.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

import msgspec

from paasd.membership import SKEW_LIMIT_S
from paasd.model import Node
from paasd.observed import NodeFact

SKEW_S: Final = 2.0
ALIKE_S: Final = 1.0
"""When all others are off by the same, it is the clock of this node that is wrong."""

DISK_LOW_MB: Final = 1024
"""Less than one large upload and its layers."""

CERTIFICATE_LOW_S: Final = 6 * 3600.0
"""They are renewed when 12 hours are left."""


AUTHORITY_LOW_S: Final = 90 * 86400.0
"""The next one is introduced when a year is left, and that of the domains signs when half a year is left."""


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a shared key that is under way; `away` are nodes it waits for that do not come by themselves."""

    words: str
    away: tuple[str, ...] = ()


def clock_problems(own: str, nodes: Sequence[Node], facts: Mapping[str, NodeFact]) -> list[str]:
    """Of nodes whose clock is more than SKEW_S from this one's."""
    names = {node.guid: node.name for node in nodes if node.state != "DEAD"}
    fact = facts.get(own)
    offsets = {} if fact is None else {guid: off for guid, off in fact.clock_offset_s.items() if guid in names}
    far = {guid: off for guid, off in offsets.items() if abs(off) > SKEW_S}
    if len(far) > 1 and len(far) == len(names.keys() - {own}):
        middle = median(far.values())
        if all(abs(off - middle) < ALIKE_S for off in far.values()):
            return [_clock(f"this node, {names.get(own, own)},", -middle, "all others")]
    return [_clock(f"node {names[guid]}", off, "this one") for guid, off in sorted(far.items())]


def _clock(whose: str, offset_s: float, other: str) -> str:
    sentence = f"the clock of {whose} is {abs(offset_s):.0f} s {'ahead of' if offset_s > 0 else 'behind'} {other}"
    if abs(offset_s) > SKEW_LIMIT_S:
        sentence += f", and above {SKEW_LIMIT_S:.0f} s a node gets no vote"
    return f"{sentence}: run a time service such as chrony there (`chronyc makestep` sets it at once)"


def disk_problems(nodes: Sequence[Node], free_mb: Mapping[str, int | None]) -> list[str]:
    """Of nodes, by guid, whose data is on a disk that is nearly full."""
    return [
        f"the disk of node {node.name} has {left} MB left where its data is: without space pushes through it are "
        "refused and log lines wait. Free some, or move `data` (see `paasd config`) to a larger disk"
        for node in nodes
        if node.state != "DEAD" and (left := free_mb.get(node.guid)) is not None and left < DISK_LOW_MB
    ]


def port_problems(nodes: Sequence[Node], busy: Mapping[str, Sequence[int]]) -> list[str]:
    """Of nodes, by guid, on which ports of TCP routes are another program's."""
    return [
        f"node {node.name} cannot serve TCP routes on port {', '.join(map(str, ports))}: another program listens there."
        f" `ss -ltnp 'sport = :{ports[0]}'` on it says which: end that, or leave the port out of [router] tcp_ports"
        for node in nodes
        if node.state != "DEAD" and (ports := busy.get(node.guid, ()))
    ]


def certificate_problems(nodes: Sequence[Node], facts: Mapping[str, NodeFact], now_s: float) -> list[str]:
    """Of nodes that do not renew their certificate; what has none in its fact is of an older release."""
    found = []
    for node in nodes:
        ends_at = facts[node.guid].certificate_ends_at if node.guid in facts and node.state != "DEAD" else 0
        if ends_at and ends_at - now_s < CERTIFICATE_LOW_S:
            left_s = max(0.0, ends_at - now_s)
            found.append(
                f"the certificate of node {node.name} {f'ends in {left_s / 3600:.1f} hours' if left_s else 'has ended'}"
                " and was not renewed: no control node answers it; check TCP 7400 from there to the control nodes, and "
                "its clock"
            )
    return found


def authority_problems(ends_at_s: Mapping[str, float], now_s: float) -> list[str]:
    """Of authorities, by the words for what they certify, that were not followed by another in time."""
    found = []
    for what, ends in sorted(ends_at_s.items()):
        days = int((ends - now_s) // 86400)
        if ends - now_s < AUTHORITY_LOW_S:
            found.append(
                f"the authority of {what} {f'ends in {days} days' if days > 0 else 'has ended'} and the next one does "
                "not sign yet: `paasd keys status` says whom that waits for"
            )
    return found


def key_problems(changes: Sequence[KeyChange]) -> list[str]:
    """Changes that nobody finishes unless somebody does something."""
    return [change.words for change in changes if change.away]


def key_advice(changes: Sequence[KeyChange]) -> list[str]:
    """Changes that go on by themselves."""
    return [f"{change.words}; it goes on by itself" for change in changes if not change.away]


def release_advice(nodes: Sequence[Node]) -> list[str]:
    """Who runs an older release, and whether that holds the others back."""
    found = []
    live = [node for node in nodes if node.state != "DEAD" and node.schema_limit]
    newest = max((node.schema_limit for node in live), default=0)
    behind = [node for node in live if node.schema_limit < newest]
    if behind:
        names = ", ".join(f"{node.name} (paasd {node.version})" for node in behind)
        found.append(
            f"the tables stay at version {min(node.schema_limit for node in behind)} of {newest} until everybody knows "
            f"the newer ones: upgrade {names}"
        )
    versions = sorted({node.version for node in nodes if node.version})
    if len(versions) > 1 and not behind:
        found.append(f"nodes run paasd {' and '.join(versions)}: upgrade the older ones")
    return found
