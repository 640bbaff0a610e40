"""Who a node is to the others: its certificate, and how those of others are checked.

The name in a certificate is a URI, `spiffe://paasd/<cluster id>/node/<guid>/<role>`, signed by an authority of the
cluster.
"""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from cryptography import x509

from paasd.peer.interface import Peer, Role

_NAME: Final = re.compile(r"spiffe://paasd/([0-9a-f-]{36})/node/([0-9a-f-]{36})/(control|worker)")


def node_uri(cluster_id: str, guid: str, role: str) -> str:
    """What a node's certificate says about it."""
    return f"spiffe://paasd/{cluster_id}/node/{guid}/{role}"


def node_of_uri(uri: str) -> tuple[str, Peer] | None:
    """(cluster id, node); None for anything else."""
    match = _NAME.fullmatch(uri)
    return None if match is None else (match[1], Peer(guid=match[2], role=cast(Role, match[3])))


def node_of_certificate(certificate: x509.Certificate) -> tuple[str, Peer] | None:
    """As `node_of_uri`, by the names of a certificate, which nobody has verified here."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    found = (node_of_uri(uri) for uri in names.get_values_for_type(x509.UniformResourceIdentifier))
    return next((node for node in found if node is not None), None)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """This node as its files say. The certificate file holds the chain, so that who joins can look at the authority."""

    guid: str
    role: Role
    cluster_id: str
    certificate: Path
    key: Path
    authorities: Path

    def server_context(self) -> ssl.SSLContext:
        """For the listener: nodes show a certificate, those who join have none yet."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.num_tickets = 0  # sessions are not resumed, and a ticket would look like data on an idle connection
        return context

    def client_context(self) -> ssl.SSLContext:
        """For calls. Names are not those of hosts: who answers is checked against the certificate's URI afterwards."""
        context = self._context(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.certificate, self.key)
        context.load_verify_locations(self.authorities)
        return context

    def peer_of(self, certificate: Mapping[str, Any] | None) -> Peer | None:
        """Whom a verified certificate is for; None without one, or when it is for another cluster or no node."""
        for kind, value in (certificate or {}).get("subjectAltName", ()):
            found = node_of_uri(value) if kind == "URI" else None
            if found is not None and found[0] == self.cluster_id:
                return found[1]
        return None


def stranger_context() -> ssl.SSLContext:
    """For who has no certificate yet. Nothing is verified by TLS: the caller checks the server's certificate itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
