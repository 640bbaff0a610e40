"""What the next step of a change is, and whom it waits for. Pure: rows and what nodes say in, a step out.

A node believes the new authority before anybody shows a certificate of it, and shows one of it before anybody stops
believing the old one. Certificates cannot be fetched by a node that is believed by nobody, so this waits also for those
that are dead: they come back or are removed. A gossip key is fetched over certificates, so only the living count.
Certificates of etcd are the business of voters alone. Those of the platform's domains are believed by clients, of whom
nobody knows: they get half a year to take the next authority from ca.pem, which holds both. Host keys of ssh likewise:
clients learn the next one when they connect, and the former one is announced for as long, since a node that was away
may still show it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from paasd import pki
from paasd.model import Authority, GossipKey, Node
from paasd.model.arguments import unix_seconds
from paasd.model.nodes import LIVE_STATES
from paasd.model.rotation import PUBLIC, shows, trusts
from paasd.model.voting import ETCD_AUTHORITY
from paasd.observed import NodeFact

ID_LENGTH: Final = 8
"""So much of a key's id is said to people."""

NOTICE_S: Final = pki.AUTHORITY_RENEWAL.total_seconds() / 2
"""Between the making of an authority of the domains and its first certificate."""

HOST_KEY_NOTICE_S: Final = 14 * 86400.0
"""For how long a host key of ssh is announced before it is shown, and after."""


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """One member, and what it has: `trusts:` and `shows:` are about authorities, `opens:` and `seals:` about keys."""

    guid: str
    name: str
    state: str
    votes: bool = False
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


_CA_PEM: Final = (
    "clients need DATA/certificates/ca.pem anew before {day}: it holds the next authority of the platform's domains "
    "beside the present one, and then the next one begins to sign"
)
_NEXT_HOST_KEY: Final = (
    "the next host key of ssh is announced beside the present one until {day}, and then it is shown; clients that do "
    "not connect before then need it by other means (docs/ssh.md)"
)
_FORMER_HOST_KEY: Final = "the former host key of ssh is announced until {day}, and then it is gone"


class Resting(msgspec.Struct, frozen=True):
    """The step is taken at a time (unix seconds): until then clients learn whom to believe. `words` name the day."""

    key: str
    until_s: float
    words: str = _CA_PEM

    def in_words(self) -> str:
        """What people have to do by then."""
        return self.words.format(day=datetime.fromtimestamp(self.until_s, UTC).strftime("%-d %B %Y"))


Step = Ready | Waiting | Resting


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
        votes = bool(node.voting)
        found.append(Holding(guid=node.guid, name=node.name, state=node.state, votes=votes, things=frozenset(things)))
    return found


def ends_soon(certificate: bytes, now_s: float) -> bool:
    """Whether it is time for the authority that follows this one."""
    return pki.ends_at_s(certificate) - now_s < pki.AUTHORITY_RENEWAL.total_seconds()


def is_due(rows: Sequence[Authority], now_s: float) -> bool:
    """Whether the authority that signs for a purpose comes to its end, and no change is under way."""
    if any(row.state in ("TRUSTED", "FORMER") for row in rows):
        return False
    return any(row.state == "SIGNING" and ends_soon(row.certificate.encode(), now_s) for row in rows)


def authority_step(rows: Sequence[Authority], members: Sequence[Holding], now_s: float = 0.0) -> Step | None:
    """What the change of the authority of one purpose needs now; None when there is none."""
    signing = next((row for row in rows if row.state == "SIGNING"), None)
    for row in rows:
        concerned = [member for member in members if _is_concerned(member, row.purpose)]
        match row.state:
            case "TRUSTED" if row.purpose == PUBLIC:
                signs_from_s = pki.began_at_s(row.certificate.encode()) + NOTICE_S
                return Resting(row.guid, signs_from_s) if now_s < signs_from_s else Ready(row.guid, "TRUSTED")
            case "TRUSTED":
                return _step(row.guid, "TRUSTED", concerned, trusts(row.guid))
            case "FORMER" if signing is not None:
                return _step(row.guid, "FORMER", concerned, shows(signing.guid))
    return None


def host_key_step(rows: Sequence[Authority], now_s: float, notice_s: float) -> Step | None:
    """What the change of the host key of ssh needs now; None when there is none."""
    since = next((unix_seconds(row.updated_at) for row in rows if row.state == "SIGNING"), now_s)
    for row in rows:
        match row.state:
            case "TRUSTED":
                return _at(row, unix_seconds(row.created_at) + notice_s, now_s, _NEXT_HOST_KEY)
            case "FORMER":
                return _at(row, since + notice_s, now_s, _FORMER_HOST_KEY)
    return None


def _at(row: Authority, until_s: float, now_s: float, words: str) -> Step:
    return Resting(row.guid, until_s, words) if now_s < until_s else Ready(row.guid, row.state)


def _is_concerned(member: Holding, purpose: str) -> bool:
    """Whether a change of that authority waits for it."""
    if purpose == ETCD_AUTHORITY:
        return member.votes
    return member.live or purpose != PUBLIC


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
