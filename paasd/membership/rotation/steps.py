"""What the next step of a change is, and whom it waits for. Pure: rows and what nodes say in, a step out.

A node believes the new authority before anybody shows a certificate of it, and shows one of it before anybody stops
believing the old one. Certificates cannot be fetched by a node that is believed by nobody, so this waits also for those
that are dead: they come back or are removed. A gossip key is fetched over certificates, so only the living count.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from paasd.model import Authority, GossipKey, Node
from paasd.model.nodes import LIVE_STATES
from paasd.observed import NodeFact

ID_LENGTH: Final = 8
"""So much of an authority's guid tells it from others."""


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """One member, and what it has: `trusts:` and `shows:` are about authorities, `opens:` and `seals:` about keys."""

    guid: str
    name: str
    state: str
    things: frozenset[str] = frozenset()

    @property
    def live(self) -> bool:
        return self.state in LIVE_STATES


class Ready(msgspec.Struct, frozen=True):
    """Everybody is ready: take the row on from this state."""

    key: str
    before: str

    def in_words(self) -> str:
        return f"the change to or from {self.key[:ID_LENGTH]} goes on now"


class Waiting(msgspec.Struct, frozen=True):
    """The step cannot be taken yet; who is awaited, and the words for what they shall have."""

    key: str
    before: str
    nodes: tuple[Holding, ...]

    def in_words(self) -> str:
        """Who is awaited, and what can be done about those that do not come by themselves."""
        names = ", ".join(f"{node.name} ({node.state.lower()})" for node in self.nodes)
        away = [node.name for node in self.nodes if not node.live]
        help_ = f"; start or remove {', '.join(away)}" if away else ""
        return f"the change to or from {self.key[:ID_LENGTH]} waits for {names}{help_}"


Step = Ready | Waiting


def trusts(authority_guid: str) -> str:
    return f"trusts:{authority_guid[:ID_LENGTH]}"


def shows(authority_guid: str) -> str:
    return f"shows:{authority_guid[:ID_LENGTH]}"


def holdings(nodes: Sequence[Node], facts: Mapping[str, NodeFact]) -> list[Holding]:
    """What is known of every member; of one that has not spoken, nothing."""
    found = []
    for node in nodes:
        if node.state == "REMOVED":
            continue
        fact = facts.get(node.guid)
        things: set[str] = set()
        if fact is not None:
            things |= {*fact.holds, *(f"opens:{key}" for key in fact.keys), f"seals:{fact.sending_key}"}
        found.append(Holding(guid=node.guid, name=node.name, state=node.state, things=frozenset(things)))
    return found


def authority_step(rows: Sequence[Authority], members: Sequence[Holding]) -> Step | None:
    """What a change of the authority of nodes' certificates needs now; None when there is none."""
    for row in rows:
        if row.state == "TRUSTED":
            return _step(row.guid, "TRUSTED", members, trusts(row.guid))
    signing = next((row for row in rows if row.state == "SIGNING"), None)
    for row in rows:
        if row.state == "FORMER" and signing is not None:
            return _step(row.guid, "FORMER", members, shows(signing.guid))
    return None


def gossip_step(rows: Sequence[GossipKey], members: Sequence[Holding]) -> Step | None:
    """What a change of the gossip key needs now; None when there is none."""
    living = [member for member in members if member.live]
    for row in rows:
        if row.state == "KNOWN":
            return _step(row.id, "KNOWN", living, f"opens:{row.id}")
    sending = next((row for row in rows if row.state == "SENDING"), None)
    for row in rows:
        if row.state == "FORMER" and sending is not None:
            return _step(row.id, "FORMER", living, f"seals:{sending.id}")
    return None


def _step(key: str, before: str, members: Sequence[Holding], thing: str) -> Step:
    missing = tuple(member for member in members if thing not in member.things)
    return Waiting(key, before, missing) if missing else Ready(key, before)
