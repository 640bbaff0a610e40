"""Cores wired together by hand: a test says which datagram arrives when, and sees every effect."""

from random import Random

from paasd.config import GossipConfig
from paasd.gossip.swim.core import Swim
from paasd.gossip.swim.effects import Compare, Datagram, Effect, Quarantined, Send, StandingChanged
from paasd.gossip.swim.roster import Roster
from paasd.gossip.wire.messages import AnyMessage, AnyUpdate, Body, Header, News, encode, open_body, open_envelope, pack
from paasd.observed import Delta, Holding, Observed

CONFIG = GossipConfig()


class Wired:
    """One core and its store; what it sends is kept by receiver until somebody takes it."""

    def __init__(self, guid: str, zones: dict[str, str], config: GossipConfig = CONFIG, boot: int = 1 << 16) -> None:
        self.guid = guid
        self.now = 100.0
        self.observed = Observed()
        self.observed.join(guid, boot)
        self.swim = Swim(config, guid, boot, Roster(zones), self.observed, Random(guid), self.now)
        self.observed.on_delta = lambda delta: self.swim.broadcast(self.now, delta)
        self.observed.on_outbid = self._outbid
        self.sent: list[Send] = []
        self.changed: list[tuple[str, str]] = []
        self.compared: list[str] = []
        self.quarantined: list[str] = []
        self._numbers = 0

    def until(self, now: float) -> None:
        """Let the time pass, waking the core whenever it is due."""
        wakes = 0
        while self.swim.deadline <= now:
            self.now = max(self.now, self.swim.deadline)
            self.act(self.swim.wake(self.now))
            wakes += 1
            assert wakes < 10_000, "the core wants to be woken again and again and does nothing"
        self.now = now

    def stall(self, duration_s: float) -> None:
        """Stand still: the wake-up that is due comes so much too late."""
        self.now = max(self.now, self.swim.deadline) + duration_s
        self.act(self.swim.wake(self.now))

    def hear(self, datagram: Datagram) -> None:
        self.act(self.swim.receive(self.now, datagram))

    def act(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self.sent.append(effect)
                case StandingChanged(guid, status):
                    self.changed.append((guid, status))
                case Compare(partner):
                    self.compared.append(partner)
                case Quarantined(guid):
                    self.quarantined.append(guid)

    def take(self, target: str) -> list[tuple[Header, Body]]:
        """What was sent to `target`, opened, the oldest first; it is gone then."""
        mine = [send for send in self.sent if send.target == target]
        self.sent = [send for send in self.sent if send.target != target]
        envelopes = [open_envelope(send.payload) for send in mine]
        return [(envelope, open_body(envelope)) for envelope in envelopes]

    def status(self, guid: str) -> str:
        return self.swim.members.status(guid)

    def _outbid(self, boot: int) -> None:
        self.swim.reboot(self.now, boot)
        self.observed.outbid(boot)


class Stranger:
    """Writes datagrams as a member would, or should not."""

    def __init__(self, guid: str, boot: int = 1 << 16, stream: bytes = b"stranger----") -> None:
        self.guid = guid
        self.boot = boot
        self.incarnation = boot << 12
        self.stream = stream
        self.number = 0

    def says(
        self,
        message: AnyMessage | None = None,
        *updates: AnyUpdate,
        deltas: tuple[Delta, ...] = (),
        marks: tuple[Holding, ...] = (),
        sequence: int = 0,
        version: int = 1,
    ) -> Datagram:
        header = Header(version, self.guid, self.boot, self.incarnation, sequence)
        raws = [pack(one) for one in updates], [pack(one) for one in deltas], [pack(one) for one in marks]
        return self.raw(encode(header, pack(message or News()), *raws))

    def raw(self, payload: bytes) -> Datagram:
        self.number += 1
        return Datagram(payload, self.stream, self.number, self.guid)


def zones(*guids: str) -> dict[str, str]:
    return {guid: f"zone-{guid}" for guid in guids}
