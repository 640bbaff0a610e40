"""`open_peers`: the calling side, its pool of connections, and the listener beside it."""

import ssl
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import trio

from paasd.config import PeerConfig
from paasd.errors import PaasdError
from paasd.peer.connection import Connection, TlsStream
from paasd.peer.identity import Identity
from paasd.peer.interface import (
    EVERYBODY,
    Handler,
    NoMember,
    Peer,
    PeerRefused,
    Peers,
    PeerStream,
    PeerUnreachable,
    Role,
    StreamHandler,
)
from paasd.peer.serving import Kinds, Server, StrangerHandler
from paasd.peer.streams import streaming
from paasd.peer.wire import (
    OLDEST_VERSION,
    VERSION,
    Accepted,
    Answer,
    Ask,
    Failure,
    Garbage,
    Hello,
    Message,
    Welcome,
    error_of,
)

Address = tuple[str, int]
_POOLED = 8  # idle connections kept for each node


class TlsPeers(Peers):
    """This node's connections to others, over TLS; made by `open_peers`."""

    def __init__(
        self,
        config: PeerConfig,
        guid: str,
        addresses: Callable[[str], Address | None],
        allowed: Callable[[str], bool],
        clock: Callable[[], float],
        nursery: trio.Nursery,
        source: str | None = None,
    ) -> None:
        self.guid = guid
        self._source = source
        self._config = config
        self._addresses = addresses
        self._allowed = allowed
        self._clock = clock
        self._nursery = nursery
        self._identity: Identity | None = None
        self._kinds = Kinds()
        self._contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None = None
        self._idle: dict[str, list[Connection]] = {}
        self._offsets: dict[str, float] = {}
        self.on_removed: Callable[[str], None] = lambda _guid: None
        """Told the control node that says that this node was removed."""
        self.on_turned_away: Callable[[str, str], None] = lambda _address, _reason: None
        """Told the address of a stranger who came too often, and what it was told."""

    @property
    def identity(self) -> Identity:
        """Who this node is. Only once `identify` was called."""
        assert self._identity is not None, "a node that is alone has no identity for others"
        return self._identity

    def identify(self, identity: Identity) -> None:
        """Take a certificate, the first one or the next; open connections go on with the former until recycled."""
        self._identity = identity
        self._contexts = identity.server_context(), identity.client_context()

    def serve(self, kind: str, handler: Handler, *, roles: Collection[Role] = EVERYBODY) -> None:
        self._kinds.calls[kind] = handler, roles

    def serve_stream(self, kind: str, handler: StreamHandler, *, roles: Collection[Role] = EVERYBODY) -> None:
        self._kinds.streams[kind] = handler, roles

    def serve_strangers(self, kind: str, handler: StrangerHandler) -> None:
        """Answer calls of this kind from whoever has no certificate; the handler gets their address."""
        self._kinds.strangers[kind] = handler

    def clock_offsets(self) -> dict[str, float]:
        """Seconds that other nodes' clocks are ahead of ours, as of the last connection to each."""
        return dict(self._offsets)

    async def listen(self, host: str, port: int) -> int:
        """Let others in from now on; the port (0 picks one). Raises PaasdError when it is taken."""
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            raise PaasdError(
                f"cannot listen on {host}:{port} for other nodes: {error.strerror}; free it (`ss -ltnp` shows who has "
                "it) or set another [cluster] peer_port"
            ) from error
        server = Server(
            self._config,
            self._kinds,
            lambda: self.identity,
            lambda: self._contexts_now[0],
            self._allowed,
            self._clock,
            lambda address, reason: self.on_turned_away(address, reason),
        )
        self._nursery.start_soon(trio.serve_listeners, server.serve, listeners)
        return int(listeners[0].socket.getsockname()[1])

    async def call(self, node_guid: str, kind: str, body: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
        if node_guid == self.guid:
            us = self._ourselves
            return await self._kinds.call(kind, us)(us, body)
        with trio.move_on_after(timeout_s):
            connection = await self._connection(node_guid)
            try:
                await connection.send(Ask(kind, body))
                answer = await self._received(connection)
            except BaseException:
                connection.close()
                raise
            self._keep(node_guid, connection)
            match answer:
                case Answer(content):
                    return content
                case Failure() as failure:
                    raise self._failed(connection, failure)
                case other:
                    raise PeerUnreachable(f"node {node_guid} answered with a {type(other).__name__}")
        raise PeerUnreachable(f"node {node_guid} did not answer {kind} within {timeout_s} s")

    @asynccontextmanager
    async def stream(self, node_guid: str, kind: str, body: bytes = b"") -> AsyncIterator[PeerStream]:
        connection = await self._connect(node_guid)
        try:
            await connection.send(Ask(kind, body, stream=True))
            answer = await connection.receive_late(self._config.silence_s)
            if isinstance(answer, Failure):
                raise self._failed(connection, answer)
            if not isinstance(answer, Accepted):
                raise PeerUnreachable(f"node {node_guid} answered with a {type(answer).__name__}")
        except Garbage as error:
            connection.close()
            raise PeerUnreachable(f"node {node_guid} is not understood: {error}") from error
        except BaseException:
            connection.close()
            raise
        async with streaming(connection) as opened:
            yield opened

    @property
    def _ourselves(self) -> Peer:
        role: Role = "control" if self._identity is None else self._identity.role
        return Peer(guid=self.guid, role=role)

    @property
    def _contexts_now(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        assert self._contexts is not None, "identify() comes before connections"
        return self._contexts

    def _failed(self, connection: Connection, failure: Failure) -> PaasdError:
        """What to raise. Only control nodes are believed that this node is no member: they have the keys anyway."""
        error = error_of(failure)
        if isinstance(error, NoMember):
            said_by = self.identity.peer_of(connection.stream.getpeercert())
            if said_by is not None and said_by.role == "control":
                self.on_removed(said_by.guid)
        return error

    async def _received(self, connection: Connection) -> Message:
        try:
            return await connection.receive()
        except Garbage as error:
            raise PeerUnreachable(f"an answer that is not understood: {error}") from error

    async def _connection(self, node_guid: str) -> Connection:
        pooled = self._idle.get(node_guid, [])
        while pooled:
            connection = pooled.pop()
            if not connection.stale:
                return connection
            connection.close()
        return await self._connect(node_guid)

    def _keep(self, node_guid: str, connection: Connection) -> None:
        pooled = self._idle.setdefault(node_guid, [])
        connection.used_at = trio.current_time()
        if connection.broken or len(pooled) >= _POOLED:
            connection.close()
        else:
            pooled.append(connection)

    async def _connect(self, node_guid: str) -> Connection:
        address = self._addresses(node_guid)
        if address is None or not self._allowed(node_guid) or self._contexts is None:
            raise PeerUnreachable(f"node {node_guid} is no member, or has no address")
        connection: Connection | None = None
        try:
            with trio.fail_after(self._config.connect_timeout_s):
                connection = await open_connection(
                    address, self._contexts_now[1], self._config, f"node {node_guid}", source=self._source
                )
                certificate = connection.stream.getpeercert()
                found = self.identity.peer_of(certificate)
                if certificate is None or found is None or found.guid != node_guid:
                    raise PeerUnreachable(f"at {address[0]}:{address[1]} is not node {node_guid} but {found}")
                ends_at = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
                connection.trust(lambda: self._clock() < ends_at and self._allowed(node_guid))
                self._offsets[node_guid] = await greet(connection, self.identity.cluster_id, self._clock)
                return connection
        except trio.TooSlowError as error:
            failure = f"node {node_guid} at {address[0]}:{address[1]} did not answer in time"
            _close(connection)
            raise PeerUnreachable(failure) from error
        except BaseException:
            _close(connection)
            raise

    def close_idle(self) -> None:
        for pooled in self._idle.values():
            while pooled:
                pooled.pop().close()


def _close(connection: Connection | None) -> None:
    if connection is not None:
        connection.close()


async def open_connection(
    address: Address, context: ssl.SSLContext, config: PeerConfig, who: str, *, source: str | None = None
) -> Connection:
    """Connect, from the address `source` if that is given, and shake hands. Raises PeerUnreachable."""
    host, port = address
    try:
        plain = await trio.open_tcp_stream(host, port, local_address=source)
    except OSError as error:
        raise PeerUnreachable(f"{who} cannot be reached at {host}:{port}: {error.strerror or error}") from error
    stream: TlsStream = trio.SSLStream(plain, context, https_compatible=True)
    try:
        await stream.do_handshake()
    except (trio.BrokenResourceError, OSError) as error:
        plain.socket.close()
        raise PeerUnreachable(f"{who} at {host}:{port} has no acceptable certificate: {error.__cause__}") from error
    except BaseException:
        plain.socket.close()
        raise
    return Connection(stream, config, who)


async def greet(connection: Connection, cluster_id: str, clock: Callable[[], float]) -> float:
    """Agree on a version; how many seconds the other clock is ahead. Raises PeerUnreachable, PeerRefused."""
    sent_at = clock()
    await connection.send(Hello(VERSION, OLDEST_VERSION, cluster_id, sent_at))
    try:
        welcome = await connection.receive_late(connection.patience_s)
    except Garbage as error:
        raise PeerUnreachable(f"the other side does not speak paasd: {error}") from error
    if isinstance(welcome, Failure):
        raise error_of(welcome)
    if not isinstance(welcome, Welcome):
        raise PeerRefused(f"a {type(welcome).__name__} instead of a welcome")
    return welcome.at - (sent_at + clock()) / 2


@asynccontextmanager
async def open_peers(
    config: PeerConfig,
    guid: str,
    addresses: Callable[[str], Address | None],
    *,
    clock: Callable[[], float],
    allowed: Callable[[str], bool] = lambda _guid: True,
    source: str | None = None,
) -> AsyncIterator[TlsPeers]:
    """Connections to other nodes until the block ends. `addresses` finds a node, `allowed` says who is a member.

    Handlers may be registered at once; `identify` and then `listen` come when the node is part of a cluster. `clock`
    gives unix seconds. `source` is the address from which connections are made, where the kernel is not to choose it.
    """
    async with trio.open_nursery() as nursery:
        peers = TlsPeers(config, guid, addresses, allowed, clock, nursery, source)
        try:
            yield peers
        finally:
            nursery.cancel_scope.cancel()
            peers.close_idle()
