"""Keys and certificates: ECDSA P-256, PEM texts, and what all certificates of paasd have in common.

Who is certified for what is decided elsewhere: `membership` for nodes, `router` for domains.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE: Final = timedelta(days=3650)
AUTHORITY_RENEWAL: Final = timedelta(days=365)
"""So long before an authority ends the next one is introduced: time for nodes that are away, and for people's files."""
DOMAIN_LIFE: Final = timedelta(days=90)
BACKDATED: Final = timedelta(hours=1)
"""Certificates start in the past, so that a machine whose clock is a little behind accepts them."""


_END: Final = b"-----END CERTIFICATE-----\n"


class KeyPair(msgspec.Struct, frozen=True):
    """PEM texts: the certificate with its chain, and its private key."""

    certificate: bytes
    key: bytes


def new_key() -> bytes:
    """A private key, as PEM."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def make_authority(what: str, now: datetime) -> KeyPair:
    """A new authority; `what` is in its name, with a number that keeps it apart from others in a browser's store."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"paasd {what} {os.urandom(4).hex()}")
    certificate = (
        _builder(name, name, key.public_key())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def request(key: bytes) -> bytes:
    """A signing request (PEM) that proves possession of the key and says nothing else."""
    private = _private(key)
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_name("request"))
        .sign(private, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def issue(
    authority: KeyPair,
    signing_request: bytes,
    common_name: str,
    names: Sequence[x509.GeneralName],
    now: datetime,
    life: timedelta,
    *,
    client: bool = False,
) -> bytes:
    """A certificate (PEM) for the key of a request, for servers and, if asked, for clients. Raises ValueError.

    What the request says about itself is not looked at: `common_name` and `names` are the issuer's decision.
    """
    key = _read_request(signing_request)
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = _private(authority.key)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if client else [])]
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    certificate = (
        _builder(_name(common_name[:64]), issuer.subject, key)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(min(now + life, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(authority_key, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def read_certificate(pem: bytes) -> x509.Certificate:
    """A certificate for a key as ours are. Raises ValueError for anything else, whatever is wrong with it."""
    with _one_error():
        found = x509.load_pem_x509_certificate(pem)
        key_of(found)
        # Parts are read when they are asked for: better now than where nobody thinks of their being broken.
        _parts = found.extensions, found.subject, found.issuer, found.not_valid_after_utc
    return found


def _read_request(pem: bytes) -> ec.EllipticCurvePublicKey:
    with _one_error():
        asked = x509.load_pem_x509_csr(pem)
        if not asked.is_signature_valid:
            raise ValueError("the request is not signed by its own key")
        return key_of(asked)


def key_of(what: x509.Certificate | x509.CertificateSigningRequest) -> ec.EllipticCurvePublicKey:
    """Its public key, as ours are. Raises ValueError for one of another kind."""
    key = what.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("the key is not of the kind P-256")
    return key


@contextmanager
def _one_error() -> Iterator[None]:
    """Strangers send certificates, and what a parser does not like has many types."""
    try:
        yield
    except (
        InvalidSignature,
        x509.InvalidVersion,
        UnsupportedAlgorithm,
        TypeError,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def wildcard_names(domain: str) -> list[x509.GeneralName]:
    """A domain and the names one label below it."""
    return [x509.DNSName(domain), x509.DNSName(f"*.{domain}")]


def issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether the signature is that of the authority."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def began_at_s(certificate: bytes) -> float:
    """Unix seconds at which the first certificate of a PEM text was made. Raises ValueError."""
    return (x509.load_pem_x509_certificate(certificate).not_valid_before_utc + BACKDATED).timestamp()


def ends_at_s(certificate: bytes) -> float:
    """Unix seconds of the end of the first certificate of a PEM text. Raises ValueError."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()


def first_of(certificates: bytes) -> bytes:
    """The first of the certificates of a PEM text, with nothing else."""
    first, mark, _ = certificates.partition(_END)
    return first + mark


def spki_sha256(certificate: bytes) -> str:
    """The pin of a certificate (PEM): the hash of its public key, in hexadecimal. Raises ValueError."""
    key = key_of(read_certificate(certificate))
    return hashlib.sha256(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest()


def _name(common_name: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "paasd")
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _private(key: bytes) -> ec.EllipticCurvePrivateKey:
    private = serialization.load_pem_private_key(key, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not an elliptic one")
    return private


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .add_extension(identifier, critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def write_private(path: Path, content: bytes, uid: int = -1) -> None:
    """Write a file of the owner (-1: this process's) alone, whole or not at all, on disk when this returns."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        os.fchown(file.fileno(), uid, -1)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
