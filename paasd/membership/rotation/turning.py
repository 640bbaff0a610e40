"""Takes the steps of changes, on the control node that acts for them; and begins them when somebody asks, or when an
authority comes to its end.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import structlog
import trio

from paasd import pki
from paasd.errors import PaasdError
from paasd.membership.opening import authority_row, gossip_key_row
from paasd.membership.rotation.root import RootKeeper
from paasd.membership.rotation.steps import (
    HOST_KEY_NOTICE_S,
    Ready,
    Resting,
    Step,
    authority_step,
    ends_soon,
    gossip_step,
    holdings,
    host_key_step,
    is_due,
)
from paasd.model import Authority, GossipKey, Node
from paasd.model.arguments import SYSTEM, Actor
from paasd.model.rotation import (
    HOST_KEY,
    PUBLIC,
    PURPOSES,
    AdvanceAuthority,
    AdvanceGossipKey,
    BeginAuthority,
    BeginGossipKey,
    NoteRotation,
    advance_authority,
    advance_gossip_key,
    begin_authority,
    begin_gossip_key,
    believed,
    note_rotation,
)
from paasd.observed import NodeFact
from paasd.pki import KeyPair
from paasd.state import Database
from paasd.state.sealing import Sealer, rotate_data_key

SUBJECT: Final = "keys.rotation"
LOOK_S: Final = 1.0
"""While a change is under way; otherwise it waits for rows."""

CHECK_S: Final = 3600.0
"""How often it is looked whether an authority comes to its end."""


class Rotation:
    """Made by `open_rotation`, on control nodes. `public` is the authority of the domains as this node's files have it;
    `acts` says whether it is this node's turn; `clock` in unix seconds; `host_key_notice_s` as in `steps`.
    """

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        root: RootKeeper,
        facts: Callable[[], Mapping[str, NodeFact]],
        acts: Callable[[str], bool],
        public: Callable[[], KeyPair],
        clock: Callable[[], float],
        host_key_notice_s: float = HOST_KEY_NOTICE_S,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._root = root
        self._facts = facts
        self._acts = acts
        self._public = public
        self._clock = clock
        self._host_key_notice_s = host_key_notice_s
        self._log = structlog.get_logger(__name__)

    async def change_authority(self, purpose: str, actor: Actor) -> str:
        """Begin with another authority for a purpose; its guid. Raises Unprocessable, Unavailable."""
        made = pki.make_authority(purpose, datetime.fromtimestamp(self._clock(), UTC))
        row = authority_row(self._sealer, purpose, made, "TRUSTED")
        present = authority_row(self._sealer, PUBLIC, self._public(), "SIGNING") if purpose == PUBLIC else None
        begin = BeginAuthority(authority=row, actor=actor, present=present)
        return (await self._database.write(begin_authority, begin)).guid

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

    def steps(self) -> list[Step]:
        """Of the changes that are under way."""
        now_s = self._clock()
        with self._database.read() as tx:
            members = holdings(tx.all(Node), self._facts())
            keys = tx.all(GossipKey, order=("created_at", "id"))
            host_keys = believed(tx, HOST_KEY)
        authorities = [authority_step(rows, members, now_s) for rows in self._authorities().values()]
        host_key = host_key_step(host_keys, now_s, self._host_key_notice_s)
        return [step for step in (*authorities, gossip_step(keys, members), host_key) if step is not None]

    def due(self) -> list[str]:
        """Purposes whose authority comes to its end, and for which nothing has begun."""
        now_s, authorities = self._clock(), self._authorities()
        due = [purpose for purpose, rows in authorities.items() if is_due(rows, now_s)]
        if not authorities[PUBLIC] and ends_soon(self._public().certificate, now_s):
            due.append(PUBLIC)  # that of a node that is alone, which has no row
        return due

    async def run(self) -> None:
        """For ever."""
        async with self._database.watch("authorities", "gossip_keys", "nodes") as changes:
            while True:
                await self._begin(self.due())
                steps = self.steps()
                await self._take(steps)
                with trio.move_on_after(self._pause_s(steps)):
                    await changes.wait()
                changes.take()

    def _pause_s(self, steps: Sequence[Step]) -> float:
        """Until there may be something to do that no row tells."""
        if any(not isinstance(step, Resting) for step in steps):
            return LOOK_S
        rests_s = [step.until_s - self._clock() for step in steps if isinstance(step, Resting)]
        return max(0.0, min([CHECK_S, *rests_s]))

    def _authorities(self) -> dict[str, list[Authority]]:
        with self._database.read() as tx:
            return {purpose: believed(tx, purpose) for purpose in PURPOSES}

    async def _begin(self, purposes: Sequence[str]) -> None:
        """What nobody has to ask for."""
        if not purposes or not self._acts(SUBJECT):
            return
        for purpose in purposes:
            try:
                guid = await self.change_authority(purpose, SYSTEM)
            except PaasdError as error:
                self._log.warning("the next authority waits", purpose=purpose, reason=error.detail)
            else:
                self._log.info("authority.next", purpose=purpose, authority=guid)

    async def _take(self, steps: Sequence[Step]) -> None:
        if not steps or not self._acts(SUBJECT):
            return
        for step in steps:
            if isinstance(step, Ready):
                await self._advance(step)

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
