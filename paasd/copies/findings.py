"""What is wrong with the blobs of all nodes, in sentences for a person."""

from typing import Final

import msgspec
import trio

from paasd.blobs import Blobs
from paasd.copies.copies import Copies
from paasd.copies.s3 import S3Store
from paasd.copies.wire import encode
from paasd.errors import PaasdError
from paasd.packing import unpack
from paasd.peer import Peer, PeerUnreachable

STATE: Final = "blob.state"
_EXAMPLES: Final = 20


class State(msgspec.Struct, kw_only=True):
    """What one node knows. `short` has blobs with the reason, `missing` and `damaged` names; some of them, if many."""

    short_count: int = 0
    short: dict[str, str] = {}
    missing: list[str] = []
    damaged: list[str] = []


def state_of(copies: Copies) -> State:
    """Of this node."""
    return State(
        short_count=len(copies.short),
        short=dict(list(copies.short.items())[:_EXAMPLES]),
        missing=sorted(copies.missing)[:_EXAMPLES],
        damaged=sorted(copies.damaged)[:_EXAMPLES],
    )


def serve_state(copies: Copies) -> None:
    """Answer other nodes about this one."""

    async def answer(_peer: Peer, _body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return encode(state_of(copies))

    copies.peers.serve(STATE, answer)


async def findings(copies: Copies, silent: set[str] | None = None, timeout_s: float | None = None) -> list[str]:
    """Sentences that say what is wrong and what to do, from every node that answers; the others go into `silent`."""
    states = [state_of(copies)]
    limit_s = copies.config.answer_timeout_s if timeout_s is None else timeout_s

    async def ask(guid: str) -> None:
        try:
            body = await copies.peers.call(guid, STATE, timeout_s=limit_s)
            states.append(unpack(body, State))
        except PeerUnreachable:
            if silent is not None:
                silent.add(guid)
        except PaasdError:
            return

    async with trio.open_nursery() as nursery:
        for place in copies.places():
            if place.reachable and place.guid != copies.peers.guid:
                nursery.start_soon(ask, place.guid)
    return sentences(states)


async def blob_findings(blobs: Blobs, silent: set[str] | None = None, timeout_s: float | None = None) -> list[str]:
    """All that is wrong with the blobs of a node and where they are kept else. A node that is alone has no others.

    Guids of nodes that do not answer within `timeout_s` are put into `silent`.
    """
    found = await findings(blobs.elsewhere, silent, timeout_s) if isinstance(blobs.elsewhere, Copies) else []
    failure = blobs.store.failure if isinstance(blobs.store, S3Store) else None
    if failure is not None:
        found.append(f"{failure}; blobs are on the nodes meanwhile, and are put there when it answers again")
    return found


def sentences(states: list[State]) -> list[str]:
    """Pure."""
    found = []
    missing = {sha256 for state in states for sha256 in state.missing}
    short = {sha256: reason for state in states for sha256, reason in state.short.items() if sha256 not in missing}
    damaged = {sha256 for state in states for sha256 in state.damaged}
    if missing:
        found.append(
            f"{len(missing)} blobs are on no node that answers (such as {min(missing)[:12]}): what needs them cannot "
            "be started; bring the nodes back that had them, or push these apps again"
        )
    if short:
        number = max(len(short), sum(state.short_count for state in states) - len(missing))
        reason = next(iter(short.values()))[:200]
        found.append(
            f"{number} blobs are in fewer zones than they should be ({reason}); they are copied as soon as a node of "
            "another zone can take them: see which nodes are away, or full"
        )
    if damaged:
        found.append(
            f"{len(damaged)} blobs were found damaged on a disk (such as {min(damaged)[:12]}) and put aside; a disk "
            "that does so should be replaced"
        )
    return found
