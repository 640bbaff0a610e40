"""`open_membership`: this node as a member: its identity and listener, its certificate kept fresh, who the others are.

A node that is alone has none of it until the first join token is made there; then everything opens while it runs.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog
import trio

import paasd
from paasd import pki
from paasd.config import ClusterConfig, PeerConfig
from paasd.containment import contained
from paasd.errors import BadRequest, OutcomeUnknown, PaasdError, Unavailable, Unprocessable
from paasd.membership.book import Book
from paasd.membership.doors import Refused, Vault, serve_joins, serve_members
from paasd.membership.files import MemberFile, MemberFiles
from paasd.membership.messages import DOMAIN, GOSSIP_KEYS, DomainRequest, RingKey
from paasd.membership.opening import choose_ports, default_address, first_secrets
from paasd.membership.removal import ask_whether_member, note_removal
from paasd.membership.renewal import Renewal
from paasd.membership.rotation import Rotation
from paasd.membership.tokens import new_token, secret_hash
from paasd.model import GossipKey, Node
from paasd.model.arguments import Actor
from paasd.model.membership import (
    Advertise,
    CreateToken,
    advertise_node,
    create_token,
    members,
    open_cluster,
)
from paasd.packing import unpack
from paasd.peer import NoMember, Peer, PeerUnreachable, TlsPeers
from paasd.peer.interface import Role
from paasd.pki import KeyPair
from paasd.state import Database
from paasd.state.sealing import RootKeys, Sealer

RETRY_S: Final = 30.0
CHECK_S: Final = 60.0
"""A machine that was suspended, or whose clock was set, notices after so long that its certificate is due."""
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
        root_keys: RootKeys | None,
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
        self.removed = trio.Event()
        self.vault: Vault | None = None
        self.rotation: Rotation | None = None
        """Changes of keys; on control nodes."""
        self._holds: tuple[str, ...] = ()
        self._directory = directory
        self._config = config
        self._database = database
        self._sealer = sealer
        self.public: Callable[[], KeyPair] = _nothing_public
        self._peers = peers
        self._schema_limit = schema_limit
        self._clock = clock
        self._log = structlog.get_logger(__name__)
        if sealer is not None and root_keys is not None:
            self.vault = Vault(database, sealer, root_keys, clock)
            serve_joins(peers, self.vault, clock, refused)
            serve_members(peers, self.vault, frozenset(domains))
        self._renewal = Renewal(peer_config, self.files, book, database, peers, self.vault, clock)
        peers.on_removed = lambda guid: self._is_removed(f"node {guid}")

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
        assert self._sealer is not None and self.vault is not None
        secrets = first_secrets(self._sealer, self._peers.guid, self.public(), self.vault.now)
        cluster_id = await self._database.write(open_cluster, secrets)
        ports, address = choose_ports(self._config), self._config.address or default_address()
        key = pki.new_key()
        certified = self.vault.certify(Peer(guid=self._peers.guid, role="control"), pki.request(key))
        with self._database.read() as tx:
            zone = tx.need(Node, self._peers.guid).zone
        self.files.write_pair(key, certified.certificate, certified.issuer, certified.trusted)
        self.files.write(
            MemberFile(
                guid=self._peers.guid, cluster_id=cluster_id, role="control", zone=zone, address=address, ports=ports
            )
        )
        await self.start()

    async def start(self) -> None:
        """Let others in. Raises PaasdError when the port is taken."""
        member = self.files.read()
        self._peers.identify(self.files.identity())
        await self._peers.listen(self._config.listen, member.ports.peer)
        self._holds = self._renewal.holds()
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
        """(the token, unix seconds of its end), after opening the cluster if this is the first.

        Raises Unavailable on a worker.
        """
        if self.vault is None:
            raise Unavailable(f"this node is a worker and makes no tokens; {self._control_nodes()} can")
        await self.open_cluster()
        await self.advertise()
        pin = pki.spki_sha256(self.vault.authority.signing().certificate)
        with self._database.read() as tx:
            control = [node for node in members(tx) if node.role == "control" and node.address]
        control.sort(key=lambda node: node.guid != self._peers.guid)
        endpoints = tuple((node.address, node.peer_port) for node in control[:ENDPOINTS])
        token = new_token(role, pin, endpoints)
        expires_at = int(self._clock()) + ttl_s
        made = await self._database.write(
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
        if made.id != token.id:
            raise Unprocessable(
                f"this request was carried out before: the token {made.id} was made, and its secret is not kept; "
                f"`paasd token delete {made.id}`, and make another"
            )
        return token.text(), expires_at

    async def gossip_keys(self) -> list[RingKey]:
        """The ring, from this node's own rows or from a control node. Raises PeerUnreachable."""
        if self.vault is not None:
            return self.vault.ring()
        with self._database.read() as tx:
            wanted = {key.id for key in tx.all(GossipKey)}
        for place in self.book.others(role="control"):
            try:
                ring = unpack(await self._peers.call(place.guid, GOSSIP_KEYS), list[RingKey])
            except (PeerUnreachable, BadRequest):
                continue
            # One that has not heard of the newest key yet must not keep it from this node.
            if wanted <= {key.id for key in ring}:
                return ring
        raise PeerUnreachable("no control node that has all gossip keys can be reached")

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
        return self._renewal.left_s()

    def holds(self) -> tuple[str, ...]:
        """What the others may rely on that this node has, for its NodeFact."""
        return self._holds

    def _control_nodes(self) -> str:
        return ", ".join(node.name for node in self.book.nodes() if node.role == "control") or "control nodes"

    def _is_removed(self, said_by: str) -> None:
        if not self.removed.is_set():
            self._log.error("this node was removed from the platform", said_by=said_by)
            note_removal(self._directory, said_by, self._clock())
            self.removed.set()

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

    async def ask(self) -> None:
        """Find out that this node was removed, also while it was off. For ever."""
        await self.opened.wait()
        while not self.removed.is_set():
            others = self.book.others(role="control")
            answered = await ask_whether_member(self._peers, others)
            await trio.sleep(CHECK_S if answered or not others else LATER_S)

    async def keep(self) -> None:
        """Keep the certificate fresh, believe whom the rows say, remember where the others are. For ever."""
        await self.opened.wait()
        pause_s = RETRY_S

        async def look() -> None:
            nonlocal pause_s
            pause_s = RETRY_S
            self._look_for_removal()
            pause_s = await self._keep_certified()

        async with self._database.watch("nodes", "authorities") as changes:
            while True:
                await contained("membership", look)
                await contained("places of other nodes", self._remember_places)
                with trio.move_on_after(min(max(pause_s, 1.0), CHECK_S)):
                    await changes.wait()
                changes.take()

    async def _keep_certified(self) -> float:
        """Do what is due; when to look again."""
        if self._renewal.take_authorities():
            self._identify()
        self._holds = self._renewal.holds()
        if self._renewal.due_in_s() <= 0:
            try:
                await self.renew()
            except NoMember:
                self._is_removed("a control node")
            except PaasdError as error:
                self._log.warning("certificate not renewed yet", reason=error.detail)
                return RETRY_S
        return self._renewal.due_in_s()

    def _look_for_removal(self) -> None:
        with self._database.read() as tx:
            node = tx.get(Node, self._peers.guid)
        if node is not None and node.state == "REMOVED":
            self._is_removed("its own row")

    async def _remember_places(self) -> None:
        await trio.lowlevel.checkpoint()
        member = self.files.read()
        found = self.book.others()
        if found != member.places:
            self.files.write(msgspec.structs.replace(member, places=found))

    async def renew(self) -> None:
        """A fresh certificate for a fresh key. Raises PaasdError."""
        await self._renewal.renew()
        self._identify()
        self._log.info("certificate renewed")

    def _identify(self) -> None:
        """What is on disk is what others are shown from now on."""
        self._peers.identify(self.files.identity())
        self._holds = self._renewal.holds()
        self.on_renewed()


def _nothing_public() -> KeyPair:
    raise Unavailable("the domains' authority is not open yet")


@asynccontextmanager
async def open_membership(membership: Membership) -> AsyncIterator[Membership]:
    """Keep the certificate and the list of others fresh until the block ends."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(membership.keep)
        nursery.start_soon(membership.ask)
        nursery.start_soon(membership.catch_up)
        try:
            yield membership
        finally:
            nursery.cancel_scope.cancel()
