"""What must hold after every event of a simulated gossip, whatever the faults."""

from paasd.gossip.swim.waiting import suspicion_s, witnesses_wanted
from paasd.observed import InstanceFact
from tests.simulation.gossiping import Cluster, Gossiper

_SLACK = 0.98  # clocks run at different rates


class Laws:
    """Watches a cluster; `check` raises AssertionError naming the law."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.said: dict[str, dict[str, set[InstanceFact]]] = {}  # by owner and instance: all that it ever said
        self._accused: set[tuple[str, str, int]] = set()  # who really failed to reach whom, at which incarnation
        self._suspected_at: dict[tuple[int, str], float] = {}
        self._incarnations: dict[tuple[int, str], int] = {}
        self._own: dict[str, int] = {}
        self._epochs: dict[tuple[int, str], int] = {}
        self._seen: dict[int, int] = {}

    def check(self) -> None:
        """Those that did something: nobody else can have changed."""
        for node in [self.cluster.nodes[name] for name in self.cluster.world.touched if name in self.cluster.nodes]:
            self._check_members(node)
            self._check_incarnations(node)
            if len(node.history) != self._seen.get(id(node), 0):
                self._check_verdicts(node)

    def _check_members(self, node: Gossiper) -> None:
        assert node.swim.members.roster is self.cluster.roster, f"{node.guid} changed its members by itself"

    def _check_incarnations(self, node: Gossiper) -> None:
        members = node.swim.members
        own = self._own.get(node.guid, 0)
        self._own[node.guid] = max(own, members.incarnation)
        for guid in members.troubled:
            key = id(node), guid
            now = members.incarnation_of(guid)
            assert now >= self._incarnations.get(key, 0), (
                f"{node.guid} holds an older incarnation of {guid} than before"
            )
            self._incarnations[key] = now
            other = self.cluster.nodes.get(guid)
            true = max(self._own.get(guid, 0), other.swim.members.incarnation if other else 0)
            assert now <= true, f"{node.guid} holds incarnation {now} of {guid}, which never had more than {true}"
            if node.guid in members.troubled[guid].accusers:
                self._accused.add((node.guid, guid, now))

    def _check_verdicts(self, node: Gossiper) -> None:
        local = self.cluster.world.hosts[node.guid].local(self.cluster.world.now)
        for _, guid, status in node.history[self._seen.get(id(node), 0) :]:
            key = id(node), guid
            if status == "suspect":
                self._suspected_at[key] = local
            elif status == "unreachable":
                self._check_verdict(node, guid, local - self._suspected_at.get(key, local))
            if status != "suspect":
                self._suspected_at.pop(key, None)
        self._seen[id(node)] = len(node.history)

    def _check_verdict(self, node: Gossiper, guid: str, suspected_s: float) -> None:
        standing = node.swim.members.troubled.get(guid)
        if standing is None or standing.status != "unreachable":
            return  # it has changed again within this event
        config, count = self.cluster.config, len(self.cluster.roster)
        for accuser in standing.accusers:
            real = (accuser, guid, standing.incarnation) in self._accused
            assert real, f"{accuser} is named as witness against {guid} at {node.guid} and never was one"
        wanted = witnesses_wanted(config, count)
        if len(standing.accusers) >= wanted + 1:
            return
        possible = node.swim.members.wanted
        needed_s = suspicion_s(config, count, len(standing.accusers) - 1, possible)
        assert suspected_s >= needed_s * _SLACK, (
            f"{node.guid} gave {guid} up after {suspected_s:.2f} s on the word of {standing.accusers} alone"
        )

    # Observed records.

    def note(self, fact: InstanceFact) -> None:
        self.said.setdefault(fact.node_guid, {}).setdefault(fact.instance_guid, set()).add(fact)

    def check_observed(self) -> None:
        """Nobody shows what its owner never said, and nobody goes back to an older epoch."""
        for node in self.cluster.nodes.values():
            for fact in node.observed.instances():
                said = self.said.get(fact.node_guid, {}).get(fact.instance_guid, set())
                assert fact in said, f"{node.guid} shows {fact}, which its node never said"
                key = id(node), fact.instance_guid
                assert fact.epoch >= self._epochs.get(key, 0), f"{node.guid} went back to epoch {fact.epoch}"
                self._epochs[key] = fact.epoch
