"""One node's core: probes the others in turn, hears what they say, and tells it on.

`receive` and `wake` return what is to be done; times are of one steady clock. A wake-up that comes much later than
`deadline` is a stall of this node: it is counted against itself, and every wait is extended by it, because the answers
may lie in the socket's buffer.
"""

import math
from math import inf
from random import Random

import msgspec

from paasd.config.gossip import GossipConfig
from paasd.gossip.swim.effects import Compare, Datagram, Effect, Quarantined, Records, Send, StandingChanged
from paasd.gossip.swim.members import Members
from paasd.gossip.swim.post import Post
from paasd.gossip.swim.probes import Probe, Probes
from paasd.gossip.swim.roster import Roster, Rounds
from paasd.gossip.swim.waiting import Awareness, RoundTrips, stall_penalty
from paasd.gossip.wire import messages
from paasd.gossip.wire.guard import Quarantine, ReplayWindow
from paasd.gossip.wire.messages import Ack, AnyMessage, AnyUpdate, Body, Garbage, Header, Nack, Ping, PingRequest
from paasd.gossip.wire.sealing import OVERHEAD_BYTES
from paasd.observed import Delta, Holding, Reachability

_INDIRECT = 2  # an indirect probe may take so many direct timeouts: two legs
_GAP_GRACE_S = 0.5  # a change that is not here yet is most likely under way


class Counters(msgspec.Struct):
    """For metrics and tests."""

    sent: int = 0
    sent_bytes: int = 0
    received: int = 0
    repeated: int = 0
    strangers: int = 0
    probes_failed: int = 0
    stalls: int = 0


class Swim:
    """One node. `boot` counts the starts of its daemon."""

    def __init__(
        self, config: GossipConfig, guid: str, boot: int, roster: Roster, records: Records, random: Random, now: float
    ) -> None:
        self.guid = guid
        self.zone = roster.zones[guid]
        self.boot = boot
        self.counters = Counters()
        self.awareness = Awareness(config.awareness_limit)
        self.members = Members(config, guid, boot << messages.BOOT_SHIFT, roster, self.awareness)
        self.quarantine = Quarantine(config.garbage_limit, config.quarantine_s)
        self.clock_offset_s: dict[str, float] = {}
        self.lag_s = 0.0
        self.wall_minus_steady_s = 0.0
        self._config = config
        self._records = records
        self._random = random
        self._roster = roster
        self._window = ReplayWindow()
        self._trips = RoundTrips(config)
        self._probes = Probes(random.getrandbits(40))
        self._rounds = Rounds(random)
        self._post = Post(config, guid, records, self.members.news, random)
        self._gaps: dict[str, tuple[float, Holding, str]] = {}
        self._turn = 0
        self._next_probe = now + random.random() * config.probe_interval_s
        # A node that has just started knows nothing of the others' records.
        self._next_compare = now + random.random() * config.probe_interval_s
        self._compares = 0
        self._effects: list[Effect] = []
        self.deadline = now
        self._schedule(now)

    # The three verbs; `deadline` is when to `wake` if nothing comes before.

    def receive(self, now: float, datagram: Datagram) -> list[Effect]:
        self.counters.received += 1
        sender = datagram.via
        try:
            envelope = messages.open_envelope(datagram.payload)
            if datagram.via is not None and datagram.via != envelope.sender:
                raise Garbage(f"it says that it comes from node {envelope.sender}")
            sender = envelope.sender
            if sender == self.guid or sender not in self._roster:
                self.counters.strangers += 1
                return []
            if not self._window.fresh(sender, envelope.boot, datagram.stream, datagram.number):
                self.counters.repeated += 1
                return []
            body = messages.open_body(envelope)
            self._hear(now, envelope, body)
        except Garbage as error:
            if sender is not None and sender in self._roster and self.quarantine.strike(now, sender):
                self._effects.append(Quarantined(sender, str(error)))
        return self._done(now)

    def wake(self, now: float) -> list[Effect]:
        """Do what is due."""
        self._notice_lateness(now - self.deadline)
        for errand in self._probes.hopeless(now):
            self._send(errand.asker, Nack(errand.asked_number))
        for probe in self._probes.unanswered(now):
            self._ask_helpers(probe)
        for probe in self._probes.failed(now):
            self._fail(now, probe)
        self.members.expire(now)
        self._retry(now)
        if now >= self._next_probe:
            self._next_probe = now + self._config.probe_interval_s * self.awareness.factor
            self._probe_next(now)
        self._close_gaps(now)
        if now >= self._next_compare:
            self._compare_next(now)
        if now >= self._post.round_at:
            self._spread(now)
        return self._done(now)

    # What the shell tells it besides.

    def set_roster(self, now: float, roster: Roster) -> list[Effect]:
        """Take another set of members; it always holds this node."""
        for gone in self._roster.guids:
            if gone not in roster:
                self._window.forget(gone)
                self._trips.forget(gone)
                self.quarantine.forget(gone)
                self.clock_offset_s.pop(gone, None)
                self._gaps.pop(gone, None)
        self._roster = roster
        self.members.set_roster(roster)
        self._probes.forget(set(roster.guids))
        return self._done(now)

    def broadcast(self, now: float, delta: Delta) -> None:
        """Tell all nodes about a change of this node's own records; the next `wake` does, at once."""
        self._post.tell(delta)
        self._schedule(now)

    def learn(self, now: float, updates: tuple[AnyUpdate, ...], partner: str) -> list[Effect]:
        """What a partner holds of the members, from a comparison."""
        try:
            for update in updates:
                self.members.apply(now, update)
        except Garbage as error:
            if self.quarantine.strike(now, partner):
                self._effects.append(Quarantined(partner, str(error)))
        return self._done(now)

    def reboot(self, now: float, boot: int) -> None:
        """Others have heard of a later start of this node than this one: its data directory was set back."""
        self.boot = boot
        self.members.raise_incarnation(boot << messages.BOOT_SHIFT)
        self._schedule(now)

    def mean_round_trip_s(self, guid: str) -> float | None:
        return self._trips.mean_s(guid)

    # Hearing.

    def _hear(self, now: float, header: Header, body: Body) -> None:
        sender = header.sender
        if header.incarnation > self.members.incarnation_of(sender) + messages.INCARNATION_LEAP:
            raise Garbage(f"incarnation {header.incarnation} is absurd")
        self.members.alive(sender, header.incarnation, first_hand=True)
        if not self.quarantine.holds(now, sender):
            for update in body.updates:
                self.members.apply(now, update)
            for delta in body.deltas:
                self._take(delta)
            own = Holding(sender, header.boot, header.sequence)
            for mark in (own, *body.marks):
                self._compare(now, sender, mark)
        self._answer(now, sender, body.message)

    def _take(self, delta: Delta) -> None:
        if delta.owner not in self._roster:
            return
        if not delta.change.proper(delta.owner):
            raise Garbage(f"a record of node {delta.owner} that is not its own")
        if self._records.take(delta):
            self._post.tell(delta)

    def _compare(self, now: float, partner: str, mark: Holding) -> None:
        if mark.owner in self._roster and mark.owner not in self._gaps and self._records.is_behind(mark):
            self._gaps[mark.owner] = (now + _GAP_GRACE_S, mark, partner)

    def _answer(self, now: float, sender: str, message: AnyMessage) -> None:
        match message:
            case Ping(number):
                self._send(sender, Ack(number, now + self.wall_minus_steady_s))
            case Ack(number, clock):
                self._acknowledged(now, sender, number, clock)
            case Nack(number):
                self._probes.nacked(number, sender)
            case PingRequest(number, target, timeout_ms):
                if target not in self._roster or target in (self.guid, sender):
                    return
                errand = self._probes.begin_errand(sender, number, target, now + timeout_ms / 1000)
                self._send(target, Ping(errand.number))

    def _acknowledged(self, now: float, sender: str, number: int, clock: float) -> None:
        errand = self._probes.errand_answered(number, sender)
        if errand is not None:
            self._send(errand.asker, Ack(errand.asked_number))
            return
        probe = self._probes.answered(number, sender)
        if probe is None:
            return
        self.awareness.change(-1)
        if sender == probe.target and now <= probe.direct_until:
            trip_s = now - probe.sent_at
            self._trips.add(sender, self._roster.zones[sender], trip_s)
            self.clock_offset_s[sender] = clock - (now - trip_s / 2 + self.wall_minus_steady_s)

    # Probing.

    def _notice_lateness(self, late_s: float) -> None:
        self.lag_s = max(late_s, self.lag_s * 0.9)
        penalty = stall_penalty(late_s, self._config.stall_s)
        if penalty:
            self.counters.stalls += 1
            self.awareness.change(penalty)
            self._probes.forgive(late_s)
            self.members.forgive(late_s)

    def _probe_next(self, now: float) -> None:
        """In turn the next on the ring and somebody by chance.

        The ring bounds how long a loss can stay unprobed, chance finds it when whole stretches of the ring are lost.
        """
        self._turn += 1
        order = self._roster.after(self.guid) if self._turn % 2 else self._rounds.take(self._roster)
        for guid in order:
            if guid == self.guid or self.members.status(guid) == "unreachable":
                continue
            if not self._probes.is_probing(guid):
                self._probe(now, guid)
            return

    def _probe(self, now: float, guid: str) -> None:
        wait_s = self._trips.timeout_s(guid, self._roster.zones[guid]) * self.awareness.factor
        probe = self._probes.begin(now, guid, wait_s, _INDIRECT * wait_s)
        self._send(guid, Ping(probe.number))

    def _ask_helpers(self, probe: Probe) -> None:
        probe.asked = True
        probe.helpers = self._choose_helpers(probe.target)
        wait_ms = max(1, int((probe.fails_at - probe.direct_until) * 1000 * 0.7))  # leaves time for the nack to come
        for helper in probe.helpers:
            self._send(helper, PingRequest(probe.number, probe.target, min(wait_ms, 60_000)))
        self._send(probe.target, Ping(probe.number))  # the first may just have been lost

    def _choose_helpers(self, target: str) -> tuple[str, ...]:
        """One of the target's zone and one of another, as far as there are any, then whoever."""
        count = self._config.helpers
        zone = self._roster.zones[target]
        chosen: list[str] = []
        near = self._pick(self._roster.by_zone[zone], {target}, 1)
        chosen += near
        far = [guid for guid in (self._roster.elsewhere(zone, self._random) for _ in range(4)) if guid is not None]
        chosen += [guid for guid in far if self._is_well(guid)][:1]
        chosen += self._pick(self._roster.guids, {target, *chosen}, count - len(chosen))
        return tuple(chosen[:count])

    def _pick(self, guids: tuple[str, ...], but: set[str], count: int) -> list[str]:
        """Some that are alive, by chance; fewer if there are not enough or chance would take too long."""
        found: list[str] = []
        if len(guids) <= 4 * (count + len(but)):
            able = [guid for guid in guids if guid not in but and self._is_well(guid)]
            return self._random.sample(able, min(count, len(able))) if count > 0 else []
        for _ in range(8 * count):
            guid = self._random.choice(guids)
            if guid not in but and guid not in found and self._is_well(guid):
                found.append(guid)
                if len(found) == count:
                    break
        return found

    def _is_well(self, guid: str) -> bool:
        return guid != self.guid and self.members.status(guid) == "alive"

    def _fail(self, now: float, probe: Probe) -> None:
        self.counters.probes_failed += 1
        self.members.mark_proven(probe.target)
        if self.members.status(probe.target) == "unreachable":
            return
        if not probe.nacked:
            self.awareness.change(+1)
        self.members.suspect(now, probe.target, self.members.incarnation_of(probe.target), self.guid)

    def _retry(self, now: float) -> None:
        """Try what is unreachable, and suspects that this node was chosen to look at."""
        for guid, one in list(self.members.troubled.items()):
            if one.try_at > now:
                continue
            lost_s = now - one.since
            if one.status == "suspect" or lost_s > self._config.reconnect_for_s:
                one.try_at = inf
            else:
                wait_s = min(max(lost_s / 4, 1.0), self._config.reconnect_interval_s)
                one.try_at = now + wait_s * self._random.uniform(0.8, 1.0)
            if not self._probes.is_probing(guid):
                self._probe(now, guid)

    # Telling.

    def _spread(self, now: float) -> None:
        far = self._roster.elsewhere(self.zone, self._random)
        targets = [far] if far is not None and self._is_well(far) else []
        targets += self._pick(self._roster.guids, {self.guid, *targets}, self._config.fan_out - len(targets))
        for target in targets:
            self._send(target, messages.News())
        self._post.round_done(now, bool(targets))

    def _send(self, target: str, message: AnyMessage) -> None:
        header = Header(messages.VERSION, self.guid, self.boot, self.members.incarnation, self._records.sequence)
        payload = self._post.letter(header, message, self.members.about(target), self._roster)
        self.counters.sent += 1
        self.counters.sent_bytes += len(payload) + OVERHEAD_BYTES
        self._effects.append(Send(target, payload))

    def _close_gaps(self, now: float) -> None:
        partners = set()
        for owner, (due, mark, partner) in list(self._gaps.items()):
            if due <= now:
                del self._gaps[owner]
                if self._records.is_behind(mark):
                    partners.add(partner)
        self._effects.extend(Compare(partner) for partner in sorted(partners))

    def _compare_next(self, now: float) -> None:
        """With somebody, every second time of another zone; the more nodes there are, the rarer."""
        self._compares += 1
        far = self._roster.elsewhere(self.zone, self._random) if self._compares % 2 else None
        partner = [far] if far is not None and self._is_well(far) else self._pick(self._roster.guids, {self.guid}, 1)
        self._effects.extend(Compare(guid) for guid in partner)
        interval_s = self._config.sync_interval_s * max(1.0, math.log2(max(len(self._roster), 1) / 16))
        self._next_compare = now + interval_s * self._random.uniform(0.9, 1.1)

    def _done(self, now: float) -> list[Effect]:
        for guid, was, status in self.members.changes:
            self._react(now, guid, was)
            self._effects.append(StandingChanged(guid, status))
        self.members.changes = []
        self._schedule(now)
        effects, self._effects = self._effects, []
        return effects

    def _schedule(self, now: float) -> None:
        """What is overdue because of what was just heard is due now: being late with it is no stall."""
        self._post.plan(now)
        tries = min((one.try_at for one in self.members.troubled.values()), default=inf)
        gaps = min((gap[0] for gap in self._gaps.values()), default=inf)
        regular = min(self._next_probe, self._next_compare, self._post.round_at)
        due = min(regular, self._probes.deadline, self.members.deadline, tries, gaps)
        self.deadline = max(now, due)

    def _react(self, now: float, guid: str, was: Reachability) -> None:
        """To a change: look at a suspect ourselves, begin to try what is unreachable, catch up with who is back."""
        one = self.members.troubled.get(guid)
        if one is None:
            if was == "unreachable" and guid in self._roster and self._random.random() < 32 / len(self._roster):
                self._effects.append(Compare(guid))
        elif one.status == "suspect":
            share = self._config.confirmers / max(len(self._roster) - 2, 1)
            if not one.proven and self._random.random() < share:
                one.try_at = now
        else:
            one.try_at = now + self._random.random() * max(0.5, len(self._roster) / 32)
