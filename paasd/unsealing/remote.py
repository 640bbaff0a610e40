"""Asks control nodes for secrets, and answers those that ask."""

from collections.abc import Callable, Collection, Sequence
from typing import Final, Literal

import msgspec
import trio

from paasd.errors import BadRequest, Forbidden, NotFound, Unavailable
from paasd.model import Build, Instance, Node, Task
from paasd.model.nodes import LIVE_STATES
from paasd.model.ownership import ranked
from paasd.packing import unpack
from paasd.peer import Peer, PeerRefused, Peers
from paasd.state import Database
from paasd.unsealing.interface import Unsealed
from paasd.unsealing.local import LocalUnsealing

ENVIRONMENT: Final = "secrets.environment"
ANSWER_TIMEOUT_S: Final = 4.0
CATCH_UP_S: Final = 2.0
"""How long a control node waits for a row that the node which asks has seen before it."""


class Ask(msgspec.Struct, kw_only=True):
    """`secrets.environment`: of the instance, build or task that the one who asks is to run under this epoch."""

    kind: Literal["instance", "build", "task"]
    guid: str
    epoch: int


class RemoteUnsealing:
    """For workers. `controls` gives the guids of the control nodes that seem reachable now."""

    def __init__(self, peers: Peers, controls: Callable[[], Sequence[str]]) -> None:
        self._peers = peers
        self._controls = controls

    async def instance(self, guid: str, epoch: int) -> Unsealed:
        return await self._ask(Ask(kind="instance", guid=guid, epoch=epoch))

    async def task(self, guid: str, epoch: int) -> Unsealed:
        return await self._ask(Ask(kind="task", guid=guid, epoch=epoch))

    async def build(self, guid: str, epoch: int) -> Unsealed:
        return await self._ask(Ask(kind="build", guid=guid, epoch=epoch))

    async def _ask(self, ask: Ask) -> Unsealed:
        body = msgspec.msgpack.encode(ask)
        refused: Forbidden | NotFound | None = None
        away: list[str] = []
        for node in ranked(ask.guid, self._controls()):
            try:
                answer = await self._peers.call(node, ENVIRONMENT, body, timeout_s=ANSWER_TIMEOUT_S)
                return unpack(answer, Unsealed)
            except (Forbidden, NotFound) as error:
                refused = error  # or it has not heard of the row yet: another one may have
            except (Unavailable, PeerRefused, BadRequest) as error:
                away.append(str(error))
        if refused is not None and not away:
            raise refused
        why = "; ".join(away) or "none is known to be up"
        raise Unavailable(f"the app's environment has to come from a control node, and none answers: {why}")


def controls_of(database: Database, unreachable: Callable[[], Collection[str]]) -> Callable[[], list[str]]:
    """Gives the control nodes that may answer now; all of them when none seems to be reachable."""

    def controls() -> list[str]:
        with database.read() as tx:
            rows = tx.all(Node, role="control", order=("guid",))
        found = [node.guid for node in rows if node.state in LIVE_STATES]
        away = unreachable()
        return [guid for guid in found if guid not in away] or found

    return controls


def serve(peers: Peers, database: Database, local: LocalUnsealing, *, catch_up_s: float = CATCH_UP_S) -> None:
    """Answer nodes about what rows give to them to run; for control nodes."""

    async def answer(peer: Peer, body: bytes) -> bytes:
        ask = unpack(body, Ask)
        await _placed(database, ask, peer, catch_up_s)
        opening = {"instance": local.instance, "build": local.build, "task": local.task}
        unsealed = await opening[ask.kind](ask.guid, ask.epoch)
        return msgspec.msgpack.encode(unsealed)

    peers.serve(ENVIRONMENT, answer)


async def _placed(database: Database, ask: Ask, peer: Peer, catch_up_s: float) -> None:
    """Return when the row is that of the node which asks. Raises Forbidden when it is not, nor will be in a moment."""
    kinds: dict[str, type[Instance] | type[Build] | type[Task]] = {"instance": Instance, "build": Build, "task": Task}
    kind = kinds[ask.kind]
    async with database.watch(f"{ask.kind}s") as changes:
        with trio.move_on_after(catch_up_s):
            while True:
                changes.take()
                with database.read() as tx:
                    row = tx.get(kind, ask.guid)
                if row is not None and row.epoch >= ask.epoch:
                    over = isinstance(row, Task) and row.ended
                    if row.epoch == ask.epoch and row.node_guid == peer.guid and not over:
                        return
                    break
                await changes.wait()
    raise Forbidden(f"{ask.kind} {ask.guid} of epoch {ask.epoch} is not given to node {peer.guid}")
