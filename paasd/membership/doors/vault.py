"""What only control nodes can open: the authorities' keys, the gossip keys, the root key."""

from collections.abc import Callable
from datetime import UTC, datetime

from paasd import pki
from paasd.errors import Unavailable, Unprocessable
from paasd.membership.authority import NodeAuthority
from paasd.membership.messages import Certified, ControlKeys, RingKey
from paasd.model import Authority, GossipKey, Node
from paasd.model.membership import CLUSTER_ID, authority_context
from paasd.model.rotation import PUBLIC
from paasd.model.settings import read_setting
from paasd.peer import NoMember, Peer
from paasd.pki import KeyPair
from paasd.state import Database
from paasd.state.sealing import RootKeys, Sealer, root_id_of


def gossip_context(key_id: str) -> str:
    """What a gossip key is sealed for."""
    return f"gossip_key/{key_id}"


class Vault:
    """The secrets of the rows, opened with this node's keys."""

    def __init__(self, database: Database, sealer: Sealer, root_keys: RootKeys, clock: Callable[[], float]) -> None:
        self.database = database
        self.authority = NodeAuthority(database, sealer)
        self._sealer = sealer
        self._root_keys = root_keys
        self._clock = clock

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    @property
    def cluster_id(self) -> str:
        with self.database.read() as tx:
            return read_setting(tx, CLUSTER_ID)

    def certify(self, peer: Peer, signing_request: bytes) -> Certified:
        """A certificate for a member. Raises NoMember for one that was removed, Unprocessable for a bad request."""
        with self.database.read() as tx:
            node = tx.get(Node, peer.guid)
        if node is None or node.state == "REMOVED" or node.role != peer.role:
            raise NoMember("this node is not a member any more; it was removed")
        return self.certify_anew(peer, signing_request)

    def certify_anew(self, peer: Peer, signing_request: bytes) -> Certified:
        """As `certify`, for one whose row need not be here yet."""
        certificate = self.authority.issue(signing_request, self.cluster_id, peer, self.now)
        issuer = self.authority.signing().certificate
        return Certified(certificate=certificate, issuer=issuer, trusted=self.authority.trusted())

    def public(self) -> KeyPair:
        """The authority of the domains' certificates. Raises Unavailable while there is none."""
        with self.database.read() as tx:
            row = tx.find(Authority, purpose=PUBLIC, state="SIGNING")
        if row is None:
            raise Unavailable("there is no authority for domains yet; try again in a moment")
        return KeyPair(row.certificate.encode(), self._sealer.open(row.sealed_key, authority_context(row.guid)))

    def certify_domain(self, domain: str, signing_request: bytes) -> bytes:
        """A wildcard certificate, PEM. Raises Unavailable, Unprocessable."""
        names = pki.wildcard_names(domain)
        try:
            return pki.issue(self.public(), signing_request, domain, names, self.now, pki.DOMAIN_LIFE)
        except ValueError as error:
            raise Unprocessable(f"the signing request is refused: {error}") from error

    def ring(self) -> list[RingKey]:
        """The gossip keys."""
        with self.database.read() as tx:
            rows = tx.all(GossipKey, order=("created_at", "id"))
        return [
            RingKey(
                id=row.id, key=self._sealer.open(row.sealed, gossip_context(row.id)), sending=row.state == "SENDING"
            )
            for row in rows
        ]

    def control_keys(self) -> ControlKeys:
        """For other control nodes, and for nobody else."""
        public, keys = self.public(), self._root_keys
        counts = root_id_of(self.database)
        text = keys.text(counts if counts is not None and keys.knows(counts) else keys.id)
        return ControlKeys(root_key=text.decode(), public_certificate=public.certificate, public_key=public.key)
