"""A stream over a connection of its own: messages both ways until both sides have finished."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from paasd.errors import PaasdError
from paasd.peer.connection import Connection
from paasd.peer.interface import MESSAGE_LIMIT_BYTES, PeerUnreachable
from paasd.peer.wire import Data, End, Failure, Garbage, Message, error_of, failure_of

_WAITING: Final = 4
"""Messages received and not yet taken; more stay in the sockets, so that a slow reader slows its sender."""


class ConnectionStream:
    """One end; see `paasd.peer.interface.PeerStream`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._arrived, self._inbox = trio.open_memory_channel[Message | PaasdError](_WAITING)
        self._finished = False
        self._over: PaasdError | None = None
        self._ended = False

    async def send(self, message: bytes) -> None:
        if len(message) > MESSAGE_LIMIT_BYTES:
            raise ValueError(f"a message of {len(message)} bytes; the limit is {MESSAGE_LIMIT_BYTES}")
        await self._connection.send(Data(message))

    async def receive(self) -> bytes | None:
        if self._over is not None:
            raise self._over
        if self._ended:
            return None
        match await self._inbox.receive():
            case Data(body):
                return body
            case End():
                self._ended = True
                return None
            case Failure() as failure:
                self._over = error_of(failure)
                raise self._over
            case PaasdError() as error:
                self._over = error
                raise error
            case other:
                self._over = PeerUnreachable(f"a {type(other).__name__} in the middle of a stream")
                raise self._over

    async def finish(self) -> None:
        if not self._finished:
            self._finished = True
            await self._connection.send(End())

    async def fail(self, error: PaasdError) -> None:
        """Tell the other side why nothing more comes."""
        if not self._finished:
            self._finished = True
            await self._connection.send(failure_of(error))

    async def pump(self) -> None:
        """Move what arrives into the inbox, until the other side has finished or is gone."""
        while True:
            try:
                message: Message | PaasdError = await self._connection.receive()
            except PeerUnreachable as error:
                message = error
            except Garbage as error:
                message = PeerUnreachable(f"the stream is not understood: {error}")
            await self._arrived.send(message)
            if not isinstance(message, Data):
                return


@asynccontextmanager
async def streaming(connection: Connection) -> AsyncIterator[ConnectionStream]:
    """The stream of a connection on which one has been agreed. The connection is closed afterwards."""
    stream = ConnectionStream(connection)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.pump)
            nursery.start_soon(connection.show_life)
            try:
                yield stream
            finally:
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from group.exceptions[0].__cause__
    finally:
        connection.close()
