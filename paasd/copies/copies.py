"""Copies of blobs on other nodes: made before a row refers to a blob, found again by whoever needs it."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

import structlog
import trio

from paasd.blobs import Blob, BlobDamaged, Blobs, DiskFull
from paasd.config import CopiesConfig
from paasd.copies.places import COPIES, Place, apart, preferred, targets, wanted_zones
from paasd.copies.sparing import Sparing
from paasd.copies.transfer import Pace, Paced, Transfers, at_once
from paasd.copies.wire import GET, HAVE, PUT, WANT, Had, Have, Want, encode
from paasd.errors import NotFound, PaasdError, Unavailable
from paasd.packing import unpack
from paasd.peer import Peer, PeerRefused, Peers

TRIES = 4
"""Nodes that are tried for a copy before a push goes on without."""


class _Fetch:
    """A fetch that several may wait for."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.failure: Callable[[], PaasdError] | None = None


class Copies:
    """Made by `open_copies`; it is what `Blobs.elsewhere` asks. `places` gives this node and all others, as of now."""

    def __init__(self, config: CopiesConfig, blobs: Blobs, peers: Peers, places: Callable[[], Sequence[Place]]) -> None:
        self.config = config
        self.blobs = blobs
        self.peers = peers
        self._places = places
        self.short: dict[str, str] = {}
        """Blobs that could not be copied as they should be, with the reason; repair takes them up."""
        self.missing: set[str] = set()
        """Blobs of which no node that answers has a copy."""
        self.damaged: set[str] = set()
        """Blobs whose copy here was found damaged since the daemon started."""
        self.sparing = Sparing(config, blobs, peers, self.places)
        self._transfers = Transfers(blobs, peers, config.stall_timeout_s)
        self._limiter = trio.CapacityLimiter(config.transfers)
        self._repairs = trio.CapacityLimiter(config.repairs)
        self._pace = Paced(config.repair_bytes_per_s)
        self._fetches: dict[str, _Fetch] = {}
        self._log = structlog.get_logger()

    def places(self) -> list[Place]:
        """This node and all others, as of now."""
        return apart(self._places())

    def serve(self) -> None:
        """Answer other nodes."""
        self.peers.serve(HAVE, self._answer_have)
        self.peers.serve(WANT, self._answer_want)
        self.sparing.serve()
        self.peers.serve_stream(GET, self._transfers.give)
        self.peers.serve_stream(PUT, self._transfers.take)

    async def secure(self, blob: Blob) -> None:
        """Copy a blob of this node until it is in two zones, or on two nodes of the only zone.

        With too few of them, or nodes that are full, what asked for it goes on with fewer copies, and repair makes them
        later. Raises BlobDamaged.
        """
        places = self.places()
        wanted = wanted_zones(places)
        covered = {place.zone for place in places if place.guid == self.peers.guid and place.counts}
        failures: list[str] = []
        for place in targets(blob.sha256, places, covered):
            if len(covered) >= wanted or len(failures) >= TRIES:
                break
            if place.zone in covered or place.guid == self.peers.guid:
                continue
            try:
                async with self._limiter:
                    await self._transfers.send(place.guid, blob)
            except BlobDamaged:
                raise  # what is here is not what was stored: nothing may refer to it
            except PaasdError as error:
                failures.append(error.detail)
            else:
                covered.add(place.zone)
        if len(covered) >= wanted:
            self.short.pop(blob.sha256, None)
            return
        self.short[blob.sha256] = "; ".join(failures) or "no node takes copies"
        self._log.warning("too few copies of a blob", blob=blob.sha256, zones=len(covered), reasons=failures)

    async def ensure(self, sha256: str) -> None:
        """Return when the blob is on this node. Raises as `fetch`."""
        if not self.blobs.has(sha256):
            await self.fetch(sha256)

    async def fetch(self, sha256: str, *, repair: bool = False) -> None:
        """Bring the blob here from whoever has it; who asks at the same time waits for the same. A `repair` takes its
        time. Raises NotFound when every node was asked and none has it, Unavailable when some could not be asked or
        the disk is full.
        """
        while not self.blobs.has(sha256):
            running = self._fetches.get(sha256)
            if running is None:
                await self._fetch_for_all(sha256, repair)
                return
            await running.ended.wait()
            if running.failure is not None:
                raise running.failure()

    async def _fetch_for_all(self, sha256: str, repair: bool) -> None:
        running = self._fetches[sha256] = _Fetch()
        try:
            async with self._repairs if repair else self._limiter:
                running.failure = await self._find(sha256, self._pace if repair else at_once)
        finally:
            del self._fetches[sha256]
            running.ended.set()
        if running.failure is not None:
            raise running.failure()

    async def _find(self, sha256: str, pace: Pace) -> Callable[[], PaasdError] | None:
        """None when it is here; else what to raise."""
        places = [place for place in self.places() if place.guid != self.peers.guid]
        others = [place.guid for place in preferred(sha256, places)]
        failures = [f"node {place.guid} cannot be reached" for place in places if not place.reachable]
        # The first two are where it should be: mostly nobody else needs to be asked.
        for group in (others[:COPIES], others[COPIES:]):
            try:
                if await self._find_among(sha256, group, pace, failures):
                    return None
            except DiskFull as error:
                detail = error.detail
                return lambda: DiskFull(detail)
        self._log.warning("a blob was not found", blob=sha256, reasons=failures)
        if failures:
            why = f"blob {sha256} is on no node that could be asked ({'; '.join(failures)}); it is tried again later"
            return lambda: Unavailable(why)
        return lambda: NotFound("Blob", f"blob {sha256} is on no node")

    async def _find_among(self, sha256: str, guids: Collection[str], pace: Pace, failures: list[str]) -> bool:
        """Take it from the first of these nodes that has it, whole."""
        send, receive = trio.open_memory_channel[str](len(guids))
        found, full = False, None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask, sha256, guids, send, failures)
            async with receive:
                async for guid in receive:
                    try:
                        await self._transfers.get(guid, sha256, pace)
                        found = True
                    except DiskFull as error:
                        full = error
                    except (Unavailable, PeerRefused) as error:
                        failures.append(error.detail)
                        continue
                    break
            nursery.cancel_scope.cancel()
        if full is not None:
            raise full
        return found

    async def _ask(
        self,
        sha256: str,
        guids: Collection[str],
        send: "trio.MemorySendChannel[str]",
        failures: list[str],
        *,
        claim: bool = False,
    ) -> None:
        """Tell who of these has it, as they answer."""
        limiter = trio.CapacityLimiter(self.config.asked_at_once)

        async def ask(guid: str) -> None:
            async with limiter:
                try:
                    if await self.who_has(guid, [sha256], claim=claim):
                        send.send_nowait(guid)
                except (Unavailable, PeerRefused) as error:
                    failures.append(error.detail)

        async with send, trio.open_nursery() as nursery:
            for guid in guids:
                nursery.start_soon(ask, guid)

    async def exists(self, sha256: str) -> bool:
        """Whether another node has it, which then keeps it as if it had been stored now."""
        places = [place for place in self.places() if place.guid != self.peers.guid]
        others = [place.guid for place in preferred(sha256, places)]
        for group in (others[:COPIES], others[COPIES:]):
            send, receive = trio.open_memory_channel[str](len(group))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(self._ask, sha256, group, send, [], claim=True))
                async with receive:
                    found = await anext(receive, None)
                nursery.cancel_scope.cancel()
            if found is not None:
                return True
        return False

    async def who_has(self, node_guid: str, sha256s: list[str], *, claim: bool = False) -> list[str]:
        """Which of these a node has. Raises Unavailable, PeerRefused."""
        body = encode(Have(sha256s=sha256s, claim=claim))
        answer = await self.peers.call(node_guid, HAVE, body, timeout_s=self.config.answer_timeout_s)
        return unpack(answer, Had).sha256s

    async def _answer_have(self, _peer: Peer, body: bytes) -> bytes:
        asked = unpack(body, Have)
        look = self.blobs.claim if asked.claim else self.blobs.has
        found = []
        for number, sha256 in enumerate(asked.sha256s):
            if look(sha256):
                found.append(sha256)
            if number % 256 == 255:
                await trio.lowlevel.checkpoint()
        return encode(Had(sha256s=found))

    async def _answer_want(self, _peer: Peer, body: bytes) -> bytes:
        wanted = unpack(body, Want)
        if not self.blobs.claim(wanted.sha256):
            try:
                await self.fetch(wanted.sha256, repair=True)
            except (NotFound, Unavailable):
                if self.blobs.store is None:
                    raise
                await self.blobs.store.fetch(wanted.sha256)
        return b""
