"""Several nodes' routers in one process, on loopback, with real certificates of an authority made for the test."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import msgspec
import trio
from cryptography import x509

from paasd.config import TunnelsConfig
from paasd.pki import KeyPair, issue, make_authority, new_key, request
from paasd.router import (
    Certificates,
    Endpoint,
    Links,
    NodeDoor,
    NodeIdentity,
    RouteEntry,
    Router,
    RouteTable,
    open_router,
)
from paasd.router.tunnels import target_of

from .conftest import CONFIG, DOMAINS, Journal
from .upstream import App

PREFIX = "spiffe://paasd/cluster-1/node/"
TUNNELS = TunnelsConfig()


class Authority:
    """Signs nodes' certificates."""

    def __init__(self) -> None:
        self.pair = make_authority("nodes", datetime.now(UTC))

    def sign(self, uri: str) -> KeyPair:
        key = new_key()
        names = [x509.UniformResourceIdentifier(uri)]
        life = timedelta(hours=24)
        return KeyPair(issue(self.pair, request(key), "node", names, datetime.now(UTC), life, client=True), key)

    def identity(self, guid: str, trusted: bytes | None = None) -> NodeIdentity:
        pair = self.sign(f"{PREFIX}{guid}/control")
        return NodeIdentity(prefix=PREFIX, pair=pair, authorities=trusted or self.pair.certificate)


class Member:
    """One node's router and what it was told last."""

    def __init__(self, guid: str, router: Router, port: int, journal: Journal) -> None:
        self.guid = guid
        self.router = router
        self.port = port
        self.journal = journal
        self.links = Links()

    @property
    def door(self) -> NodeDoor:
        return NodeDoor(address="127.0.0.1", port=self.port)

    async def link(self, *others: "Member", **targets: App) -> None:
        """Tell it of other nodes and of what they may ask for (`instance__1_2` is `instance-1.2`)."""
        named = {name.replace("__", "-").replace("_", "."): ("127.0.0.1", app.port) for name, app in targets.items()}
        self.links = Links(nodes={other.guid: other.door for other in others}, targets=named)
        self.router.publish_links(self.links)
        await self.settled()

    async def serve(self, *entries: RouteEntry) -> None:
        self.router.publish(RouteTable(routes=entries, domains=DOMAINS))
        await self.settled()

    async def settled(self) -> None:
        with trio.fail_after(5):
            await self.router.settled()


def remote(app: App, member: Member, epoch: int = 1, **fields: object) -> Endpoint:
    """The instance as another node sees it. Its address leads nowhere there, as in life."""
    here = app.endpoint()
    known = {"target": target_of(app.name, epoch), "node_guid": member.guid, "address": "192.0.2.1", **fields}
    return msgspec.structs.replace(here, **known)


@asynccontextmanager
async def members(
    tmp_path: Path,
    certificates: Certificates,
    authority: Authority,
    *guids: str,
    tunnels: TunnelsConfig = TUNNELS,
) -> AsyncIterator[list[Member]]:
    """Nodes with open tunnels that know nothing of each other yet."""
    async with AsyncExitStack() as stack:
        found = []
        for guid in guids:
            journal = Journal()
            router = await stack.enter_async_context(
                open_router(CONFIG, tmp_path / guid, certificates, tunnels=tunnels, on_access=journal, outlive=False)
            )
            port = router.open_tunnels(authority.identity(guid), "127.0.0.1", 0)
            member = Member(guid, router, port, journal)
            await member.serve()
            found.append(member)
        yield found
        assert [member.router.refused for member in found] == [0] * len(found)


class Refused(Exception):
    """The connection was not accepted: no TLS for this certificate."""


class Tunnel:
    """One CONNECT of a caller's: the answer's status and headers, and what came through it up to its end."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.received = b""

    @property
    def status(self) -> str:
        return self.headers.get(":status", "")


async def call(
    port: int,
    tmp_path: Path,
    authority: str,
    pair: KeyPair | None,
    sent: bytes = b"",
    headers: Sequence[tuple[str, str]] = (("x-paasd-protocol", "h1"),),
) -> Tunnel:
    """CONNECT to `authority` as somebody with the certificate `pair`, send `sent`, read to the end. Raises Refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if pair is not None:
        path = tmp_path / "caller.pem"
        path.write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(path)
    raw = await trio.open_tcp_stream("127.0.0.1", port)
    stream = trio.SSLStream(raw, context)
    try:
        with trio.fail_after(5):
            return await _exchange(stream, authority, sent, headers)
    except trio.BrokenResourceError as error:
        raise Refused from error
    finally:
        await trio.aclose_forcefully(stream)


async def _exchange(
    stream: trio.SSLStream[trio.SocketStream], authority: str, sent: bytes, headers: Sequence[tuple[str, str]]
) -> Tunnel:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    connection.send_headers(1, [(":method", "CONNECT"), (":authority", authority), *headers])
    tunnel = Tunnel()
    while True:
        await stream.send_all(connection.data_to_send())
        data = await stream.receive_some(65536)
        if not data:
            raise Refused
        for event in connection.receive_data(bytes(data)):
            match event:
                case h2.events.ResponseReceived():
                    tunnel.headers = dict(event.headers or ())
                case h2.events.DataReceived():
                    tunnel.received += event.data or b""
                case h2.events.StreamEnded() | h2.events.StreamReset():
                    return tunnel
        if tunnel.headers and sent:
            connection.send_data(1, sent, end_stream=True)
            sent = b""
