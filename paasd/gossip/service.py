"""The shell: a socket, a clock and peer calls around one core."""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Final

import msgspec
import structlog
import trio

from paasd.config.gossip import GossipConfig
from paasd.gossip.comparing import Comparing, open_comparing
from paasd.gossip.datagrams import Addresses, Datagrams, open_datagrams
from paasd.gossip.swim.core import Swim
from paasd.gossip.swim.effects import Compare, Datagram, Effect, Quarantined, Send, StandingChanged
from paasd.gossip.swim.roster import Roster
from paasd.gossip.wire.sealing import Keyring, RingKey
from paasd.observed import Delta, NodeFact, Observed
from paasd.peer import Peers

_HOUSEKEEPING_S: Final = 10.0
_OFFSET_WORTH_S: Final = 0.25
_OFFSETS: Final = 16
Bind = Callable[[str, int], AbstractAsyncContextManager[Datagrams]]
"""(address, port): the socket."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A node as its row says. `address` is an address or a name, `port` its peer port."""

    guid: str
    zone: str
    address: str
    port: int


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What the node knows of itself that gossip does not. `load` is runnable processes per core."""

    version: str = ""
    applied_index: int = 0
    load: float = 0.0
    holds: tuple[str, ...] = ()
    certificate_ends_at: int = 0
    disk_free_mb: int | None = None
    busy_ports: tuple[int, ...] = ()


class Gossip:
    """One node's gossip; made by `open_gossip`."""

    def __init__(
        self,
        config: GossipConfig,
        swim: Swim,
        ring: Keyring,
        datagrams: Datagrams,
        observed: Observed,
        comparing: Comparing,
        about: Callable[[], About],
        on_boot: Callable[[int], None],
    ) -> None:
        self.swim = swim
        self._config = config
        self._ring = ring
        self._datagrams = datagrams
        self._addresses = Addresses(datagrams.family)
        self._observed = observed
        self._comparing = comparing
        self._about = about
        self._on_boot = on_boot
        self._settled = False
        self._poke_send, self._poke_receive = trio.open_memory_channel[None](1)
        self._about_send, self._about_receive = trio.open_memory_channel[None](1)
        comparing.act = self._act
        observed.on_delta = self._broadcast
        observed.on_outbid = self._outbid
        observed.freshen = comparing.freshen_usage

    @property
    def port(self) -> int:
        """The UDP port that it listens on."""
        return self._datagrams.port

    async def set_members(self, members: Iterable[Member]) -> None:
        """The rows have changed: take these as the members, this node among them or not."""
        rows = {member.guid: member for member in members}
        zones = {guid: member.zone for guid, member in rows.items()}
        zones.setdefault(self.swim.guid, self.swim.zone)
        await self._addresses.replace(
            {guid: (one.address, one.port) for guid, one in rows.items() if guid != self.swim.guid}
        )
        self._act(self.swim.set_roster(trio.current_time(), Roster(zones)))
        self._observed.keep_owners(zones)

    def set_keys(self, keys: Iterable[RingKey]) -> None:
        """The rows of the keys have changed. Raises ValueError if none or several are sending."""
        self._ring.set_keys(trio.current_time(), keys)
        self._tell_about()

    def settled(self) -> None:
        """What runs on this node has been found again: what is not mentioned is gone."""
        self._settled = True
        self.publish_about()

    async def compare(self, partner: str) -> bool:
        """Compare everything with one node now; whether it could be reached."""
        return await self._comparing.compare(partner)

    def publish_about(self) -> None:
        """Say anew what this node thinks of itself and of the others."""
        swim, about = self.swim, self._about()
        now = trio.current_time()
        notable = {guid: round(off, 2) for guid, off in swim.clock_offset_s.items() if abs(off) >= _OFFSET_WORTH_S}
        worst = sorted(notable, key=lambda guid: -abs(notable[guid]))[:_OFFSETS]
        self._observed.put_about(
            NodeFact(
                node_guid=swim.guid,
                boot=swim.boot,
                version=about.version,
                applied_index=about.applied_index,
                unreachable=swim.members.witnessed(),
                quarantined=swim.quarantine.members(now),
                settled=self._settled,
                clock_offset_s={guid: notable[guid] for guid in worst},
                load=round(about.load, 1),
                loop_lag_s=round(swim.lag_s, 2),
                keys=self._ring.names,
                sending_key=self._ring.sending,
                holds=about.holds,
                certificate_ends_at=about.certificate_ends_at,
                disk_free_mb=about.disk_free_mb,
                busy_ports=about.busy_ports,
            )
        )

    # Tasks.

    async def hear(self) -> None:
        """Take datagrams from the socket."""
        while True:
            for data, source in await self._datagrams.receive():
                opened = self._ring.open(data)
                if opened is None:
                    self._datagrams.unopened += 1
                    continue
                via = self._addresses.guid_of(source)
                datagram = Datagram(opened.payload, opened.stream, opened.number, via)
                self._act(self.swim.receive(trio.current_time(), datagram))

    async def keep_time(self) -> None:
        """Wake the core when it is due."""
        while True:
            with trio.move_on_at(self.swim.deadline):
                await self._poke_receive.receive()
            now = trio.current_time()
            if now >= self.swim.deadline:
                self._act(self.swim.wake(now))

    async def tell_about(self) -> None:
        """Publish what this node says of itself, regularly and when told to."""
        while True:
            with trio.move_on_after(self._config.about_interval_s):
                await self._about_receive.receive()
            self.publish_about()

    async def keep_house(self, wall: Callable[[], float]) -> None:
        while True:
            now = trio.current_time()
            self.swim.wall_minus_steady_s = wall() - now
            self._ring.prune(now)
            self._observed.collect(now, self._config.tombstone_s)
            await self._addresses.refresh()
            await trio.sleep(_HOUSEKEEPING_S)

    # Effects.

    def _act(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(target, payload):
                    address = self._addresses.of(target)
                    if address is not None:
                        self._datagrams.send(self._ring.seal(target, payload), address)
                case StandingChanged(guid, standing):
                    structlog.get_logger().info("node is " + standing, node=guid)
                    self._observed.set_reachability(guid, standing)
                    self._tell_about()
                case Compare(partner):
                    self._comparing.want(partner)
                case Quarantined(guid, example):
                    structlog.get_logger().error("node sends garbage; its news is ignored", node=guid, example=example)
                    self._tell_about()
        self._poke()

    def _broadcast(self, delta: Delta) -> None:
        self.swim.broadcast(trio.current_time(), delta)
        self._poke()

    def _outbid(self, boot: int) -> None:
        structlog.get_logger().warning("others know a later start of this node; counting on from there", boot=boot)
        self._on_boot(boot)
        self.swim.reboot(trio.current_time(), boot)
        self._observed.outbid(boot)

    def _poke(self) -> None:
        _nudge(self._poke_send)

    def _tell_about(self) -> None:
        _nudge(self._about_send)


def _nudge(channel: "trio.MemorySendChannel[None]") -> None:
    try:
        channel.send_nowait(None)
    except trio.WouldBlock:
        return  # already nudged


@asynccontextmanager
async def open_gossip(
    config: GossipConfig,
    *,
    guid: str,
    zone: str,
    boot: int,
    cluster: str,
    members: Iterable[Member],
    keys: Iterable[RingKey],
    observed: Observed,
    peers: Peers,
    random: Random,
    listen: str = "0.0.0.0",
    port: int = 0,
    stream: bytes,
    about: Callable[[], About] = About,
    on_boot: Callable[[int], None] = lambda _boot: None,
    wall: Callable[[], float] = time.time,
    bind: Bind = open_datagrams,
) -> AsyncIterator[Gossip]:
    """Gossip with the members until the block ends.

    `boot` counts the starts of this node's daemon, `on_boot` is told when it must count on from somewhere higher;
    `stream` are 12 bytes that no other start of any node has; `cluster` is the cluster's id. `observed` joins. `bind`
    opens the socket.
    """
    rows = list(members)
    zones = {member.guid: member.zone for member in rows} | {guid: zone}
    observed.join(guid, boot)
    ring = Keyring(cluster, guid, keys, stream, config.key_grace_s)
    swim = Swim(config, guid, boot, Roster(zones), observed, random, trio.current_time())
    async with bind(listen, port) as datagrams, open_comparing(config, swim, observed, peers) as comparing:
        gossip = Gossip(config, swim, ring, datagrams, observed, comparing, about, on_boot)
        await gossip.set_members(rows)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gossip.keep_house, wall)
            nursery.start_soon(gossip.hear)
            nursery.start_soon(gossip.keep_time)
            nursery.start_soon(gossip.tell_about)
            gossip.publish_about()
            try:
                yield gossip
            finally:
                observed.on_delta = lambda _delta: None
                nursery.cancel_scope.cancel()
