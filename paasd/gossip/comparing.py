"""The shell around `sync.py`: comparisons with one node at a time, by peer call."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import structlog
import trio

from paasd.config.gossip import GossipConfig
from paasd.errors import PaasdError
from paasd.gossip.swim.core import Swim
from paasd.gossip.swim.effects import Effect
from paasd.gossip.sync import Answer, Question, Usages, answer, ask, samples_of, take_answer, take_samples
from paasd.observed import Observed
from paasd.packing import unpack
from paasd.peer import Peer, Peers

SYNC: Final = "gossip.sync"
PUSH: Final = "gossip.push"
USAGE: Final = "gossip.usage"
_TIMEOUT_S: Final = 10.0
_USAGE_TIMEOUT_S: Final = 1.0
_PARALLEL: Final = 4


class Comparing:
    """Compares with those that the core names, and answers those that ask. `act` carries out the core's effects."""

    def __init__(self, config: GossipConfig, swim: Swim, observed: Observed, peers: Peers) -> None:
        self._config = config
        self._swim = swim
        self._observed = observed
        self._peers = peers
        self._wanted: set[str] = set()
        self._send, self._receive = trio.open_memory_channel[str](1024)
        self._asked: dict[tuple[str, str], float] = {}
        self.act: Callable[[list[Effect]], None] = _ignore
        peers.serve(SYNC, self._answer)
        peers.serve(PUSH, self._take_push)
        peers.serve(USAGE, self._answer_usage)

    def want(self, partner: str) -> None:
        """Compare with it soon; once, however often it is asked for until then."""
        if partner not in self._wanted:
            try:
                self._send.send_nowait(partner)
            except trio.WouldBlock:
                return  # so many are waiting that one of them will bring the same
            self._wanted.add(partner)

    async def run(self) -> None:
        async for partner in self._receive:
            self._wanted.discard(partner)
            await self.compare(partner)

    async def compare(self, partner: str) -> bool:
        """Both hold the same afterwards; False if the partner could not be reached."""
        question = ask(self._observed, self._swim.members.all_news())
        try:
            reply = await self._peers.call(partner, SYNC, msgspec.msgpack.encode(question), timeout_s=_TIMEOUT_S)
            got = unpack(reply, Answer)
            back = take_answer(self._observed, got)
            self.act(self._swim.learn(trio.current_time(), got.news, partner))
            if back.batches:
                await self._peers.call(partner, PUSH, msgspec.msgpack.encode(back), timeout_s=_TIMEOUT_S)
        except PaasdError as error:
            structlog.get_logger().debug("no comparison", partner=partner, error=error.detail)
            return False
        return True

    async def freshen_usage(self, app_guid: str) -> None:
        """Ask the nodes of an app's instances for samples, if those known are older than the configured age."""
        now = trio.current_time()
        owners = {fact.node_guid for fact in self._observed.instances(app_guid)} - {self._swim.guid}
        due = [
            owner
            for owner in sorted(owners - self._observed.unreachable())
            if now - self._asked.get((owner, app_guid), -self._config.usage_age_s) >= self._config.usage_age_s
        ]
        for key in [key for key, at in self._asked.items() if now - at >= self._config.usage_age_s]:
            del self._asked[key]
        with trio.move_on_after(_USAGE_TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                for owner in due:
                    self._asked[owner, app_guid] = now
                    nursery.start_soon(self._ask_usage, owner, app_guid)

    async def _ask_usage(self, owner: str, app_guid: str) -> None:
        try:
            reply = await self._peers.call(owner, USAGE, app_guid.encode(), timeout_s=_USAGE_TIMEOUT_S)
            usages = unpack(reply, Usages)
        except PaasdError:
            return  # the older samples must do
        if usages.owner == owner:
            take_samples(self._observed, usages)
        if any(one.usage is None for one in self._observed.instances(app_guid) if one.node_guid == owner):
            self._asked.pop((owner, app_guid), None)  # it has just started: worth asking again soon

    async def _answer(self, peer: Peer, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        question = unpack(body, Question)
        reply = answer(self._observed, self._swim.members.all_news(), question)
        self.act(self._swim.learn(trio.current_time(), question.news, peer.guid))
        return msgspec.msgpack.encode(reply)

    async def _take_push(self, _peer: Peer, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        self._observed.absorb(unpack(body, Answer).batches)
        return b""

    async def _answer_usage(self, _peer: Peer, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return msgspec.msgpack.encode(samples_of(self._observed, body.decode(errors="replace")))


@asynccontextmanager
async def open_comparing(
    config: GossipConfig, swim: Swim, observed: Observed, peers: Peers
) -> AsyncIterator[Comparing]:
    """Compare with whom `want` names until the block ends."""
    comparing = Comparing(config, swim, observed, peers)
    async with trio.open_nursery() as nursery:
        for _ in range(_PARALLEL):
            nursery.start_soon(comparing.run)
        try:
            yield comparing
        finally:
            nursery.cancel_scope.cancel()


def _ignore(_effects: list[Effect]) -> None:
    """Until the shell says what to do with effects."""
