"""The node's own certificate authority and the wildcard certificates that its HTTPS listener shows.

Keys are ECDSA P-256, in files of mode 0600. Leaf certificates are renewed long before they expire, while the daemon
runs; people who trust the authority's file (`ca.pem`, for `curl --cacert`) notice nothing.
"""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from paasd.errors import PaasdError

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=90)
RENEW_BEFORE = timedelta(days=30)
# Certificates start in the past, so that a client whose clock is a little behind accepts them.
BACKDATED = timedelta(hours=1)


class CertificateBroken(PaasdError):
    """A stored certificate or key cannot be used; the detail names the file."""


class KeyPair(msgspec.Struct, frozen=True):
    """PEM texts: the certificate with its chain, and its private key."""

    certificate: bytes
    key: bytes


def _name(common_name: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "paasd")
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


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


def make_authority(now: datetime) -> KeyPair:
    """A new authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    # The serial in the name keeps the authorities of different nodes apart in a browser's store.
    name = _name(f"paasd authority {os.urandom(4).hex()}")
    certificate = (
        _builder(name, name, key.public_key())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def make_wildcard(authority: KeyPair, domain: str, now: datetime) -> KeyPair:
    """A certificate of `authority` for `domain` and the names one label below it."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(domain), x509.DNSName(f"*.{domain}")]
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    certificate = (
        _builder(_name(domain[:64]), issuer.subject, key.public_key())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(min(now + LEAF_LIFE, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(authority_key, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def is_current(pair: KeyPair, authority: KeyPair, domain: str, now: datetime) -> bool:
    """Whether `pair` still serves: right names, right issuer, its own key, and not close to its end."""
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    key = serialization.load_pem_private_key(pair.key, None)
    return (
        set(names.get_values_for_type(x509.DNSName)) == {domain, f"*.{domain}"}
        and certificate.issuer == issuer.subject
        and certificate.public_key() == key.public_key()
        and now < certificate.not_valid_after_utc - RENEW_BEFORE
    )


class Certificates:
    """The files of one node. `directory` is made 0700; `domains` maps a secret's name to the domain it is for."""

    def __init__(self, directory: Path, domains: Mapping[str, str], clock: Callable[[], datetime]) -> None:
        self._directory = directory
        self._clock = clock
        self.domains = dict(domains)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._authority = self._load("ca") or self._store("ca", make_authority(clock()))
        self.pairs: dict[str, KeyPair] = {}
        self.renew()

    @property
    def authority_path(self) -> Path:
        """The authority's certificate, for `curl --cacert`."""
        return self._directory / "ca.pem"

    def renew(self) -> bool:
        """Make what is missing or close to its end; whether anything changed. Takes about a millisecond per domain."""
        changed = False
        for name, domain in self.domains.items():
            pair = self.pairs.get(name) or self._load(name)
            if pair is None or not self._current(name, pair, domain):
                pair = self._store(name, make_wildcard(self._authority, domain, self._clock()))
            changed |= self.pairs.get(name) != pair
            self.pairs[name] = pair
        return changed

    def _current(self, name: str, pair: KeyPair, domain: str) -> bool:
        try:
            return is_current(pair, self._authority, domain, self._clock())
        except ValueError as error:
            raise self._broken(name, error) from error

    def _load(self, name: str) -> KeyPair | None:
        certificate, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        if not certificate.exists() or not key.exists():
            if name == "ca" and key.exists() != certificate.exists():
                raise self._broken(name, ValueError("one of the two files is missing"))
            return None
        pair = KeyPair(certificate.read_bytes(), key.read_bytes())
        try:
            x509.load_pem_x509_certificate(pair.certificate)
            serialization.load_pem_private_key(pair.key, None)
        except ValueError as error:
            raise self._broken(name, error) from error
        return pair

    def _broken(self, name: str, error: Exception) -> CertificateBroken:
        return CertificateBroken(
            f"{self._directory}/{name}.pem or {name}.key cannot be used ({error}); restore both from a back-up, or "
            "remove both and new ones are made" + (" (everyone must then trust the new ca.pem)" if name == "ca" else "")
        )

    def _store(self, name: str, pair: KeyPair) -> KeyPair:
        for suffix, content, mode in ((".key", pair.key, 0o600), (".pem", pair.certificate, 0o644)):
            path = self._directory / f"{name}{suffix}"
            temporary = path.with_suffix(suffix + ".new")
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        return pair


def open_certificates(
    directory: Path, apps_domain: str, system_domain: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Certificates:
    """The node's certificates under `directory`, made at first start. Raises CertificateBroken."""
    return Certificates(directory, {"apps": apps_domain, "system": system_domain}, clock)
