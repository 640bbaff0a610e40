"""What a control node answers to who has no certificate: joining, and the renewal of one that has expired.

In this order a join is refused: clock, token, release, reach. Nothing is done for who has no token, knocking at ports
least of all: it would let anybody make this node connect anywhere.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
import structlog

import paasd
from paasd.errors import PaasdError, Unavailable, Unprocessable
from paasd.membership.book import places_of
from paasd.membership.doors.vault import Vault
from paasd.membership.files import Ports
from paasd.membership.knocking import knock
from paasd.membership.messages import (
    AUTHORITY,
    JOIN,
    NONCE,
    RENEW,
    AuthorityAnswer,
    JoinAnswer,
    JoinRequest,
    RenewRequest,
)
from paasd.membership.tokens import secret_hash
from paasd.model.membership import AdmitMember, admit_member, check_admission, members
from paasd.packing import unpack
from paasd.peer import Peer, TlsPeers
from paasd.peer.interface import Role

SKEW_LIMIT_S: Final = 30.0
_NONCES: Final = 1000
Clock = Callable[[], float]
Refused = Callable[[str, str, str], None]
"""Told the address, the id of the token and the reason when a stranger is turned away."""


def serve_joins(peers: TlsPeers, vault: Vault, clock: Clock, refused: Refused) -> None:
    """Answer from now on."""
    joins = _Joins(vault, clock, refused)
    peers.serve_strangers(AUTHORITY, joins.show_authority)
    peers.serve_strangers(JOIN, joins.join)
    peers.serve_strangers(NONCE, joins.give_nonce)
    peers.serve_strangers(RENEW, joins.renew)


class _Joins:
    """The answers."""

    def __init__(self, vault: Vault, clock: Clock, refused: Refused) -> None:
        self._vault = vault
        self._database = vault.database
        self._clock = clock
        self._refused = refused
        self._nonces: OrderedDict[bytes, None] = OrderedDict()

    async def show_authority(self, address: str, body: bytes) -> bytes:
        signing = self._vault.authority.signing().certificate
        trusted = [signing, *(one for one in self._vault.authority.trusted() if one != signing)]
        return msgspec.msgpack.encode(AuthorityAnswer(cluster_id=self._vault.cluster_id, authorities=trusted))

    async def join(self, address: str, body: bytes) -> bytes:
        token_id = ""
        try:
            request = unpack(body, JoinRequest)
            token_id = request.token_id
            return msgspec.msgpack.encode(await self._admit(request))
        except Unprocessable as error:
            self._refused(address, token_id, error.detail)
            raise

    async def _admit(self, request: JoinRequest) -> JoinAnswer:
        self._check_clock(request)
        # A node that follows may not have heard of the token yet.
        await self._database.fresh()
        admission = _admission(request)
        with self._database.read() as tx:
            role = cast(Role, check_admission(tx, admission, self._clock()).role)
        self._check_release(request)
        await knock(request.address, _ports(request), role, request.dial_back)
        node = await self._database.write(admit_member, admission)
        certified = self._vault.certify_anew(Peer(guid=node.guid, role=role), request.signing_request)
        with self._database.read() as tx:
            known = places_of(members(tx))
        structlog.get_logger(__name__).info("node.joined", node=node.guid, name=node.name, zone=node.zone, role=role)
        return JoinAnswer(
            certificate=certified.certificate,
            issuer=certified.issuer,
            trusted=certified.trusted,
            role=role,
            zone=node.zone,
            cluster_id=self._vault.cluster_id,
            places=known,
            public_authority=self._public_certificate(),
        )

    def _public_certificate(self) -> bytes:
        try:
            return self._vault.public().certificate
        except Unavailable:
            return b""

    def _check_clock(self, request: JoinRequest) -> None:
        skew_s = request.at - self._clock()
        if abs(skew_s) > SKEW_LIMIT_S:
            raise Unprocessable(
                f"the clock of this machine is {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}; set it right "
                "(a time service such as chrony keeps it so) and join again"
            )

    def _check_release(self, request: JoinRequest) -> None:
        """A newer paasd may join, an older one only if it knows the tables."""
        if request.schema_limit < self._database.schema:
            raise Unprocessable(
                f"paasd {request.version} on this machine is too old: the platform's tables have version "
                f"{self._database.schema}, it knows {request.schema_limit}; install paasd {paasd.__version__} here"
            )

    async def give_nonce(self, address: str, body: bytes) -> bytes:
        nonce = secrets.token_bytes(32)
        self._nonces[nonce] = None
        while len(self._nonces) > _NONCES:
            self._nonces.popitem(last=False)
        return nonce

    async def renew(self, address: str, body: bytes) -> bytes:
        try:
            request = unpack(body, RenewRequest)
            if self._nonces.pop(request.nonce, request) is request:
                raise Unprocessable("the nonce is not one of this node's, or was used before; ask for another")
            authority, now = self._vault.authority, self._vault.now
            peer = authority.owner_of(
                request.certificate, self._vault.cluster_id, request.nonce, request.signature, now
            )
            return msgspec.msgpack.encode(self._vault.certify(peer, request.signing_request))
        except PaasdError as error:
            self._refused(address, "", error.detail)
            raise


def _admission(request: JoinRequest) -> AdmitMember:
    fields: dict[str, Any] = {
        name: getattr(request, name) for name in AdmitMember.__struct_fields__ if name != "secret_hash"
    }
    return AdmitMember(**fields, secret_hash=secret_hash(request.secret))


def _ports(request: JoinRequest) -> Ports:
    return Ports(
        peer=request.peer_port,
        tunnel=request.tunnel_port,
        etcd_client=request.etcd_client_port,
        etcd_peer=request.etcd_peer_port,
    )
