"""Listeners, connections and the end of them.

hypercorn speaks HTTP; accepting is ours, because two things are missing in its own loop: the uid of a Unix peer, and a
drain that ends. It shields its sends, so a client that stops reading would hold a shutdown for as long as it likes;
here the sockets still open after the grace are cut.
"""

import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import hypercorn.config
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.events import Event, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState, LifespanState
from quart_trio import QuartTrio

from paasd.config import ApiConfig
from paasd.containment import contained
from paasd.errors import ConfigError, PaasdError


class PortTaken(ConfigError):
    """Something else listens where the API was told to; the detail names the knob."""


class Doors:
    """Where the API listens: `port` on the configured address, `unix_path` for root."""

    def __init__(self, host: str, port: int, unix_path: Path | None) -> None:
        self.host = host
        self.port = port
        self.unix_path = unix_path

    @property
    def url(self) -> str:
        """Plain HTTP on the loopback listener."""
        return f"http://{self.host}:{self.port}"


@asynccontextmanager
async def open_server(
    app: QuartTrio, config: ApiConfig, unix_path: Path | None, *, on_drain: Callable[[], None] = lambda: None
) -> AsyncIterator[Doors]:
    """Serve `app` until the block ends, then drain: no new connections, `grace_s` for running requests, then the cut.

    `on_drain` is called first: it ends the answers that have no end of their own. Work that handlers leave running
    (`app.nursery`) gets the same grace. Raises PortTaken when the TCP port is in use.
    """
    tcp = _tcp_listener(config)
    listeners = [trio.SocketListener(tcp)]
    if unix_path is not None:
        try:
            listeners.append(trio.SocketListener(_unix_listener(unix_path)))
        except BaseException:
            tcp.close()
            raise
    server = _Server(app, config)
    doors = Doors(config.host, tcp.getsockname()[1], unix_path)
    async with (
        trio.open_nursery() as connections,
        trio.open_nursery() as app.nursery,
        trio.open_nursery() as accepting,
    ):

        async def accept() -> None:
            await trio.serve_listeners(server.serve, listeners, handler_nursery=connections)

        accepting.start_soon(accept)
        try:
            yield doors
        finally:
            accepting.cancel_scope.cancel()
            for listener in listeners:
                listener.socket.close()
            if unix_path is not None:
                unix_path.unlink(missing_ok=True)  # noqa: ASYNC240
            on_drain()
            with trio.CancelScope(shield=True):
                await server.drain(connections)
                app.nursery.cancel_scope.cancel()


class _Connection(TCPServer):
    """hypercorn's connection, ended when its client is gone.

    Its own sits out the idle time-out first: a client that opens a connection per call would soon use up the limit.
    """

    _gone = False

    async def _read_data(self) -> None:
        assert isinstance(self.protocol.protocol, H11Protocol)
        self.protocol.protocol._check_protocol = _stay_with_http_1  # type: ignore[assignment, method-assign]
        await super()._read_data()
        self._gone = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        if not (self._gone and isinstance(event, Updated)):
            await super().protocol_send(event)


async def _stay_with_http_1(_request: object) -> None:
    """An upgrade is an offer. Who takes this one can have hypercorn's HTTP/2 turn in a circle without ever waiting."""


class _Server:
    """The connections of all listeners."""

    def __init__(self, app: ASGIFramework, config: ApiConfig) -> None:
        self._app = ASGIWrapper(_closing(app))
        self._limit = config.connections_limit
        self._grace_s = config.grace_s
        self._context = WorkerContext(None)
        self._streams: set[trio.SocketStream] = set()
        self._leaving: trio.Event | None = None
        http = hypercorn.config.Config()
        http.h11_max_incomplete_size = config.header_limit_bytes * 2
        http.h2_max_header_list_size = config.header_limit_bytes * 2
        http.keep_alive_timeout = config.keep_alive_s
        http.include_server_header = False
        http.accesslog = None
        http.errorlog = None
        http.alpn_protocols = ["http/1.1"]
        self._http = http

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, until either side ends it. What goes wrong in it is the end of it and of no other."""
        if len(self._streams) >= self._limit or self._leaving is not None:
            await stream.aclose()
            return
        self._streams.add(stream)
        try:
            await contained("connection of the API", partial(self._talk, stream))
        finally:
            self._streams.discard(stream)
            self._left()

    async def _talk(self, stream: trio.SocketStream) -> None:
        """hypercorn raises for what its parsers did not expect, such as a header that is not ASCII."""
        state: dict[str, Any] = {"peer_uid": _peer_uid(stream.socket)}
        await _Connection(
            self._app,
            self._http,
            self._context,
            LifespanState(ConnectionState(state)),
            stream,  # type: ignore[arg-type]  # hypercorn takes plain streams too
        ).run()

    def _left(self) -> None:
        if self._leaving is not None and not self._streams:
            self._leaving.set()

    async def drain(self, connections: trio.Nursery) -> None:
        """Idle connections end at once, running requests within the grace; what is left then is cut."""
        self._leaving = trio.Event()
        await self._context.terminated.set()
        if self._streams:
            with trio.move_on_after(self._grace_s):
                await self._leaving.wait()
        # Closing under hypercorn's shielded send wakes it with ClosedResourceError: nothing can hold the shutdown.
        for stream in list(self._streams):
            stream.socket.close()
        connections.cancel_scope.cancel()


def _closing(app: ASGIFramework) -> ASGIFramework:
    """`app`, with the connection closed after a request that says in two ways how long it is (RFC 9112, 6.1).

    What passed it on may have seen another end of it, and what then follows would be read as somebody else's request.
    """

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def ending(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        names = {name for name, _ in scope.get("headers", ())}
        await app(scope, receive, ending if {b"content-length", b"transfer-encoding"} <= names else send)

    return answer


def _tcp_listener(config: ApiConfig) -> trio.socket.SocketType:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    plain = socket.socket(family, socket.SOCK_STREAM)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(config.stall_timeout_s * 1000))
    plain.setblocking(False)
    try:
        plain.bind((config.host, config.port))
        plain.listen(512)
    except OSError as error:
        plain.close()
        raise PortTaken(
            f"cannot listen on {config.host}:{config.port} for the API: {error.strerror};"
            " stop what listens there or set another api.port (0 picks a free one)"
        ) from error
    return trio.socket.from_stdlib_socket(plain)


def _unix_listener(path: Path) -> trio.socket.SocketType:
    """A 0600 socket at `path`; one left by a killed daemon is replaced."""
    if len(os.fsencode(path)) > 107:
        raise ConfigError(f"the socket path {path} is longer than 107 bytes; choose a shorter data directory")
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    except FileNotFoundError:
        pass
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    plain.setblocking(False)
    # The mode is set on the inode before it has a name, so there is no moment in which others could connect.
    os.fchmod(plain.fileno(), 0o600)
    try:
        plain.bind(os.fspath(path))
        path.chmod(0o600)
        plain.listen(64)
    except OSError as error:
        plain.close()
        raise PaasdError(f"cannot listen on {path}: {error.strerror}") from error
    return trio.socket.from_stdlib_socket(plain)


def _peer_uid(sock: trio.socket.SocketType) -> int | None:
    """The uid at the other end of a Unix socket, as the kernel saw it at connect; None for TCP."""
    if sock.family != int(socket.AF_UNIX):
        return None
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])
