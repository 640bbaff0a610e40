"""A request body with back-pressure, and the ASGI connection that feeds it.

Quart buffers a body without limit while the handler is slow. Here the reader pulls: a channel of size 0 lets hypercorn
read the next piece off the socket only when the last one is taken, and the total is capped whatever the headers say.
"""

import math
from collections.abc import Generator
from typing import Any, cast

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent
from quart.wrappers import Request
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers import TrioRequest

from paasd.errors import BadRequest, TooLarge

# How long an answer that came before the end of the body keeps taking (and dropping) the rest, so that the client can
# read the answer before the socket closes on what it still sends.
LINGER_S = 2.0
WHOLE_S = 30.0
"""For a body that is no upload."""
LEAST_RATE = 10_000
"""Bytes per second that must come on the average, but for the first `SLOW_S` seconds of waiting for them."""
SLOW_S = 60.0


class Body:
    """The pieces of one request body, in order; to be read once.

    Raises TooLarge above `limit_bytes`, BadRequest when no piece comes for `timeout_s`, and when the client makes us
    wait for more than `whole_s` seconds altogether or sends less than LEAST_RATE: its connection is held for days.
    """

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        self._send, self._receive = trio.open_memory_channel[bytes](0)
        self.expected_bytes = expected_content_length
        self.limit_bytes = max_content_length
        self.timeout_s = 60.0
        self.whole_s = math.inf
        self.waited_s = 0.0
        self.received_bytes = 0
        self.finished = trio.Event()
        self._whole: bytes | None = None

    async def put(self, piece: bytes) -> None:
        """Hand `piece` to the reader and wait until it is taken; dropped when nobody will read any more."""
        if piece:
            try:
                await self._send.send(piece)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """The client has sent all of it."""
        self._send.close()
        self.finished.set()

    def discard(self) -> None:
        """Nobody reads any more: let the rest pass."""
        self._receive.close()

    def __aiter__(self) -> "Body":
        return self

    async def __anext__(self) -> bytes:
        limit = self.limit_bytes
        if limit is not None and max(self.expected_bytes or 0, self.received_bytes) > limit:
            raise TooLarge(f"The request body is larger than the limit of {limit} bytes")
        began = trio.current_time()
        try:
            with trio.fail_after(self.timeout_s):
                piece = await self._receive.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        except trio.TooSlowError:
            raise BadRequest(f"No part of the request body arrived for {self.timeout_s:g} s") from None
        self.waited_s += trio.current_time() - began
        self.received_bytes += len(piece)
        if limit is not None and self.received_bytes > limit:
            raise TooLarge(f"The request body is larger than the limit of {limit} bytes")
        if self.waited_s > self.whole_s or self.received_bytes < LEAST_RATE * (self.waited_s - SLOW_S):
            raise BadRequest(
                f"The request body comes too slowly: {self.received_bytes} bytes in {self.waited_s:.0f} s;"
                f" send at least {LEAST_RATE} bytes a second, and all of it within {self.whole_s:g} s"
            )
        return piece

    async def read(self) -> bytes:
        """The whole body in memory, as often as one likes; only for routes with a small limit.

        Raises BadRequest also when it takes more than WHOLE_S: a byte a minute would hold its connection for days.
        """
        if self._whole is not None:
            return self._whole
        pieces = bytearray()
        try:
            with trio.fail_after(WHOLE_S):
                async for piece in self:
                    pieces += piece
        except trio.TooSlowError:
            raise BadRequest(f"The request body did not arrive within {WHOLE_S:g} s") from None
        self._whole = bytes(pieces)
        return self._whole

    def __await__(self) -> Generator[Any, None, bytes]:
        return self.read().__await__()


class StreamedRequest(TrioRequest):
    """A request whose body is a `Body`."""

    body_class = Body  # type: ignore[assignment]


class StreamedConnection(TrioASGIHTTPConnection):
    """Feeds the body piece by piece, and lets a client that is still sending read an early answer."""

    async def handle_messages(  # type: ignore[override]
        self, nursery: trio.Nursery, request: Request, receive: ASGIReceiveCallable
    ) -> None:
        """Take what the client sends; when it goes away, cancel the handler."""
        body = cast(Body, request.body)
        while True:
            message = await receive()
            if message["type"] == "http.request":
                await body.put(message.get("body", b""))
                if not message.get("more_body", False):
                    body.close()
            elif message["type"] == "http.disconnect":
                break
        nursery.cancel_scope.cancel()

    async def handle_request(  # type: ignore[override]
        self, nursery: trio.Nursery, request: Request, send: ASGISendCallable
    ) -> None:
        """Run the handler and send its answer; the last event waits a little for the rest of the body."""
        body = cast(Body, request.body)

        async def send_and_linger(event: ASGISendEvent) -> None:
            if event["type"] == "http.response.body" and not event.get("more_body", False):
                body.discard()
                with trio.move_on_after(LINGER_S):
                    await body.finished.wait()
                # hypercorn answers the last event with a disconnect, which would cancel this very send before it has
                # put the connection back into its idle state: no keep-alive time-out, and a drain that waits for it.
                with trio.CancelScope(shield=True):
                    await send(event)
            else:
                await send(event)

        response = await self.app.handle_request(request)
        await self._send_response(send_and_linger, response)
        nursery.cancel_scope.cancel()
