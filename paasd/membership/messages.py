"""What is said while a node joins and as long as it is a member; every struct may grow by fields with defaults."""

from typing import Annotated

import msgspec

from paasd.membership.files import Place
from paasd.peer.interface import Role

AUTHORITY = "join.authority"
JOIN = "join.join"
NONCE = "member.nonce"
RENEW = "member.renew"
CERTIFY = "member.certify"
KEYS = "member.keys"
ROOT_KEY = "member.root_key"
GOSSIP_KEYS = "member.gossip_keys"
DOMAIN = "member.certify_domain"
HERE = "member.here"
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Size = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class AuthorityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The authorities that are trusted, PEM; the first one signs."""

    cluster_id: str
    authorities: list[bytes]


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`at` is the joining node's unix time. Its ports answer with `dial_back` meanwhile."""

    token_id: str
    secret: str
    at: float
    dial_back: bytes
    signing_request: bytes
    guid: str
    name: str
    zone: str
    memory_mb: Size
    disk_mb: Size
    cpus: Size
    address: Annotated[str, msgspec.Meta(max_length=255)]
    peer_port: Port
    tunnel_port: Port
    etcd_client_port: Port
    etcd_peer_port: Port
    version: str
    schema_limit: int


class JoinAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Certificates as PEM: the node's own, its issuer's, and all that are trusted."""

    certificate: bytes
    issuer: bytes
    trusted: list[bytes]
    role: Role
    zone: str
    cluster_id: str
    places: list[Place]
    public_authority: bytes


class CertifyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A member asks for its next certificate over its present one."""

    signing_request: bytes


class DomainRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A worker asks for a certificate of one of the platform's two domains; it has no authority of its own."""

    domain: str
    signing_request: bytes


class RenewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One whose certificate has expired asks: it signs a nonce of the other node with the old certificate's key."""

    certificate: bytes
    nonce: bytes
    signature: bytes
    signing_request: bytes


class Certified(msgspec.Struct, frozen=True, kw_only=True):
    certificate: bytes
    issuer: bytes
    trusted: list[bytes]


class ControlKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What only control nodes get: the root key file, and the authority of the domains' certificates."""

    root_key: str
    public_certificate: bytes
    public_key: bytes


class RootKeyOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What may become the root key; the content of its file. Between control nodes only."""

    text: bytes


class RingKey(msgspec.Struct, frozen=True, kw_only=True):
    """A gossip key; `sending` ones also seal."""

    id: str
    key: bytes
    sending: bool
