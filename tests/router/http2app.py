"""An app that speaks HTTP/2 without TLS and nothing else, for routes whose destinations do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import h2.config
import h2.connection
import h2.events
import trio

from .upstream import App


class Http2App(App):
    """Answers every request with its name."""

    async def serve(self, stream: trio.SocketStream) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        try:
            while True:
                await stream.send_all(connection.data_to_send())
                data = await stream.receive_some(65536)
                if not data:
                    return
                for event in connection.receive_data(bytes(data)):
                    if isinstance(event, h2.events.RequestReceived):
                        self.requests += 1
                        connection.send_headers(event.stream_id, [(":status", "200")])
                        connection.send_data(event.stream_id, self.name.encode(), end_stream=True)
        except trio.BrokenResourceError:
            return


@asynccontextmanager
async def http2_app(name: str) -> AsyncIterator[Http2App]:
    """One on a free loopback port."""
    app = Http2App(name, 0)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, app.serve, 0, host="127.0.0.1")
        listeners = await nursery.start(serve)
        app.port = listeners[0].socket.getsockname()[1]
        yield app
        nursery.cancel_scope.cancel()
