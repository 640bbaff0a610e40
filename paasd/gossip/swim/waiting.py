"""How long to wait: for an answer, for a suspect to refute, and how much longer when the trouble may be our own.

The formulas are those of Lifeguard, with the round trip to each peer in place of one fixed time.
"""

import math

import msgspec

from paasd.config.gossip import GossipConfig


class RoundTrip(msgspec.Struct):
    """Mean and deviation as TCP keeps them; their sum with 4 deviations stands for the 99th percentile."""

    mean_s: float
    deviation_s: float

    @property
    def p99_s(self) -> float:
        return self.mean_s + 4 * self.deviation_s

    def add(self, sample_s: float) -> None:
        self.deviation_s += (abs(sample_s - self.mean_s) - self.deviation_s) / 4
        self.mean_s += (sample_s - self.mean_s) / 8


class RoundTrips:
    """By peer; a peer that has not answered yet is taken for one of its zone."""

    def __init__(self, config: GossipConfig) -> None:
        self._config = config
        self._peers: dict[str, RoundTrip] = {}
        self._zones: dict[str, RoundTrip] = {}

    def add(self, guid: str, zone: str, sample_s: float) -> None:
        for table, key in ((self._peers, guid), (self._zones, zone)):
            if key in table:
                table[key].add(sample_s)
            else:
                table[key] = RoundTrip(sample_s, sample_s / 2)

    def timeout_s(self, guid: str, zone: str) -> float:
        known = self._peers.get(guid) or self._zones.get(zone)
        if known is None:
            return min(max(0.5, self._config.probe_timeout_min_s), self._config.probe_timeout_limit_s)
        return min(max(3 * known.p99_s, self._config.probe_timeout_min_s), self._config.probe_timeout_limit_s)

    def mean_s(self, guid: str) -> float | None:
        return self._peers[guid].mean_s if guid in self._peers else None

    def forget(self, guid: str) -> None:
        self._peers.pop(guid, None)


class Awareness:
    """How far this node mistrusts itself, 0 to the limit: it then waits (score + 1) times as long for everything."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.score = 0

    @property
    def factor(self) -> int:
        return self.score + 1

    def change(self, by: int) -> None:
        self.score = min(max(self.score + by, 0), self._limit)


def stall_penalty(late_s: float, stall_s: float) -> int:
    """What a wake-up that came late says about this node: 1 point, and one more for each doubling of the stall."""
    return 0 if late_s < stall_s else 1 + int(math.log2(late_s / stall_s))


def witnesses_wanted(config: GossipConfig, members: int) -> int:
    """How many confirm a suspicion (k), the first accuser not counted: as many as there can be in a small cluster."""
    return max(0, min(config.suspicion_mult - 2, members - 2))


def suspicion_s(config: GossipConfig, members: int, confirmations: int, wanted: int) -> float:
    """How long a suspect may refute. It falls from the longest to the shortest as confirmations come in."""
    # Up to 30 nodes news is everywhere in a third of a second, so only larger clusters need more time for it.
    shortest = config.suspicion_mult * max(1.0, math.log10(max(members, 1) / 3)) * config.probe_interval_s
    longest = shortest * config.suspicion_max_mult
    if wanted <= 0:
        return shortest
    share = math.log(confirmations + 1) / math.log(wanted + 1)
    return max(shortest, longest - (longest - shortest) * share)


def retransmissions(config: GossipConfig, members: int) -> int:
    """How often a node sends one piece of news on."""
    return config.retransmit_mult * math.ceil(math.log10(members + 1))
