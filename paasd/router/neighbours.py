"""Which nodes there are, how near they are, and which instances of theirs may be sent requests. Pure.

An instance counts while its row says that it is wanted there in just that epoch: what runs on a node that was cut off
and replaced gets nothing, and no node can claim the requests of an app that was not given to it. A node that cannot be
reached is passed over, unless an app has instances nowhere else: then trying is better than refusing.
"""

from collections.abc import Iterable, Mapping

from paasd.model.records import Node
from paasd.observed import InstanceFact
from paasd.router.nearness import distance
from paasd.router.records import Endpoint
from paasd.router.tunnels import Links, NodeDoor, api_target, target_of

ProcessKey = tuple[str, str]
Doors = Mapping[str, tuple[str, int] | None]
_GONE = ("DEAD", "REMOVED")


class Neighbours:
    """The nodes as seen from `own`; `placed` is what the instance rows say, epoch and node by instance guid."""

    def __init__(self, own: str) -> None:
        self.own = own
        self.nodes: dict[str, Node] = {}
        self.placed: dict[str, tuple[int, str]] = {}
        self.unreachable: frozenset[str] = frozenset()

    @property
    def _zone(self) -> str:
        return self.nodes[self.own].zone if self.own in self.nodes else ""

    def door(self, guid: str) -> NodeDoor | None:
        """Where another node's tunnel port is; None if it cannot be one that requests are passed to."""
        ours, node = self.nodes.get(self.own), self.nodes.get(guid)
        if guid == self.own or ours is None or node is None or node.state == "REMOVED":
            return None
        if not (ours.address and node.address and node.tunnel_port):
            return None
        return NodeDoor(address=node.address, port=node.tunnel_port)

    def distance(self, guid: str) -> int:
        """How far a node is by its zone."""
        return 0 if guid == self.own else distance(self._zone, self.nodes[guid].zone)

    def answers(self, guid: str) -> bool:
        """Whether requests to a node have a chance."""
        return guid == self.own or (guid not in self.unreachable and self.nodes[guid].state not in _GONE)

    def routable(self, facts: Iterable[InstanceFact]) -> tuple[InstanceFact, ...]:
        """Those of a process's instances that may be sent requests, in order of index."""
        able = [fact for fact in facts if fact.state == "RUNNING" and fact.routable and self._counts(fact)]
        preferred = [fact for fact in able if self.answers(fact.node_guid)] or able
        return tuple(sorted(preferred, key=lambda fact: (fact.index, fact.instance_guid)))

    def _counts(self, fact: InstanceFact) -> bool:
        known = fact.node_guid == self.own or self.door(fact.node_guid) is not None
        placed = self.placed.get(fact.instance_guid) == (fact.epoch, fact.node_guid)
        return known and placed and bool(fact.address and fact.port)

    def links(self, facts: Iterable[InstanceFact], ports: Mapping[ProcessKey, set[int]], doors: Doors) -> Links:
        """The other nodes, and what of this one they may ask for.

        An instance may be asked for from before it is routable until its process is gone, so that no router that is a
        moment behind or ahead meets a refusal. `ports` are those that routes name besides the usual one.
        """
        targets: dict[str, tuple[str, int]] = {}
        nodes = {guid: door for guid in self.nodes if (door := self.door(guid)) is not None}
        if not nodes:
            return Links()
        for fact in facts:
            if fact.node_guid == self.own and fact.address and fact.port and not self._superseded(fact):
                targets[target_of(fact.instance_guid, fact.epoch)] = fact.address, fact.port
                for port in ports.get((fact.app_guid, fact.process_type), ()):
                    targets[target_of(fact.instance_guid, fact.epoch, port)] = fact.address, port
        for place in doors.values():
            if place is not None:
                targets[api_target(self.own)] = place
        return Links(nodes=nodes, targets=targets)

    def _superseded(self, fact: InstanceFact) -> bool:
        epoch, _node = self.placed.get(fact.instance_guid, (fact.epoch, fact.node_guid))
        return epoch > fact.epoch

    def system(self, doors: Doors) -> dict[str, tuple[Endpoint, ...]]:
        """What answers the platform's own hosts: this node's door, if it has one, and then those of control nodes."""
        others = [
            Endpoint(
                instance_guid="",
                index=0,
                address=door.address,
                port=door.port,
                node_guid=guid,
                target=api_target(guid),
                distance=1 + self.distance(guid),
            )
            for guid, node in sorted(self.nodes.items())
            if node.role == "control" and (door := self.door(guid)) is not None
        ]
        others = [one for one in others if self.answers(one.node_guid)] or others
        found = {}
        for name, place in doors.items():
            local = () if place is None else (Endpoint(instance_guid="", index=0, address=place[0], port=place[1]),)
            found[name] = (*local, *others)
        return found
