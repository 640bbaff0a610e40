"""What a control node answers to nodes that join, and to members about their certificates and keys."""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar, cast

import msgspec
import structlog
import trio

from paasd import pki
from paasd.errors import PaasdError, Unprocessable
from paasd.membership.authority import NodeAuthority
from paasd.membership.book import places_of
from paasd.membership.messages import (
    AUTHORITY,
    CERTIFY,
    DIAL_BACK_BYTES,
    DOMAIN,
    GOSSIP_KEYS,
    JOIN,
    KEYS,
    NONCE,
    RENEW,
    AuthorityAnswer,
    Certified,
    CertifyRequest,
    ControlKeys,
    DomainRequest,
    JoinAnswer,
    JoinRequest,
    RenewRequest,
    RingKey,
)
from paasd.membership.tokens import secret_hash
from paasd.model import Authority, GossipKey, Node
from paasd.model.membership import CLUSTER_ID, AdmitMember, admit_member, authority_context, members
from paasd.model.settings import read_setting
from paasd.peer import Peer, TlsPeers
from paasd.peer.interface import Role
from paasd.state import Database
from paasd.state.sealing import Sealer

SKEW_LIMIT_S: Final = 30.0
DIAL_BACK_S: Final = 3.0
CONTROL: Final[tuple[Role, ...]] = ("control",)
_NONCES: Final = 1000
M = TypeVar("M")
Clock = Callable[[], float]
Refused = Callable[[str, str, str], None]
"""Told the address, the id of the token and the reason when a stranger is turned away."""


def gossip_context(key_id: str) -> str:
    """What a gossip key is sealed for."""
    return f"gossip_key/{key_id}"


class Door:
    """Registers its answers with the peers when it is made."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        root_key: Path,
        peers: TlsPeers,
        clock: Clock,
        refused: Refused,
        domains: Collection[str],
    ) -> None:
        self._domains = frozenset(domains)
        self._database = database
        self._sealer = sealer
        self._root_key = root_key
        self._clock = clock
        self._refused = refused
        self._nonces: OrderedDict[bytes, None] = OrderedDict()
        self.authority = NodeAuthority(database, sealer)
        peers.serve_strangers(AUTHORITY, self._show_authority)
        peers.serve_strangers(JOIN, self._join)
        peers.serve_strangers(NONCE, self._nonce)
        peers.serve_strangers(RENEW, self._renew)
        peers.serve(CERTIFY, self._certify)
        peers.serve(KEYS, self._control_keys, roles=CONTROL)
        peers.serve(GOSSIP_KEYS, self._gossip_keys)
        peers.serve(DOMAIN, self._certify_domain)

    @property
    def cluster_id(self) -> str:
        with self._database.read() as tx:
            return read_setting(tx, CLUSTER_ID)

    async def _show_authority(self, address: str, body: bytes) -> bytes:
        signing = self.authority.signing().certificate
        trusted = [signing, *(one for one in self.authority.trusted() if one != signing)]
        return msgspec.msgpack.encode(AuthorityAnswer(cluster_id=self.cluster_id, authorities=trusted))

    async def _join(self, address: str, body: bytes) -> bytes:
        request = decoded(body, JoinRequest)
        try:
            return msgspec.msgpack.encode(await self._admit(request))
        except Unprocessable as error:
            self._refused(address, request.token_id, error.detail)
            raise

    async def _admit(self, request: JoinRequest) -> JoinAnswer:
        skew_s = request.at - self._clock()
        if abs(skew_s) > SKEW_LIMIT_S:
            raise Unprocessable(
                f"the clock of this node is {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}; set it right "
                "(a time service such as chrony keeps it so) and join again"
            )
        await self._dial_back(request)
        fields = {
            name: getattr(request, name) for name in AdmitMember.__struct_fields__ if name not in ("secret_hash",)
        }
        node = await self._database.write(admit_member, AdmitMember(**fields, secret_hash=secret_hash(request.secret)))
        now = datetime.fromtimestamp(self._clock(), UTC)
        role = cast(Role, node.role)
        certificate = self.authority.issue(
            request.signing_request, self.cluster_id, Peer(guid=node.guid, role=role), now
        )
        with self._database.read() as tx:
            known = places_of(members(tx))
            public = tx.find(Authority, purpose="public", state="SIGNING")
        structlog.get_logger(__name__).info("node.joined", node=node.guid, name=node.name, zone=node.zone, role=role)
        return JoinAnswer(
            certificate=certificate,
            issuer=self.authority.signing().certificate,
            trusted=self.authority.trusted(),
            role=role,
            zone=node.zone,
            cluster_id=self.cluster_id,
            places=known,
            public_authority=public.certificate.encode() if public else b"",
        )

    async def _dial_back(self, request: JoinRequest) -> None:
        """A node that the others cannot reach would be declared dead as soon as it runs; better say so now."""
        where = f"{request.address}:{request.peer_port}"
        try:
            with trio.fail_after(DIAL_BACK_S):
                async with await trio.open_tcp_stream(request.address, request.peer_port) as stream:
                    said = b""
                    while len(said) < DIAL_BACK_BYTES and (more := await stream.receive_some(DIAL_BACK_BYTES)):
                        said += more
        except (OSError, trio.TooSlowError, trio.BrokenResourceError) as error:
            raise Unprocessable(
                f"this platform cannot reach the new node at {where}: open its ports in the firewall (docs/clouds.md), "
                "or set [cluster] address to one that other nodes reach; behind NAT a node cannot join"
            ) from error
        if said != request.dial_back:
            raise Unprocessable(f"at {where} another program answers; set [cluster] address to this node's own")

    async def _nonce(self, address: str, body: bytes) -> bytes:
        nonce = secrets.token_bytes(32)
        self._nonces[nonce] = None
        while len(self._nonces) > _NONCES:
            self._nonces.popitem(last=False)
        return nonce

    async def _renew(self, address: str, body: bytes) -> bytes:
        request = decoded(body, RenewRequest)
        if self._nonces.pop(request.nonce, request) is request:
            raise Unprocessable("the nonce is not one of this node's, or was used before; ask for another")
        now = datetime.fromtimestamp(self._clock(), UTC)
        try:
            peer = self.authority.owner_of(request.certificate, self.cluster_id, request.nonce, request.signature, now)
            return self._certified(peer, request.signing_request, now)
        except PaasdError as error:
            self._refused(address, "", error.detail)
            raise

    async def _certify(self, peer: Peer, body: bytes) -> bytes:
        request = decoded(body, CertifyRequest)
        return self._certified(peer, request.signing_request, datetime.fromtimestamp(self._clock(), UTC))

    def _certified(self, peer: Peer, signing_request: bytes, now: datetime) -> bytes:
        with self._database.read() as tx:
            node = tx.get(Node, peer.guid)
        if node is None or node.state == "REMOVED" or node.role != peer.role:
            raise Unprocessable("this node is no member of the platform any more")
        certificate = self.authority.issue(signing_request, self.cluster_id, peer, now)
        answer = Certified(
            certificate=certificate, issuer=self.authority.signing().certificate, trusted=self.authority.trusted()
        )
        return msgspec.msgpack.encode(answer)

    async def _control_keys(self, peer: Peer, body: bytes) -> bytes:
        with self._database.read() as tx:
            public = tx.find(Authority, purpose="public", state="SIGNING")
        if public is None:
            raise Unprocessable("there is no authority for domains yet")
        key = self._sealer.open(public.sealed_key, authority_context(public.guid))
        root_key = await trio.to_thread.run_sync(self._root_key.read_text)
        keys = ControlKeys(root_key=root_key, public_certificate=public.certificate.encode(), public_key=key)
        return msgspec.msgpack.encode(keys)

    async def _certify_domain(self, peer: Peer, body: bytes) -> bytes:
        request = decoded(body, DomainRequest)
        if request.domain not in self._domains:
            raise Unprocessable(
                f"{request.domain} is no domain of this platform; set [domains] on the worker as on the control nodes"
            )
        with self._database.read() as tx:
            public = tx.find(Authority, purpose="public", state="SIGNING")
        if public is None:
            raise Unprocessable("there is no authority for domains yet")
        key = self._sealer.open(public.sealed_key, authority_context(public.guid))
        authority = pki.KeyPair(public.certificate.encode(), key)
        now = datetime.fromtimestamp(self._clock(), UTC)
        names = pki.wildcard_names(request.domain)
        try:
            return pki.issue(authority, request.signing_request, request.domain, names, now, pki.DOMAIN_LIFE)
        except ValueError as error:
            raise Unprocessable(f"the signing request is refused: {error}") from error

    async def _gossip_keys(self, peer: Peer, body: bytes) -> bytes:
        return msgspec.msgpack.encode(self.ring())

    def ring(self) -> list[RingKey]:
        """The gossip keys, opened."""
        with self._database.read() as tx:
            rows = tx.all(GossipKey, order=("created_at", "id"))
        return [
            RingKey(
                id=row.id, key=self._sealer.open(row.sealed, gossip_context(row.id)), sending=row.state == "SENDING"
            )
            for row in rows
        ]


def decoded(body: bytes, kind: type[M]) -> M:
    """Raises Unprocessable for anything else."""
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Unprocessable(f"a {kind.__name__} that is not understood: {error}; is it of another release?") from error
