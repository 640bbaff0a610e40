"""When a node is given up, pure: who cannot reach whom and the clock in, effects out. It owns no task and no clock.

    reachable -> convicted       enough witnesses cannot reach it: two live members, one in another zone
    convicted -> DeclareDead     for `dead_after_s`, with nobody convicted meanwhile; unless too much is lost at once:
    convicted -> EngageBrake     then nothing is replaced until ReleaseBrake: they are back, or it is one whole zone
    RETURNING -> Admit           after a grace that doubles with every death within the hour

Every live control node runs one, so that any of them can act; effects come again until rows show that they were done.
"""

from collections.abc import Mapping
from math import inf

import msgspec

from paasd.config import LivenessConfig
from paasd.model.brake import Brake
from paasd.model.liveness import enough_witnesses
from paasd.model.nodes import LIVE_STATES
from paasd.scheduler.brakes import why_brake

_AGAIN_S = 1.0  # what was to be done and is not done yet is said again


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A node's row, as far as it counts; `deaths` are those within the last hour."""

    guid: str
    zone: str
    state: str
    incarnation: int
    deaths: int = 0


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What this node knows: members by guid, and by reporter whom it cannot reach, of reporters that can be reached.

    `suspects` are those of which that will be known soon.
    """

    members: Mapping[str, Member]
    reports: Mapping[str, frozenset[str]]
    brake: Brake = Brake()
    suspects: frozenset[str] = frozenset()


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """Something to write; the operation checks it again."""


class DeclareDead(Effect, frozen=True, kw_only=True):
    node_guid: str
    incarnation: int
    witnesses: tuple[str, ...]


class EngageBrake(Effect, frozen=True, kw_only=True):
    nodes: tuple[str, ...]
    reason: str


class ReleaseBrake(Effect, frozen=True):
    """Those who were lost are back."""


class Accept(Effect, frozen=True, kw_only=True):
    """Of the losses that an operator accepted, these last."""

    nodes: tuple[str, ...]


class Admit(Effect, frozen=True, kw_only=True):
    node_guid: str
    incarnation: int


class Liveness:
    """`receive` what is known whenever it changes, `wake` at the `deadline`; times are of one monotonic clock."""

    def __init__(self, config: LivenessConfig) -> None:
        self._config = config
        self._view = View(members={}, reports={})
        self._convicted: dict[str, float] = {}  # since when
        self._dead: dict[str, float] = {}  # when first seen, of those that died before our eyes
        self._returned: dict[tuple[str, int], float] = {}  # (guid, incarnation): when first seen
        self.deadline = inf

    def receive(self, now: float, view: View) -> list[Effect]:
        before, self._view = self._view, view
        if before.brake.engaged and not view.brake.engaged:
            self._convicted.clear()  # those that are still away may be on their way back like the others
        for guid in view.members:
            if self._witnesses(guid):
                self._convicted.setdefault(guid, now)
            else:
                self._convicted.pop(guid, None)
            if view.members[guid].state != "DEAD":
                self._dead.pop(guid, None)
            elif guid in before.members and before.members[guid].state != "DEAD":
                self._dead[guid] = now
        for known in (self._convicted, self._dead):
            for guid in known.keys() - view.members.keys():
                del known[guid]
        returning = {(one.guid, one.incarnation) for one in view.members.values() if one.state == "RETURNING"}
        self._returned = {key: self._returned.get(key, now) for key in returning}
        return self.wake(now)

    def wake(self, now: float) -> list[Effect]:
        """Do what is due at `now`; nothing if nothing is."""
        self.deadline = inf
        brake = self._view.brake
        effects = [*self._admit(now), *(self._braking() if brake.engaged else self._judge(now))]
        accepted = tuple(guid for guid in brake.accepted if self._away(guid))
        if accepted != brake.accepted:
            effects.append(Accept(nodes=accepted))
        if effects:
            self._due(now + _AGAIN_S)
        return effects

    def _witnesses(self, target: str) -> tuple[str, ...]:
        """Who testifies against a live node; empty when it does not suffice."""
        live = {guid: one for guid, one in self._view.members.items() if one.state in LIVE_STATES}
        heard = tuple(sorted(guid for guid in live if target in self._view.reports.get(guid, ()) and guid != target))
        return heard if enough_witnesses(target, heard, live) else ()

    def _judge(self, now: float) -> list[Effect]:
        if not self._convicted:
            return []
        first, last = min(self._convicted.values()), max(self._convicted.values())
        ripe_at = first + self._config.dead_after_limit_s
        if not self._in_doubt():
            ripe_at = min(last + self._config.dead_after_s, ripe_at)
        if now < ripe_at:
            self._due(ripe_at)
            return []
        lost = self._lost(now) - set(self._view.brake.accepted)
        reason = why_brake(self._zones(lost), lost)
        if reason is not None:
            return [EngageBrake(nodes=tuple(sorted(lost)), reason=reason)]
        return [
            DeclareDead(
                node_guid=guid,
                incarnation=self._view.members[guid].incarnation,
                witnesses=self._witnesses(guid),
            )
            for guid in sorted(self._convicted)
        ]

    def _in_doubt(self) -> bool:
        """Whether more may be lost than is known yet: of many that vanish at once some are noticed seconds later."""
        live = {guid for guid, one in self._view.members.items() if one.state in LIVE_STATES}
        accused = self._view.suspects.union(*self._view.reports.values())
        return bool(accused & live - self._convicted.keys())

    def _braking(self) -> list[Effect]:
        """The brake holds until those that engaged it, and whoever was lost since, are no longer too many."""
        away = {guid for guid in self._view.brake.nodes if self._away(guid)} | self._convicted.keys()
        return [] if why_brake(self._zones(away), away) is not None else [ReleaseBrake()]

    def _away(self, guid: str) -> bool:
        member = self._view.members.get(guid)
        return member is not None and (guid in self._convicted or member.state == "DEAD")

    def _lost(self, now: float) -> set[str]:
        """Declared dead within the window, or about to be, however long nobody could write that down."""
        since = now - self._config.brake_window_s
        return {*self._convicted, *(guid for guid, at in self._dead.items() if at > since)}

    def _zones(self, lost: set[str]) -> dict[str, str]:
        """Zones of what was there at the beginning of the window: what is live, and what was lost since."""
        members = self._view.members.values()
        return {one.guid: one.zone for one in members if one.state in LIVE_STATES or one.guid in lost}

    def _admit(self, now: float) -> list[Effect]:
        admitted: list[Effect] = []
        for (guid, incarnation), since in self._returned.items():
            doublings = min(max(0, self._view.members[guid].deaths - 1), 16)
            grace_s = min(self._config.flap_grace_limit_s, self._config.flap_grace_s * 2.0**doublings)
            if guid in self._convicted:
                continue
            if now >= since + grace_s:
                admitted.append(Admit(node_guid=guid, incarnation=incarnation))
            else:
                self._due(since + grace_s)
        return admitted

    def _due(self, at: float) -> None:
        self.deadline = min(self.deadline, at)
