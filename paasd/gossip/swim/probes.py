"""Probes under way: first directly, then by helpers; and the errands that this node runs as somebody's helper."""

from math import inf

import msgspec


class Probe(msgspec.Struct):
    """`direct_until`: when helpers are asked. `fails_at`: when it has failed."""

    number: int
    target: str
    sent_at: float
    direct_until: float
    fails_at: float
    helpers: tuple[str, ...] = ()
    asked: bool = False
    nacked: bool = False  # a helper could hear us and answer in time: the trouble is not ours


class Errand(msgspec.Struct):
    """A ping on behalf of `asker`, who knows it by `asked_number`."""

    number: int
    asker: str
    asked_number: int
    target: str
    until: float


class Probes:
    """Both by number. Numbers run on, so that an old answer answers nothing."""

    def __init__(self, first_number: int) -> None:
        self._number = first_number
        self.probes: dict[int, Probe] = {}
        self.errands: dict[int, Errand] = {}

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def begin(self, now: float, target: str, direct_s: float, indirect_s: float) -> Probe:
        probe = Probe(self.next_number(), target, now, now + direct_s, now + direct_s + indirect_s)
        self.probes[probe.number] = probe
        return probe

    def begin_errand(self, asker: str, asked_number: int, target: str, until: float) -> Errand:
        errand = Errand(self.next_number(), asker, asked_number, target, until)
        self.errands[errand.number] = errand
        return errand

    def is_probing(self, target: str) -> bool:
        return any(probe.target == target for probe in self.probes.values())

    def answered(self, number: int, sender: str) -> Probe | None:
        """The probe that this answers, if it may: its target, or a helper for it."""
        probe = self.probes.get(number)
        if probe is None or (sender != probe.target and sender not in probe.helpers):
            return None
        return self.probes.pop(number)

    def errand_answered(self, number: int, sender: str) -> Errand | None:
        errand = self.errands.get(number)
        if errand is None or sender != errand.target:
            return None
        return self.errands.pop(number)

    def nacked(self, number: int, sender: str) -> None:
        probe = self.probes.get(number)
        if probe is not None and sender in probe.helpers:
            probe.nacked = True

    def forgive(self, stall_s: float) -> None:
        """This node stood still: what answered meanwhile has not been read yet."""
        for probe in self.probes.values():
            probe.direct_until += stall_s
            probe.fails_at += stall_s
        for errand in self.errands.values():
            errand.until += stall_s

    def forget(self, members: set[str]) -> None:
        """Let go of what concerns nodes that are no members any more."""
        self.probes = {number: one for number, one in self.probes.items() if one.target in members}
        self.errands = {
            number: one for number, one in self.errands.items() if one.target in members and one.asker in members
        }

    @property
    def deadline(self) -> float:
        probes = (one.fails_at if one.asked else one.direct_until for one in self.probes.values())
        errands = (one.until for one in self.errands.values())
        return min(min(probes, default=inf), min(errands, default=inf))

    def unanswered(self, now: float) -> list[Probe]:
        """Those whose helpers are to be asked now."""
        return [one for one in self.probes.values() if not one.asked and one.direct_until <= now]

    def failed(self, now: float) -> list[Probe]:
        """Those that have failed; they are over."""
        failed = [one for one in self.probes.values() if one.asked and one.fails_at <= now]
        for one in failed:
            del self.probes[one.number]
        return failed

    def hopeless(self, now: float) -> list[Errand]:
        """Errands without an answer; they are over."""
        late = [one for one in self.errands.values() if one.until <= now]
        for one in late:
            del self.errands[one.number]
        return late
