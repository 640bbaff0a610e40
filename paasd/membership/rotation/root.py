"""The root key of all control nodes: given to each of them over mTLS first, then made to count by the rows.

A control node that was away then finds data keys sealed by a root key that it does not have, and asks others for it.
"""

from typing import Final

import msgspec
import structlog
import trio

from paasd.errors import PaasdError, Unavailable
from paasd.membership.book import Book
from paasd.membership.messages import KEYS, ROOT_KEY, ControlKeys, RootKeyOffer
from paasd.model import Node
from paasd.model.nodes import LIVE_STATES
from paasd.packing import unpack
from paasd.peer import Peer, Peers
from paasd.peer.interface import Role
from paasd.state import Database, In
from paasd.state.sealing import RootKeys, SealingError, change_root_key, new_root_key, parse_root_key, root_id_of

CONTROL: Final[tuple[Role, ...]] = ("control",)
OFFER_LIMIT_S: Final = 5.0
RETRY_S: Final = 5.0


class RootKeeper:
    """This control node's part in it."""

    def __init__(self, database: Database, keys: RootKeys, peers: Peers, book: Book) -> None:
        self.keys = keys
        self._database = database
        self._peers = peers
        self._book = book
        self._log = structlog.get_logger(__name__)
        peers.serve(ROOT_KEY, self._take, roles=CONTROL)

    async def change(self) -> str:
        """Another root key counts when this returns; its id. Raises Unavailable when a live control node does not
        take it, or somebody else changes it; then the former one goes on counting.
        """
        text = new_root_key()
        new = self.keys.take(text)
        await self._offer(text)
        await change_root_key(self._database, self.keys, new)
        return new.id

    async def _offer(self, text: bytes) -> None:
        body = msgspec.msgpack.encode(RootKeyOffer(text=text))
        refused: list[str] = []

        async def offer(node: Node) -> None:
            try:
                await self._peers.call(node.guid, ROOT_KEY, body, timeout_s=OFFER_LIMIT_S)
            except PaasdError as error:
                refused.append(f"{node.name} ({error.detail})")

        async with trio.open_nursery() as nursery:
            for node in self._others():
                nursery.start_soon(offer, node)
        if refused:
            raise Unavailable(
                f"the root key was not changed, because not every control node took the new one: {'; '.join(refused)}"
            )

    def _others(self) -> list[Node]:
        """Who must have it before it counts; the dead, and those never started, ask for it when they start."""
        with self._database.read() as tx:
            live = tx.all(Node, In("state", LIVE_STATES), role="control")
        return [node for node in live if node.guid != self._peers.guid and node.address]

    async def _take(self, peer: Peer, body: bytes) -> bytes:
        await trio.to_thread.run_sync(self.keys.take, unpack(body, RootKeyOffer).text)
        return b""

    async def follow(self) -> None:
        """Keep as `root-key` the one that counts. For ever."""
        async with self._database.watch("data_keys") as changes:
            while True:
                pause_s = await self._settle()
                with trio.move_on_after(pause_s):
                    await changes.wait()
                changes.take()

    async def _settle(self) -> float:
        counts = root_id_of(self._database)
        if counts is None or counts == self.keys.id:
            return float("inf")
        if not self.keys.knows(counts):
            try:
                await find_root_key(self.keys, counts, self._peers, self._book)
            except SealingError as error:
                self._log.error("this node lacks the root key", reason=error.detail)
                return RETRY_S
        await trio.to_thread.run_sync(self.keys.settle, counts)
        self._log.info("root_key.changed", root_key=counts)
        return float("inf")


async def find_root_key(keys: RootKeys, wanted: str, peers: Peers, book: Book) -> None:
    """Ask the other control nodes for a root key that this one lacks. Raises SealingError when none of them has it."""
    failures = []
    for place in book.others(role="control"):
        try:
            answer = unpack(await peers.call(place.guid, KEYS), ControlKeys)
            if parse_root_key(answer.root_key.encode()).id == wanted:
                keys.take(answer.root_key.encode())
                return
        except PaasdError as error:
            failures.append(error.detail)
    raise SealingError(
        f"the data keys are sealed by root key {wanted}, this node has {keys.id}, and no other control node gave it "
        f"that one: {'; '.join(failures) or 'none has it'}"
    )
