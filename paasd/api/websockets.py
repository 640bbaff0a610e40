"""WebSockets are not served: a handshake is answered like any other call that is none.

Quart would look for a route, and fail where it answers that there is none, with a traceback in the log for everybody
who asks.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from quart_trio.asgi import TrioASGIWebsocketConnection

from paasd.api.call import JSON
from paasd.api.errors import code_of, envelope
from paasd.api.request_ids import request_id_of
from paasd.errors import BadRequest

REFUSED = (
    "WebSockets are not served here: leave out the Upgrade header; what follows, such as logs, is a stream of HTTP"
)


class RefusedWebsocket(TrioASGIWebsocketConnection):
    """One handshake, as Quart would have it handled."""

    async def __call__(self, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        """Answer it."""
        started = time.monotonic()
        sent = {name.lower(): value.decode("latin-1") for name, value in self.scope["headers"]}
        request_id = request_id_of(sent.get(b"x-vcap-request-id"), sent.get(b"x-request-id"))
        error = BadRequest(REFUSED)
        code = code_of(error)
        body = envelope(code, error.detail)
        headers = [
            (b"content-type", JSON.encode()),
            (b"x-vcap-request-id", request_id.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "websocket.http.response.start", "status": code.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
        structlog.get_logger("paasd.api").info(
            "request",
            method="GET",
            path=self.scope["path"],
            route="",
            status=code.status,
            ms=round((time.monotonic() - started) * 1000, 1),
            caller="",
            request_id=request_id,
        )
