"""The listening side: who comes in, what they may ask, and their answers."""

import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Final, TypeVar

import structlog
import trio

from paasd.config import PeerConfig
from paasd.errors import PaasdError, Unavailable
from paasd.peer.arrivals import Handshakes, Strangers
from paasd.peer.connection import Connection, TlsStream
from paasd.peer.identity import Identity
from paasd.peer.interface import EVERYBODY, Handler, NoMember, Peer, PeerRefused, PeerUnreachable, Role, StreamHandler
from paasd.peer.streams import streaming
from paasd.peer.wire import OLDEST_VERSION, VERSION, Accepted, Answer, Ask, Failure, Garbage, Hello, Welcome, failure_of

H = TypeVar("H")
StrangerHandler = Callable[[str, bytes], Awaitable[bytes]]
STRANGER_LIFE_S: Final = 30.0
"""Who has no certificate must be done by then: joining is a few short questions."""
TOO_MANY: Final = "too many attempts to join at once or from this address; wait a minute and try again"


class Kinds:
    """What this node answers, and to whom."""

    def __init__(self) -> None:
        self.calls: dict[str, tuple[Handler, Collection[Role]]] = {}
        self.streams: dict[str, tuple[StreamHandler, Collection[Role]]] = {}
        self.strangers: dict[str, StrangerHandler] = {}

    def call(self, kind: str, peer: Peer) -> Handler:
        """Raises PeerRefused."""
        handler, roles = self.calls.get(kind, (None, EVERYBODY))
        return self._allowed(handler, roles, kind, peer)

    def stream(self, kind: str, peer: Peer) -> StreamHandler:
        """Raises PeerRefused."""
        handler, roles = self.streams.get(kind, (None, EVERYBODY))
        return self._allowed(handler, roles, kind, peer)

    @staticmethod
    def _allowed(handler: H | None, roles: Collection[Role], kind: str, peer: Peer) -> H:
        if handler is None:
            raise PeerRefused(f"this node does not answer {kind!r}; is it of another release?")
        if peer.role not in roles:
            raise PeerRefused(f"a {peer.role} may not ask {kind!r}")
        return handler


class Server:
    """Serves connections of other nodes on one listener."""

    def __init__(
        self,
        config: PeerConfig,
        kinds: Kinds,
        identity: Callable[[], Identity],
        context: Callable[[], ssl.SSLContext],
        allowed: Callable[[str], bool],
        clock: Callable[[], float],
        turned_away: Callable[[str, str], None],
    ) -> None:
        self._config = config
        self._kinds = kinds
        self._identity = identity
        self._context = context
        self._allowed = allowed
        self._clock = clock
        self._turned_away = turned_away
        self._handshakes = Handshakes(config.handshakes_limit)
        self._strangers = Strangers(config)
        self._open: Counter[str] = Counter()
        self._log = structlog.get_logger(__name__)

    async def serve(self, plain: trio.SocketStream) -> None:
        """One connection, until either side ends it. Nothing that the other side does raises."""
        try:
            address = str(plain.socket.getpeername()[0])
        except OSError:
            await trio.aclose_forcefully(plain)
            return
        stream: TlsStream = trio.SSLStream(plain, self._context(), server_side=True, https_compatible=True)
        connection = Connection(stream, self._config, address)
        try:
            with self._handshakes.one_more(self._config.connect_timeout_s) as handshake:
                await stream.do_handshake()
            if handshake.cancelled_caught:
                return
            certificate = stream.getpeercert()
            peer = self._identity().peer_of(certificate)
            if peer is None:
                await self._serve_stranger(connection, address)
            else:
                ends_at = ssl.cert_time_to_seconds(certificate["notAfter"])
                connection.trust(lambda: self._clock() < ends_at and self._allowed(peer.guid))
                await self._serve_node(connection, peer)
        except (PeerUnreachable, Garbage, trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            self._log.debug("peer.connection_ended", address=address, reason=str(error))
        finally:
            connection.close()

    async def _serve_node(self, connection: Connection, peer: Peer) -> None:
        await self._greet(connection)
        if self._open.total() >= self._config.connections_limit or (
            self._open[peer.guid] >= self._config.connections_per_node
        ):
            await self._refuse(connection, Unavailable("too many connections from this node; try again"))
            return
        self._open[peer.guid] += 1
        try:
            while True:
                message = await connection.receive_late(self._config.idle_s)
                if not isinstance(message, Ask):
                    raise Garbage(f"a {type(message).__name__} instead of a question")
                if not self._allowed(peer.guid):
                    await connection.send(failure_of(NoMember("this node is not a member any more; it was removed")))
                    return
                if message.stream:
                    await self._stream(connection, peer, message)
                    return
                await self._answer(connection, message.kind, partial(self._call, peer, message))
        finally:
            self._open[peer.guid] -= 1
            if not self._open[peer.guid]:
                del self._open[peer.guid]

    async def _call(self, peer: Peer, ask: Ask) -> bytes:
        return await self._kinds.call(ask.kind, peer)(peer, ask.body)

    async def _refuse(self, connection: Connection, error: PaasdError) -> None:
        """Whatever is asked, the answer is this."""
        await connection.receive_whole(self._config.connect_timeout_s)
        await connection.send(failure_of(error))

    async def _serve_stranger(self, connection: Connection, address: str) -> None:
        with self._strangers.admitted(address) as admitted:
            if not admitted:
                self._turned_away(address, TOO_MANY)
                with self._handshakes.one_more(self._config.connect_timeout_s):
                    await self._greet(connection)
                    await self._refuse(connection, Unavailable(TOO_MANY))
                return
            with trio.move_on_after(STRANGER_LIFE_S):
                await self._greet(connection)
                while True:
                    ask = await connection.receive_whole(self._config.connect_timeout_s)
                    handler = self._kinds.strangers.get(ask.kind) if isinstance(ask, Ask) and not ask.stream else None
                    if handler is None or not isinstance(ask, Ask):
                        await connection.send(failure_of(PeerRefused("who has no certificate may only join")))
                        return
                    await self._answer(connection, ask.kind, partial(handler, address, ask.body))

    async def _greet(self, connection: Connection) -> None:
        hello = await connection.receive_whole(self._config.connect_timeout_s)
        if not isinstance(hello, Hello):
            raise Garbage("no greeting")
        cluster_id = self._identity().cluster_id
        if hello.cluster_id and hello.cluster_id != cluster_id:
            await connection.send(failure_of(PeerRefused(f"this node belongs to cluster {cluster_id}")))
            raise Garbage("another cluster")
        version = min(hello.version, VERSION)
        if version < max(hello.oldest, OLDEST_VERSION):
            detail = f"this node speaks versions {OLDEST_VERSION} to {VERSION}, not {hello.oldest} to {hello.version}"
            await connection.send(failure_of(PeerRefused(f"{detail}; upgrade the older one by one release at a time")))
            raise Garbage("no version in common")
        await connection.send(Welcome(version, self._clock()))

    async def _answer(self, connection: Connection, kind: str, ask: Callable[[], Awaitable[bytes]]) -> None:
        """Carry a call out, showing life meanwhile. It is carried out to its end even if nobody waits any more."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.show_life)
            try:
                answer: Answer | Failure = Answer(await ask())
            except PaasdError as error:
                answer = failure_of(error)
            except Exception as error:  # noqa: BLE001 (a defect must not be a way to end this node)
                answer = failure_of(self._defect(kind, error))
            nursery.cancel_scope.cancel()
        await connection.send(answer)

    async def _stream(self, connection: Connection, peer: Peer, ask: Ask) -> None:
        try:
            handler = self._kinds.stream(ask.kind, peer)
        except PeerRefused as refused:
            await connection.send(failure_of(refused))
            return
        await connection.send(Accepted())
        async with streaming(connection) as stream:
            try:
                await handler(peer, ask.body, stream)
            except PeerUnreachable:
                return
            except PaasdError as error:
                await stream.fail(error)
            except Exception as error:  # noqa: BLE001 (as above)
                await stream.fail(self._defect(ask.kind, error))
            else:
                await stream.finish()

    def _defect(self, kind: str, error: Exception) -> PaasdError:
        self._log.error("peer.answer_failed", kind=kind, exc_info=error)
        return PaasdError(f"{kind} failed on the other node ({type(error).__name__}); its log has more")
