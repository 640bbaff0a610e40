"""What is held of each member, and the rules by which news changes it.

    alive -> suspect          somebody probed it in vain
    suspect -> unreachable    enough others confirmed it, or a long time passed, and it did not refute
    suspect, unreachable -> alive    it said so itself, in a higher incarnation

Gossip never removes a member and never calls one dead: members are rows, and that a node is dead is an operation.
A lone verdict is believed by nobody else; to others it is one more suspicion.
"""

from math import inf

import msgspec

from paasd.config.gossip import GossipConfig
from paasd.gossip.swim.news import News
from paasd.gossip.swim.roster import Roster
from paasd.gossip.swim.waiting import Awareness, suspicion_s, witnesses_wanted
from paasd.gossip.wire.messages import INCARNATION_LEAP, Alive, AnyUpdate, Garbage, Suspect, Unreachable, pack
from paasd.observed import Reachability

ACCUSERS_LIMIT = 8


class Standing(msgspec.Struct):
    """One member. `proven`: this node itself has probed it in vain since it was last alive."""

    incarnation: int = 0
    status: Reachability = "alive"
    accusers: tuple[str, ...] = ()
    since: float = 0.0
    proven: bool = False
    try_at: float = inf


class Members:
    """The table. `changes` collects who changed how, for the core to report and to act on."""

    def __init__(self, config: GossipConfig, guid: str, incarnation: int, roster: Roster, awareness: Awareness) -> None:
        self.guid = guid
        self.incarnation = incarnation
        self.roster = roster
        self.news = News(config.queue_limit)
        self.changes: list[tuple[str, Reachability, Reachability]] = []
        self.troubled: dict[str, Standing] = {}  # those that are not alive
        self.refuted = 0
        self._config = config
        self._awareness = awareness
        self._standings: dict[str, Standing] = {}
        self._lost: set[str] = set()  # the unreachable ones
        self._announce()

    def status(self, guid: str) -> Reachability:
        standing = self.troubled.get(guid)
        return "alive" if standing is None else standing.status

    def incarnation_of(self, guid: str) -> int:
        if guid == self.guid:
            return self.incarnation
        return self._standings[guid].incarnation if guid in self._standings else 0

    def witnessed(self) -> tuple[str, ...]:
        """The unreachable ones that this node has tried itself."""
        return tuple(sorted(guid for guid, one in self.troubled.items() if one.status == "unreachable" and one.proven))

    def set_roster(self, roster: Roster) -> None:
        self.roster = roster
        for guid in [guid for guid in self._standings if guid not in roster]:
            self._standings.pop(guid)
            self._lost.discard(guid)
            self.news.withdraw(guid)
            was = self.troubled.pop(guid, None)
            if was is not None:
                self.changes.append((guid, was.status, "alive"))

    def raise_incarnation(self, above: int) -> None:
        """Speak louder than what is said of this node."""
        self.incarnation = max(self.incarnation, above) + 1
        self._announce()

    def _announce(self) -> None:
        self.news.add(self.guid, "", pack(Alive(self.guid, self.incarnation)))

    def apply(self, now: float, update: AnyUpdate) -> None:
        """What another node says. Raises Garbage for what no honest node would say."""
        guid, incarnation = update.guid, update.incarnation
        if guid not in self.roster:
            return  # its row may not have come here yet
        if incarnation > self.incarnation_of(guid) + INCARNATION_LEAP:
            raise Garbage(f"incarnation {incarnation} of node {guid} is absurd")
        match update:
            case Alive():
                if guid == self.guid:
                    if incarnation > self.incarnation:
                        self.raise_incarnation(incarnation)
                else:
                    self.alive(guid, incarnation)
            case Suspect():
                self.suspect(now, guid, incarnation, update.accuser)
            case Unreachable():
                self._believe_verdict(now, update)

    def alive(self, guid: str, incarnation: int, *, first_hand: bool = False) -> None:
        """It said so itself; `first_hand` if to us. Only a higher incarnation than the known one counts."""
        if incarnation <= self.incarnation_of(guid):
            return
        was = self.troubled.pop(guid, None)
        self._lost.discard(guid)
        self._standings[guid] = Standing(incarnation)
        if was is not None or not first_hand:
            self.news.withdraw(guid)
            self.news.add(guid, "", pack(Alive(guid, incarnation)))
        if was is not None:
            self.changes.append((guid, was.status, "alive"))

    def suspect(self, now: float, guid: str, incarnation: int, accuser: str) -> None:
        """`accuser` has probed it in vain. Raises Garbage if nobody can have said so."""
        if guid == self.guid:
            if incarnation >= self.incarnation and accuser != self.guid:
                self.refuted += 1
                self._awareness.change(+1)
                self.raise_incarnation(incarnation)
            return
        if accuser == guid:
            raise Garbage(f"node {guid} suspects itself")
        standing = self.troubled.get(guid)
        if accuser not in self.roster or incarnation < self.incarnation_of(guid):
            return
        if standing is None or incarnation > standing.incarnation:
            self._become(now, guid, "suspect", incarnation, (accuser,))
        elif standing.status == "suspect" and accuser not in standing.accusers:
            if len(standing.accusers) >= ACCUSERS_LIMIT:
                return
            standing.accusers = (*standing.accusers, accuser)
            if len(standing.accusers) > self.wanted + 1:
                return
        else:
            return
        self.news.add(guid, accuser, pack(Suspect(guid, incarnation, accuser)))

    @property
    def wanted(self) -> int:
        """How many others can confirm a suspicion: those that are not unreachable themselves."""
        return witnesses_wanted(self._config, len(self.roster) - len(self._lost))

    def _believe_verdict(self, now: float, update: Unreachable) -> None:
        guid, incarnation = update.guid, update.incarnation
        accusers = {one for one in update.accusers if one in self.roster and one != guid}
        if guid == self.guid:
            self.suspect(now, guid, incarnation, next(iter(sorted(accusers - {guid})), ""))
        elif len(accusers) < witnesses_wanted(self._config, len(self.roster)) + 1:
            for accuser in sorted(accusers):
                self.suspect(now, guid, incarnation, accuser)
        elif (incarnation, self.status(guid) != "unreachable") > (self.incarnation_of(guid), False):
            self._condemn(now, guid, incarnation, tuple(sorted(accusers)))

    def _condemn(self, now: float, guid: str, incarnation: int, accusers: tuple[str, ...]) -> None:
        self._become(now, guid, "unreachable", incarnation, accusers)
        self.news.add(guid, "", pack(Unreachable(guid, incarnation, accusers[:ACCUSERS_LIMIT])))

    def _become(self, now: float, guid: str, status: Reachability, incarnation: int, accusers: tuple[str, ...]) -> None:
        before = self._standings.get(guid)
        was = self.status(guid)
        proven = before is not None and before.proven and before.incarnation == incarnation
        standing = Standing(incarnation, status, accusers, now, proven or self.guid in accusers)
        self._standings[guid] = self.troubled[guid] = standing
        (self._lost.add if status == "unreachable" else self._lost.discard)(guid)
        self.news.withdraw(guid)
        if was != status:
            self.changes.append((guid, was, status))

    def mark_proven(self, guid: str) -> None:
        standing = self.troubled.get(guid)
        if standing is not None:
            standing.proven = True

    def expires_at(self, standing: Standing) -> float:
        if standing.status != "suspect":
            return inf
        wait_s = suspicion_s(self._config, len(self.roster), len(standing.accusers) - 1, self.wanted)
        return standing.since + wait_s * self._awareness.factor

    @property
    def deadline(self) -> float:
        return min((self.expires_at(standing) for standing in self.troubled.values()), default=inf)

    def expire(self, now: float) -> None:
        """Suspects that did not refute in time become unreachable."""
        for guid, standing in list(self.troubled.items()):
            if self.expires_at(standing) <= now:
                self._condemn(now, guid, standing.incarnation, standing.accusers)

    def forgive(self, stall_s: float) -> None:
        """This node stood still, so nobody had the time to refute."""
        for standing in self.troubled.values():
            if standing.status == "suspect":
                standing.since += stall_s

    def about(self, guid: str) -> msgspec.Raw | None:
        """What is held against it, to tell it before anybody else."""
        standing = self.troubled.get(guid)
        if standing is None:
            return None
        if standing.status == "suspect":
            return pack(Suspect(guid, standing.incarnation, standing.accusers[0]))
        return pack(Unreachable(guid, standing.incarnation, standing.accusers[:ACCUSERS_LIMIT]))

    def all_news(self) -> tuple[AnyUpdate, ...]:
        """Everything that is not as a newcomer would think, this node's own incarnation included."""
        found: list[AnyUpdate] = [Alive(self.guid, self.incarnation)]
        for guid, one in self._standings.items():
            if one.status == "unreachable":
                found.append(Unreachable(guid, one.incarnation, one.accusers[:ACCUSERS_LIMIT]))
            elif one.status == "suspect":
                found.extend(Suspect(guid, one.incarnation, accuser) for accuser in one.accusers)
            else:
                found.append(Alive(guid, one.incarnation))
        return tuple(found)
