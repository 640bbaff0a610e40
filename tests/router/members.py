"""Several nodes' routers in one process, on loopback, with real certificates of an authority made for the test."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from paasd.config import TunnelsConfig
from paasd.router import (
    AccessEntry,
    Certificates,
    Endpoint,
    KeyPair,
    Links,
    NodeDoor,
    NodeIdentity,
    RouteEntry,
    Router,
    RouteTable,
    open_router,
)
from paasd.router.certificates import make_authority
from paasd.router.tunnels import target_of

from .conftest import CONFIG, DOMAINS, Journal
from .upstream import App

PREFIX = "spiffe://paasd/cluster-1/node/"
TUNNELS = TunnelsConfig()


class Authority:
    """Signs nodes' certificates."""

    def __init__(self) -> None:
        self.pair = make_authority(datetime.now(UTC))

    def sign(self, uri: str) -> KeyPair:
        issuer = x509.load_pem_x509_certificate(self.pair.certificate)
        issuer_key = serialization.load_pem_private_key(self.pair.key, None)
        assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=24))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
            .sign(issuer_key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        plain = serialization.NoEncryption()
        return KeyPair(
            certificate.public_bytes(pem), key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        )

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
                open_router(
                    CONFIG, tmp_path / guid, certificates, tunnels=tunnels, on_access=journal, outlive=False
                )
            )
            port = router.open_tunnels(authority.identity(guid), "127.0.0.1", 0)
            member = Member(guid, router, port, journal)
            await member.serve()
            found.append(member)
        yield found
        assert [member.router.refused for member in found] == [0] * len(found)


class Caller:
    """Somebody who speaks the tunnels' protocol, with a certificate or not."""

    def __init__(self, port: int, tmp_path: Path, pair: KeyPair | None) -> None:
        self._port = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._context.set_alpn_protocols(["h2"])
        if pair is not None:
            path = tmp_path / "caller.pem"
            path.write_bytes(pair.certificate + pair.key)
            self._context.load_cert_chain(path)
