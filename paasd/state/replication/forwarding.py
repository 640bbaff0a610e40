"""operation.run: one node runs the operations of all, so that they share entries and do not conflict.

The hint who that is may be wrong or differ from node to node: then appends are refused more often, nothing else. What
is sent keeps its request id, so that whoever else runs it later finds the stored result.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import structlog
import trio

from paasd.errors import BadRequest, Forbidden, OutcomeUnknown, PaasdError, TooLarge, Unavailable, Unprocessable
from paasd.packing import UNREADABLE
from paasd.peer import Peer, PeerRefused, Peers, PeerUnreachable
from paasd.state.engine import Database, Forwarded, NotTaken, Undelivered
from paasd.state.engine.replica import Call
from paasd.state.log.messages import Message, decode, encode
from paasd.state.operations import registered_operations
from paasd.state.replication.failures import Failure, describe, revive
from paasd.state.transactions import ReadTx

KIND: Final = "operation.run"
AVOID_S: Final = 5.0
"""How long a node that did not answer is not sent operations."""

MARGIN_S: Final = 0.2
"""What the other node is given less than the caller waits, so that its word arrives."""

Hint = Callable[[], str | None]
"""The node that writes for all, as this node sees it; None when it should do so itself."""

OwnRows = Callable[[ReadTx, str, int, Any], str | None]
"""(tx, name, version, arguments): the node whose own rows the operation is about; None if it is of no single node."""

Refusal = Callable[[Peer, str], Awaitable[None]]
"""Called when a worker asked for an operation that it may not run, by name."""


class RunOperation(Message, frozen=True, array_like=True, kw_only=True):
    """The operation `name` of version `number`, with packed arguments."""

    name: str
    number: int
    request_id: str
    arguments: bytes
    timeout_s: float


class Ran(Message, frozen=True, array_like=True, kw_only=True):
    """done: with a packed result; failed: it raised `failure`; as of entry `index`. Nothing was changed when it was
    busy (its log or disk did not let it), or unknown: this node has no such operation.
    """

    kind: Literal["done", "failed", "busy", "unknown"]
    index: int = 0
    result: bytes = b""
    failure: Failure | None = None


class PeerForwarder:
    """The sending side; `hint` is asked before every write."""

    def __init__(self, peers: Peers, hint: Hint, wait_s: float) -> None:
        self._peers = peers
        self._hint = hint
        self._wait_s = wait_s
        self._avoid_until: dict[str, float] = {}

    def target(self) -> str | None:
        there = self._hint()
        if there is None or there == self._peers.guid or trio.current_time() < self._avoid_until.get(there, 0.0):
            return None
        return there

    async def run(self, node_guid: str, call: Call[Any], timeout_s: float) -> Forwarded:
        wait_s = min(timeout_s, self._wait_s)
        request = RunOperation(
            name=call.operation.name,
            number=call.operation.version,
            request_id=call.request_id,
            arguments=call.operation.encode_arguments(call.arguments),
            timeout_s=max(wait_s - MARGIN_S, wait_s / 2),
        )
        try:
            body = await self._peers.call(node_guid, KIND, encode(request), timeout_s=wait_s)
        except PeerUnreachable:
            self._avoid(node_guid)
            raise Undelivered from None
        except (PeerRefused, BadRequest):  # it is of another version
            raise NotTaken from None
        try:
            answer = decode(body, Ran)
        except BadRequest:
            raise Undelivered from None
        failure = None if answer.failure is None else revive(answer.failure)
        if isinstance(failure, OutcomeUnknown):
            self._avoid(node_guid)
            raise Undelivered
        if answer.kind == "busy":
            self._avoid(node_guid)
        if answer.kind in ("busy", "unknown"):
            raise NotTaken
        return Forwarded(index=answer.index, result=answer.result, error=failure)

    def _avoid(self, node_guid: str) -> None:
        self._avoid_until[node_guid] = trio.current_time() + AVOID_S


class OperationServer:
    """The receiving side. Workers may run what is about their own rows, control nodes everything."""

    def __init__(self, database: Database, own_rows: OwnRows, on_refused: Refusal, limit_bytes: int) -> None:
        self._database = database
        self._own_rows = own_rows
        self._on_refused = on_refused
        self._limit_bytes = limit_bytes
        self._log = structlog.get_logger("paasd.state")

    async def run(self, peer: Peer, body: bytes) -> bytes:
        return encode(await self._run(peer, decode(body, RunOperation)))

    async def _run(self, peer: Peer, request: RunOperation) -> Ran:
        operation = registered_operations().get((request.name, request.number))
        if operation is None:
            return Ran(kind="unknown")
        try:
            if len(request.arguments) > self._limit_bytes:
                raise TooLarge(f"the arguments of {request.name} are larger than {self._limit_bytes} bytes")
            arguments = operation.decode_arguments(request.arguments)
            if peer.role == "worker":
                await self._check_worker(peer, request, arguments)
            result = await self._database.write_here(
                operation, arguments, request_id=request.request_id, timeout_s=request.timeout_s
            )
        except UNREADABLE as error:
            return self._failed(Unprocessable(f"the arguments of {request.name} do not fit: {error}"))
        except Unavailable:
            return Ran(kind="busy")
        except PaasdError as error:
            return self._failed(error)
        except Exception as error:  # noqa: BLE001 (a defect of the operation: whoever asked for it is told)
            self._log.error("operation failed", operation=request.name, error=repr(error), node=peer.guid)
            return self._failed(PaasdError(f"{request.name} failed: {type(error).__name__}; its node's log has more"))
        return Ran(kind="done", index=self._database.index, result=operation.encode_result(result))

    def _failed(self, error: PaasdError) -> Ran:
        return Ran(kind="failed", index=self._database.index, failure=describe(error))

    async def _check_worker(self, peer: Peer, request: RunOperation, arguments: Any) -> None:
        with self._database.read() as tx:
            owner = self._own_rows(tx, request.name, request.number, arguments)
        if owner != peer.guid:
            await self._on_refused(peer, request.name)
            raise Forbidden(f"node {peer.guid} is a worker and may not run {request.name} on rows of other nodes")


def serve_operations(
    peers: Peers, database: Database, *, own_rows: OwnRows, on_refused: Refusal, limit_bytes: int
) -> None:
    """Run operations for other nodes."""
    peers.serve(KIND, OperationServer(database, own_rows, on_refused, limit_bytes).run)
