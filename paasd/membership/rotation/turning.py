"""Takes the steps of changes, on the control node that acts for them; and begins them when somebody asks."""

import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import structlog
import trio

from paasd import pki
from paasd.errors import PaasdError
from paasd.membership.opening import authority_row, gossip_key_row
from paasd.membership.rotation.root import RootKeeper
from paasd.membership.rotation.steps import Ready, Waiting, authority_step, gossip_step, holdings
from paasd.model import Authority, GossipKey, Node
from paasd.model.arguments import Actor
from paasd.model.rotation import (
    NODES,
    AdvanceAuthority,
    AdvanceGossipKey,
    BeginAuthority,
    BeginGossipKey,
    NoteRotation,
    advance_authority,
    advance_gossip_key,
    begin_authority,
    begin_gossip_key,
    note_rotation,
)
from paasd.observed import NodeFact
from paasd.state import Database
from paasd.state.sealing import Sealer, rotate_data_key

SUBJECT: Final = "keys.rotation"
LOOK_S: Final = 1.0
"""While a change is under way; otherwise it waits for rows."""


class Rotation:
    """Made by `open_rotation`, on control nodes."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        root: RootKeeper,
        facts: Callable[[], Mapping[str, NodeFact]],
        acts: Callable[[str], bool],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._root = root
        self._facts = facts
        self._acts = acts
        self._clock = clock
        self._log = structlog.get_logger(__name__)

    async def change_authority(self, actor: Actor) -> str:
        """Begin with another authority of nodes' certificates; its guid. Raises Unprocessable, Unavailable."""
        made = pki.make_authority("nodes", datetime.fromtimestamp(self._clock(), UTC))
        row = authority_row(self._sealer, NODES, made, "TRUSTED")
        return (await self._database.write(begin_authority, BeginAuthority(authority=row, actor=actor))).guid

    async def change_gossip_key(self, actor: Actor) -> str:
        """Begin with another gossip key; its id. Raises Unprocessable, Unavailable."""
        key = gossip_key_row(self._sealer, "KNOWN")
        return (await self._database.write(begin_gossip_key, BeginGossipKey(key=key, actor=actor))).id

    async def change_data_key(self, actor: Actor) -> str:
        """Seal new secrets with another data key; its guid. Raises Unavailable."""
        guid = await rotate_data_key(self._database, self._root.keys)
        await self._database.write(note_rotation, NoteRotation(kind="data_key", name=guid, actor=actor))
        return guid

    async def change_root_key(self, actor: Actor) -> str:
        """Give all control nodes another root key and make it count; its id. Raises Unavailable, changing nothing."""
        key_id = await self._root.change()
        await self._database.write(note_rotation, NoteRotation(kind="root_key", name=key_id, actor=actor))
        return key_id

    def steps(self) -> list[Ready | Waiting]:
        """Of the changes that are under way."""
        with self._database.read() as tx:
            members = holdings(tx.all(Node), self._facts())
            authorities = tx.all(Authority, purpose=NODES, order=("created_at", "guid"))
            keys = tx.all(GossipKey, order=("created_at", "id"))
        return [step for step in (authority_step(authorities, members), gossip_step(keys, members)) if step is not None]

    async def run(self) -> None:
        """For ever."""
        async with self._database.watch("authorities", "gossip_keys", "nodes") as changes:
            while True:
                steps = self.steps()
                if steps and self._acts(SUBJECT):
                    for step in steps:
                        if isinstance(step, Ready):
                            await self._advance(step)
                with trio.move_on_after(LOOK_S if steps else math.inf):
                    await changes.wait()
                changes.take()

    async def _advance(self, step: Ready) -> None:
        try:
            if self._is_authority(step.key):
                await self._database.write(advance_authority, AdvanceAuthority(guid=step.key, before=step.before))
            else:
                await self._database.write(advance_gossip_key, AdvanceGossipKey(id=step.key, before=step.before))
        except PaasdError as error:
            self._log.warning("a change of keys waits", reason=error.detail)
        else:
            self._log.info("keys.step", key=step.key, before=step.before)

    def _is_authority(self, key: str) -> bool:
        with self._database.read() as tx:
            return tx.get(Authority, key) is not None


@asynccontextmanager
async def open_rotation(rotation: Rotation) -> AsyncIterator[Rotation]:
    """Take steps until the block ends."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rotation.run)
        nursery.start_soon(rotation._root.follow)
        try:
            yield rotation
        finally:
            nursery.cancel_scope.cancel()
