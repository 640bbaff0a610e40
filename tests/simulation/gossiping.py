"""Nodes that gossip, in a simulated world: the real cores and stores, the real packed datagrams, no sockets."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import msgspec

from paasd.config import GossipConfig
from paasd.gossip.boot import next_boot
from paasd.gossip.swim.core import Swim
from paasd.gossip.swim.effects import Compare, Datagram, Effect, Quarantined, Send, StandingChanged
from paasd.gossip.swim.roster import Roster
from paasd.gossip.sync import Answer, Question, answer, ask, take_answer
from paasd.observed import InstanceFact, NodeFact, Observed
from tests.simulation.engine import World


class Gossiper:
    """One node: its core, its store, and what became of its effects."""

    def __init__(self, world: World, config: GossipConfig, guid: str, roster: Roster, boot: int, now: float) -> None:
        self.world = world
        self.guid = guid
        self.observed = Observed()
        self.observed.join(guid, boot)
        self.random = Random(world.random.getrandbits(64))
        self.stream = self.random.randbytes(12)
        self.number = 0
        self.swim = Swim(config, guid, boot, roster, self.observed, self.random, now)
        self.history: list[tuple[float, str, str]] = []
        self.quarantined: list[str] = []
        self.on_outbid: Callable[[int], None] = lambda _boot: None
        self.on_change: Callable[[str, str], None] = lambda _guid, _now: None
        self.observed.on_delta = self._broadcast
        self.observed.on_outbid = self._outbid
        self._local = now

    @property
    def deadline(self) -> float:
        return self.swim.deadline

    def receive(self, now: float, message: Any) -> list[Effect]:
        self._local = now
        match message:
            case Datagram():
                return self.swim.receive(now, message)
            case (source, Question() as question):
                reply = answer(self.observed, self.swim.members.all_news(), question)
                effects = self.swim.learn(now, question.news, source)
                self._stream(source, (self.guid, reply))
                return effects
            case (source, Answer() as reply):
                back = take_answer(self.observed, reply)
                effects = self.swim.learn(now, reply.news, source)
                if back.batches:
                    self._stream(source, (self.guid, back))
                return effects
        raise AssertionError(f"unknown message {message!r}")

    def wake(self, now: float) -> list[Effect]:
        self._local = now
        return self.swim.wake(now)

    def perform(self, effect: Effect) -> None:
        match effect:
            case Send(target, payload):
                self.number += 1
                self.world.send(self.guid, target, Datagram(payload, self.stream, self.number, self.guid))
            case Compare(partner):
                question = ask(self.observed, self.swim.members.all_news())
                self._stream(partner, (self.guid, question))
            case StandingChanged(guid, now):
                self.observed.set_reachability(guid, now)
                self.history.append((self.world.now, guid, now))
                self.on_change(guid, now)
            case Quarantined(guid):
                self.quarantined.append(guid)

    def settle(self) -> None:
        """All that runs here has been found again."""
        self.observed.put_about(NodeFact(node_guid=self.guid, boot=self.swim.boot, settled=True))

    def _stream(self, target: str, message: Any) -> None:
        self.world.send(self.guid, target, message, reliable=True)

    def _broadcast(self, delta: Any) -> None:
        self.swim.broadcast(self._local_now(), delta)
        if self.guid in self.world.hosts:
            self.world.poke(self.guid)

    def _outbid(self, boot: int) -> None:
        self.swim.reboot(self._local_now(), boot)
        self.observed.outbid(boot)
        self.on_outbid(boot)

    def _local_now(self) -> float:
        host = self.world.hosts.get(self.guid)
        return self._local if host is None else host.local(self.world.now)


class Cluster:
    """A world of gossipers over zones."""

    def __init__(self, world: World, zones: Mapping[str, str], config: GossipConfig | None = None) -> None:
        self.world = world
        self.config = config or GossipConfig()
        self.roster = Roster(zones)
        self.nodes: dict[str, Gossiper] = {}
        self.boots: dict[str, int] = {}
        self.skew = 0.0
        for guid in self.roster.guids:
            self.start(guid)

    def start(self, guid: str, *, set_back: bool = False) -> Gossiper:
        """A node comes up, or comes up again; set back, it does not remember that it has before."""
        self.boots[guid] = next_boot(0 if set_back else self.boots.get(guid, 0), self.world.random)
        rate = 1.0 + self.world.random.uniform(-self.skew, self.skew)
        offset = self.world.random.uniform(0, 1e6)
        local = offset + self.world.now * rate
        node = Gossiper(self.world, self.config, guid, self.roster, self.boots[guid], local)
        self.nodes[guid] = node
        node.on_outbid = lambda boot: self.boots.__setitem__(guid, boot)
        self.world.add(guid, node, node.perform, rate=rate, offset=offset)
        return node

    def crash(self, guid: str) -> None:
        self.world.crash(guid)
        self.nodes.pop(guid)

    def view(self, guid: str) -> dict[str, str]:
        """What the living others hold of a node."""
        return {name: node.swim.members.status(guid) for name, node in self.nodes.items() if name != guid}

    def all_alive(self) -> bool:
        return all(not node.swim.members.troubled for node in self.nodes.values())


def zoned(count: int, zones: int = 3) -> dict[str, str]:
    """Nodes n00.. over zones z0.."""
    return {f"n{number:02d}": f"z{number % zones}" for number in range(count)}


def instance(node: str, name: str, epoch: int = 1, **changes: Any) -> InstanceFact:
    fact = InstanceFact(
        instance_guid=name,
        epoch=epoch,
        node_guid=node,
        app_guid="app",
        process_guid="process",
        process_type="web",
        index=0,
        state="RUNNING",
        since=1.0,
        address="10.0.0.1",
        port=8080,
        routable=True,
    )
    return msgspec.structs.replace(fact, **changes)
