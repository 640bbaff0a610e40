"""`open_membership`: this node as a member: its identity and listener, its certificate kept fresh, who the others are.

A node that is alone has none of it until the first join token is made there; then everything opens while it runs.
"""

import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import paasd
from paasd import pki
from paasd.config import ClusterConfig, PeerConfig
from paasd.errors import OutcomeUnknown, PaasdError, Unavailable
from paasd.membership.authority import LIFE
from paasd.membership.book import Book
from paasd.membership.door import Door, Refused, gossip_context
from paasd.membership.files import MemberFile, MemberFiles, Place, Ports
from paasd.membership.messages import (
    CERTIFY,
    DOMAIN,
    GOSSIP_KEYS,
    NONCE,
    RENEW,
    Certified,
    CertifyRequest,
    DomainRequest,
    RenewRequest,
    RingKey,
)
from paasd.membership.tokens import new_token, secret_hash
from paasd.model import Authority, GossipKey, Node
from paasd.model.arguments import Actor
from paasd.model.membership import (
    CLUSTER_ID,
    Advertise,
    CreateToken,
    OpenCluster,
    advertise_node,
    authority_context,
    create_token,
    members,
    open_cluster,
)
from paasd.model.settings import read_setting
from paasd.peer import Peer, PeerUnreachable, TlsPeers
from paasd.peer.identity import stranger_context
from paasd.peer.interface import Role
from paasd.peer.peers import greet, open_connection
from paasd.peer.wire import Answer, Ask, Failure, error_of
from paasd.pki import KeyPair
from paasd.state import Database
from paasd.state.sealing import Sealer

RETRY_S: Final = 30.0
LATER_S: Final = 1.0
ENDPOINTS: Final = 3
"""Control nodes that a token names."""


class Membership:
    """Made by `open_membership`. `opened` is set once this node is part of a cluster."""

    def __init__(
        self,
        config: ClusterConfig,
        peer_config: PeerConfig,
        directory: Path,
        database: Database,
        peers: TlsPeers,
        book: Book,
        *,
        sealer: Sealer | None,
        domains: Collection[str],
        schema_limit: int,
        clock: Callable[[], float],
        refused: Refused,
    ) -> None:
        self.files = MemberFiles(directory)
        self.book = book
        self.on_renewed: Callable[[], None] = lambda: None
        self._later: list[Callable[[], Awaitable[None]]] = []
        self.opened = trio.Event()
        self.door: Door | None = None
        self._config = config
        self._peer_config = peer_config
        self._database = database
        self._sealer = sealer
        self.public: Callable[[], KeyPair] = _nothing_public
        self._peers = peers
        self._schema_limit = schema_limit
        self._clock = clock
        self._log = structlog.get_logger(__name__)
        if sealer is not None:
            self.door = Door(database, sealer, directory / "root-key", peers, clock, refused, domains)

    @property
    def role(self) -> Role:
        """Of this node; one that is alone is control."""
        return self.files.read().role if self.files.exists else "control"

    @property
    def member(self) -> MemberFile:
        """What this node knows about itself. Only once opened."""
        return self.files.read()

    async def open_cluster(self) -> None:
        """Make this node, which is alone, the first of a cluster. Nothing happens when it is a member already."""
        if self.files.exists:
            return
        assert self._sealer is not None and self.door is not None
        now = datetime.fromtimestamp(self._clock(), UTC)
        cluster_id = await self._database.write(open_cluster, self._first_secrets(now))
        ports = choose_ports(self._config)
        address = self._config.address or _default_address()
        key = pki.new_key()
        peer = Peer(guid=self._peers.guid, role="control")
        certificate = self.door.authority.issue(pki.request(key), cluster_id, peer, now)
        with self._database.read() as tx:
            zone = tx.need(Node, self._peers.guid).zone
        self.files.write_key(key)
        self.files.write_certificate(
            certificate, self.door.authority.signing().certificate, self.door.authority.trusted()
        )
        self.files.write(
            MemberFile(guid=peer.guid, cluster_id=cluster_id, role="control", zone=zone, address=address, ports=ports)
        )
        await self.start()

    def _first_secrets(self, now: datetime) -> OpenCluster:
        assert self._sealer is not None
        authority = pki.make_authority("nodes", now)
        public = self.public()
        key_id = uuid.uuid4().hex[:8]
        rows = []
        for purpose, pair in (("nodes", authority), ("public", public)):
            guid = str(uuid.uuid4())
            sealed = self._sealer.seal(pair.key, authority_context(guid))
            rows.append(
                Authority(
                    guid=guid,
                    purpose=purpose,
                    certificate=pair.certificate.decode(),
                    sealed_key=sealed,
                    state="SIGNING",
                )
            )
        gossip = self._sealer.seal(uuid.uuid4().bytes + uuid.uuid4().bytes, gossip_context(key_id))
        return OpenCluster(
            cluster_id=str(uuid.uuid4()),
            node_guid=self._peers.guid,
            authority=rows[0],
            public=rows[1],
            gossip_key=GossipKey(id=key_id, sealed=gossip, state="SENDING"),
        )

    async def start(self) -> None:
        """Let others in. Raises PaasdError when the port is taken."""
        member = self.files.read()
        self._peers.identify(self.files.identity())
        await self._peers.listen(self._config.listen, member.ports.peer)
        self.opened.set()
        self._log.info("cluster.member", cluster=member.cluster_id, role=member.role, address=member.address)

    async def advertise(self) -> None:
        """Write into this node's row where it is."""
        member = self.files.read()
        row = Advertise(
            guid=member.guid,
            address=member.address,
            peer_port=member.ports.peer,
            tunnel_port=member.ports.tunnel,
            etcd_client_port=member.ports.etcd_client,
            etcd_peer_port=member.ports.etcd_peer,
            version=paasd.__version__,
            schema_limit=self._schema_limit,
        )
        await self._database.write(advertise_node, row)

    async def make_token(self, role: Role, zone: str | None, ttl_s: int, uses: int, actor: Actor) -> tuple[str, int]:
        """(the token, unix seconds of its end), after opening the cluster if this is the first."""
        await self.open_cluster()
        await self.advertise()
        assert self.door is not None
        pin = pki.spki_sha256(self.door.authority.signing().certificate)
        with self._database.read() as tx:
            control = [node for node in members(tx) if node.role == "control" and node.address]
        control.sort(key=lambda node: node.guid != self._peers.guid)
        endpoints = tuple((node.address, node.peer_port) for node in control[:ENDPOINTS])
        token = new_token(role, pin, endpoints)
        expires_at = int(self._clock()) + ttl_s
        await self._database.write(
            create_token,
            CreateToken(
                id=token.id,
                secret_hash=secret_hash(token.secret),
                role=role,
                zone=zone,
                uses=uses,
                expires_at=expires_at,
                actor=actor,
            ),
        )
        return token.text(), expires_at

    async def gossip_keys(self) -> list[RingKey]:
        """The ring, from this node's own rows or from a control node. Raises PeerUnreachable."""
        if self.door is not None:
            return self.door.ring()
        for place in self.book.others(role="control"):
            try:
                answer = await self._peers.call(place.guid, GOSSIP_KEYS)
                return msgspec.msgpack.decode(answer, type=list[RingKey])
            except PeerUnreachable:
                continue
        raise PeerUnreachable("no control node can be reached for the gossip keys")

    async def domain_certificate(self, domain: str) -> KeyPair:
        """For a worker: a certificate for a domain of the platform. Raises Unavailable, Unprocessable."""
        key = pki.new_key()
        body = msgspec.msgpack.encode(DomainRequest(domain=domain, signing_request=pki.request(key)))
        failures = []
        for place in self.book.others(role="control"):
            try:
                return KeyPair(await self._peers.call(place.guid, DOMAIN, body), key)
            except PeerUnreachable as error:
                failures.append(error.detail)
        raise Unavailable(f"no control node certifies {domain}: " + "; ".join(failures))

    def certificate_left_s(self) -> float | None:
        """How long this node's certificate is still good for; None while it is alone."""
        if not self.opened.is_set():
            return None
        end = x509.load_pem_x509_certificate(self.files.certificate()).not_valid_after_utc
        return end.timestamp() - self._clock()

    def later(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do this as soon as writes are possible again."""
        self._later.append(act)

    async def catch_up(self) -> None:
        """Do what had to be put off. For ever."""
        while True:
            await trio.sleep(LATER_S)
            while self._later:
                try:
                    await self._later[0]()
                except (Unavailable, OutcomeUnknown):
                    break
                self._later.pop(0)

    async def keep(self) -> None:
        """Renew the certificate at half of its life, and remember where the others are. For ever, once opened."""
        await self.opened.wait()
        async with self._database.watch("nodes", "authorities") as changes:
            while True:
                self._remember_places()
                pause_s = self._until_renewal_s()
                if pause_s <= 0:
                    try:
                        await self.renew()
                    except PaasdError as error:
                        self._log.warning("certificate not renewed yet", reason=error.detail)
                        pause_s = RETRY_S
                with trio.move_on_after(max(pause_s, 1.0)):
                    await changes.wait()
                changes.take()

    def _until_renewal_s(self) -> float:
        certificate = x509.load_pem_x509_certificate(self.files.certificate())
        trusted = set(self.door.authority.trusted() if self.door else [])
        shown = (self.files.folder / "ca.pem").read_bytes()
        if any(authority not in shown for authority in trusted):
            return 0.0
        return certificate.not_valid_after_utc.timestamp() - LIFE.total_seconds() / 2 - self._clock()

    def _remember_places(self) -> None:
        member = self.files.read()
        found = self.book.others()
        if found != member.places:
            self.files.write(msgspec.structs.replace(member, places=found))

    async def renew(self) -> None:
        """A fresh certificate for a fresh key. Raises PaasdError."""
        key = pki.new_key()
        certified = await self._certify(pki.request(key))
        self.files.write_key(key)
        self.files.write_certificate(certified.certificate, certified.issuer, certified.trusted)
        self._peers.identify(self.files.identity())
        self.on_renewed()
        self._log.info("certificate renewed")

    async def _certify(self, signing_request: bytes) -> Certified:
        now = datetime.fromtimestamp(self._clock(), UTC)
        member = self.files.read()
        if self.door is not None:
            peer = Peer(guid=member.guid, role=member.role)
            authority = self.door.authority
            certificate = authority.issue(signing_request, member.cluster_id, peer, now)
            return Certified(
                certificate=certificate, issuer=authority.signing().certificate, trusted=authority.trusted()
            )
        expired = x509.load_pem_x509_certificate(self.files.certificate()).not_valid_after_utc <= now
        failures = []
        for place in self.book.others(role="control"):
            try:
                if expired:
                    return await self._renew_expired(place, signing_request)
                body = msgspec.msgpack.encode(CertifyRequest(signing_request=signing_request))
                return msgspec.msgpack.decode(await self._peers.call(place.guid, CERTIFY, body), type=Certified)
            except PeerUnreachable as error:
                failures.append(error.detail)
        raise Unavailable("no control node certifies this node: " + "; ".join(failures))

    async def _renew_expired(self, place: Place, signing_request: bytes) -> Certified:
        """TLS takes no expired certificate, so its key signs a nonce of the other node instead."""
        address = place.address, place.peer_port
        connection = await open_connection(address, stranger_context(), self._peer_config, place.guid)
        try:
            await greet(connection, self.files.read().cluster_id, self._clock)
            self._check_issuer(connection.stream.getpeercert(binary_form=True))
            await connection.send(Ask(NONCE, b""))
            nonce = _body(await connection.receive())
            key = serialization.load_pem_private_key(self.files.key(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            request = RenewRequest(
                certificate=self.files.certificate(),
                nonce=nonce,
                signature=key.sign(nonce, ec.ECDSA(hashes.SHA256())),
                signing_request=signing_request,
            )
            await connection.send(Ask(RENEW, msgspec.msgpack.encode(request)))
            return msgspec.msgpack.decode(_body(await connection.receive()), type=Certified)
        finally:
            await connection.close()

    def _check_issuer(self, shown: bytes | None) -> None:
        trusted = x509.load_pem_x509_certificates((self.files.folder / "ca.pem").read_bytes())
        if shown is None or not any(pki.issued_by(x509.load_der_x509_certificate(shown), one) for one in trusted):
            raise PeerUnreachable("who answers there is not of this cluster")


def _nothing_public() -> KeyPair:
    raise Unavailable("the domains' authority is not open yet")


def _body(answer: object) -> bytes:
    if isinstance(answer, Failure):
        raise error_of(answer)
    if not isinstance(answer, Answer):
        raise PeerUnreachable(f"a {type(answer).__name__} instead of an answer")
    return answer.body


def choose_ports(config: ClusterConfig) -> Ports:
    """The configured ports; where the configuration leaves the choice open, one that is free now."""
    return Ports(
        peer=config.peer_port or _free_port(config.listen),
        tunnel=config.tunnel_port or _free_port(config.listen),
        etcd_client=config.etcd_client_port or _free_port(config.listen),
        etcd_peer=config.etcd_peer_port or _free_port(config.listen),
    )


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _default_address() -> str:
    """The address of the default route; asking the kernel sends nothing. Raises PaasdError without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError as error:
            raise PaasdError(
                "this machine has no default route; set [cluster] address to what other nodes reach"
            ) from error
        return str(probe.getsockname()[0])


@asynccontextmanager
async def open_membership(membership: Membership) -> AsyncIterator[Membership]:
    """Keep the certificate and the list of others fresh until the block ends."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(membership.keep)
        nursery.start_soon(membership.catch_up)
        try:
            yield membership
        finally:
            nursery.cancel_scope.cancel()


def cluster_id_of(database: Database) -> str:
    """Empty while the node is alone and never made a token."""
    with database.read() as tx:
        return read_setting(tx, CLUSTER_ID)
