"""Certificates of nodes: short lives, the cluster's own authority, and what an expired one is still good for."""

from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from paasd import pki
from paasd.errors import Unavailable, Unprocessable
from paasd.model import Authority, rotation
from paasd.model.membership import authority_context
from paasd.peer import Peer, node_uri
from paasd.peer.identity import node_of_certificate
from paasd.pki import KeyPair
from paasd.state import Database
from paasd.state.sealing import Sealer

LIFE: Final = timedelta(hours=24)
GRACE: Final = timedelta(days=30)
"""So long after its end a certificate still proves who a node is, when it asks for a new one."""


def believed(database: Database) -> list[Authority]:
    """The authorities of nodes' certificates that count, oldest first."""
    with database.read() as tx:
        return rotation.believed(tx, rotation.NODES)


class NodeAuthority:
    """The authorities of the rows, opened with this node's keys; only on control nodes."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    def trusted(self) -> list[bytes]:
        """The certificates of those that are believed, PEM."""
        return [row.certificate.encode() for row in believed(self._database)]

    def signing(self) -> KeyPair:
        """Raises Unavailable while there is none."""
        for row in believed(self._database):
            if row.state == "SIGNING":
                key = self._sealer.open(row.sealed_key, authority_context(row.guid))
                return KeyPair(row.certificate.encode(), key)
        raise Unavailable("this node has no authority for node certificates yet; try again in a moment")

    def issue(self, signing_request: bytes, cluster_id: str, peer: Peer, now: datetime) -> bytes:
        """A node's certificate, PEM. Raises Unprocessable for a bad request."""
        names = [x509.UniformResourceIdentifier(node_uri(cluster_id, peer.guid, peer.role))]
        try:
            return pki.issue(self.signing(), signing_request, peer.guid, names, now, LIFE, client=True)
        except ValueError as error:
            raise Unprocessable(f"the signing request is refused: {error}") from error

    def owner_of(self, certificate: bytes, cluster_id: str, nonce: bytes, signature: bytes, now: datetime) -> Peer:
        """Who holds the key of a certificate of ours, current or expired not too long ago. Raises Unprocessable."""
        try:
            found = pki.read_certificate(certificate)
            trusted = [pki.read_certificate(one) for one in self.trusted()]
            pki.key_of(found).verify(signature, nonce, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise Unprocessable("the certificate's key is not the one that signed") from error
        except ValueError as error:
            raise Unprocessable(f"the certificate is refused: {error}") from error
        if not any(pki.issued_by(found, authority) for authority in trusted):
            raise Unprocessable("the certificate is not of this cluster; join again with a new token")
        if now > found.not_valid_after_utc + GRACE:
            raise Unprocessable(
                f"the certificate ended over {GRACE.days} days ago; remove this node and join again with a new token"
            )
        owner = node_of_certificate(found)
        if owner is None or owner[0] != cluster_id:
            raise Unprocessable("the certificate names no node of this cluster")
        return owner[1]
