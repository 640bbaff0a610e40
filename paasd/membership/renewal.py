"""This node's certificate, kept fresh: a new key and certificate at half of its life, or when the authority changes."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from paasd import pki
from paasd.config import PeerConfig
from paasd.errors import Unavailable
from paasd.membership.authority import LIFE, believed
from paasd.membership.book import Book
from paasd.membership.doors import Vault
from paasd.membership.files import MemberFiles, Place
from paasd.membership.messages import CERTIFY, NONCE, RENEW, Certified, CertifyRequest, RenewRequest
from paasd.model import Authority
from paasd.model.rotation import shows, trusts
from paasd.packing import unpack
from paasd.peer import Peer, PeerUnreachable, TlsPeers
from paasd.peer.connection import Connection
from paasd.peer.identity import node_of_certificate, stranger_context
from paasd.peer.peers import greet, open_connection
from paasd.peer.wire import Answer, Ask, Failure, error_of
from paasd.state import Database


class Renewal:
    """Certifies this node anew, by its own keys or by asking a control node."""

    def __init__(
        self,
        config: PeerConfig,
        files: MemberFiles,
        book: Book,
        database: Database,
        peers: TlsPeers,
        vault: Vault | None,
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._files = files
        self._book = book
        self._database = database
        self._peers = peers
        self._vault = vault
        self._clock = clock

    def left_s(self) -> float:
        """How long the certificate is still good for."""
        return self._certificate().not_valid_after_utc.timestamp() - self._clock()

    def due_in_s(self) -> float:
        """When the next one is due; at once if the rows say that another authority signs now."""
        signing = next((row for row in self._rows() if row.state == "SIGNING"), None)
        if signing is not None and not self._issued_by(signing):
            return 0.0
        return self.left_s() - LIFE.total_seconds() / 2

    def take_authorities(self) -> bool:
        """Believe those that the rows say; whether that was a change. The issuer of the own certificate stays."""
        rows = self._rows()
        if not rows:
            return False
        own = [issuer for issuer in [self._issuer()] if issuer.decode() not in {row.certificate for row in rows}]
        wanted = [*(row.certificate.encode() for row in rows), *own]
        if b"".join(wanted) == self._files.authorities():
            return False
        self._files.write_authorities(wanted)
        return True

    def holds(self) -> tuple[str, ...]:
        """What the others may rely on: the authorities that this node believes, and the one that it is certified by."""
        content = self._files.authorities().decode()
        rows = self._rows()
        believes = [trusts(row.guid) for row in rows if row.certificate in content]
        shown = [shows(row.guid) for row in rows if self._issued_by(row)]
        return (*believes, *shown)

    async def renew(self) -> None:
        """A fresh certificate for a fresh key, on disk and for new connections. Raises PaasdError."""
        key = pki.new_key()
        certified = await self._certify(pki.request(key))
        self._files.write_pair(key, certified.certificate, certified.issuer, certified.trusted)

    def _rows(self) -> list[Authority]:
        return believed(self._database)

    def _certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self._files.certificate())

    def _issuer(self) -> bytes:
        """Of the own certificate, PEM."""
        return self._files.pair().certificate.removeprefix(self._files.certificate())

    def _issued_by(self, row: Authority) -> bool:
        return self._issuer().decode() == row.certificate

    async def _certify(self, signing_request: bytes) -> Certified:
        member = self._files.read()
        if self._vault is not None:
            return self._vault.certify(Peer(guid=member.guid, role=member.role), signing_request)
        failures = []
        for place in self._book.others(role="control"):
            try:
                if self.left_s() <= 0:
                    return await self._renew_expired(place, signing_request)
                body = msgspec.msgpack.encode(CertifyRequest(signing_request=signing_request))
                return unpack(await self._peers.call(place.guid, CERTIFY, body), Certified)
            except PeerUnreachable as error:
                failures.append(error.detail)
        raise Unavailable("no control node certifies this node: " + "; ".join(failures))

    async def _renew_expired(self, place: Place, signing_request: bytes) -> Certified:
        """TLS takes no expired certificate, so its key signs a nonce of the other node instead."""
        address = place.address, place.peer_port
        connection = await open_connection(address, stranger_context(), self._config, place.guid)
        try:
            await greet(connection, self._files.read().cluster_id, self._clock)
            self._check_issuer(connection, place)
            nonce = await _asked(connection, NONCE, b"")
            key = serialization.load_pem_private_key(self._files.pair().key, None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            request = RenewRequest(
                certificate=self._files.certificate(),
                nonce=nonce,
                signature=key.sign(nonce, ec.ECDSA(hashes.SHA256())),
                signing_request=signing_request,
            )
            body = msgspec.msgpack.encode(request)
            return unpack(await _asked(connection, RENEW, body), Certified)
        finally:
            connection.close()

    def _check_issuer(self, connection: Connection, place: Place) -> None:
        """What comes back says whom to believe from now on, so it must come from a control node of this cluster."""
        shown = connection.stream.getpeercert(binary_form=True)
        leaf = None if shown is None else x509.load_der_x509_certificate(shown)
        if leaf is not None:
            trusted = x509.load_pem_x509_certificates(self._files.authorities())
            now = datetime.fromtimestamp(self._clock(), UTC)
            found = node_of_certificate(leaf)
            if (
                any(pki.issued_by(leaf, one) for one in trusted)
                and leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc
                and found == (self._files.read().cluster_id, Peer(guid=place.guid, role="control"))
            ):
                return
        raise PeerUnreachable(f"who answers at {place.address}:{place.peer_port} is not node {place.guid}")


async def _asked(connection: Connection, kind: str, body: bytes) -> bytes:
    await connection.send(Ask(kind, body))
    answer = await connection.receive()
    if isinstance(answer, Failure):
        raise error_of(answer)
    if not isinstance(answer, Answer):
        raise PeerUnreachable(f"a {type(answer).__name__} instead of an answer")
    return answer.body
