"""The node's own certificate authority and the wildcard certificates that its HTTPS listener shows.

Keys are ECDSA P-256, in files of mode 0600. Leaf certificates are renewed long before they expire, while the daemon
runs; people who trust the authority's file (`ca.pem`, for `curl --cacert`) notice nothing. That file holds every
authority that counts, the one that signs first: while one is changed there are two.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from paasd import pki
from paasd.errors import PaasdError
from paasd.pki import KeyPair

LEAF_LIFE = pki.DOMAIN_LIFE
RENEW_BEFORE = timedelta(days=30)


class CertificateBroken(PaasdError):
    """A stored certificate or key cannot be used; the detail names the file."""


def make_wildcard(authority: KeyPair, domain: str, now: datetime) -> KeyPair:
    """A certificate of `authority` for `domain` and the names one label below it."""
    key = pki.new_key()
    return KeyPair(pki.issue(authority, pki.request(key), domain, pki.wildcard_names(domain), now, LEAF_LIFE), key)


def is_current(pair: KeyPair, authority: KeyPair, domain: str, now: datetime) -> bool:
    """Whether `pair` still serves: right names, right issuer, its own key, and not close to its end."""
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    key = serialization.load_pem_private_key(pair.key, None)
    right = certificate.issuer == issuer.subject and certificate.public_key() == key.public_key()
    return right and lasts(pair, domain, now)


def lasts(pair: KeyPair, domain: str, now: datetime) -> bool:
    """Whether `pair` is for the domain and not close to its end."""
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    right = set(names.get_values_for_type(x509.DNSName)) == {domain, f"*.{domain}"}
    return right and now < certificate.not_valid_after_utc - RENEW_BEFORE


class Certificates:
    """The files of one node. `directory` is made 0700; `domains` maps a secret's name to the domain it is for.

    With `authority` the node has, or makes, the authority and certifies itself; without it (a worker) others put
    certificates into the folder with `store`.
    """

    def __init__(
        self, directory: Path, domains: Mapping[str, str], clock: Callable[[], datetime], *, authority: bool = True
    ) -> None:
        self._directory = directory
        self._clock = clock
        self.domains = dict(domains)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._authority: KeyPair | None = None
        if authority:
            found = self._load("ca") or self._store("ca", pki.make_authority("authority", clock()))
            self._authority = KeyPair(pki.first_of(found.certificate), found.key)
        self.pairs: dict[str, KeyPair] = {}
        self.renew()

    @property
    def signs(self) -> bool:
        """Whether this node has the authority's key."""
        return self._authority is not None

    @property
    def authority(self) -> KeyPair:
        """The authority with its key; not on a worker."""
        assert self._authority is not None, "a worker has no authority"
        return self._authority

    @property
    def authority_path(self) -> Path:
        """The authority's certificate, for `curl --cacert`."""
        return self._directory / "ca.pem"

    def believes(self) -> bytes:
        """Every authority that clients are told to believe, PEM; the one that signs is the first."""
        return self.authority_path.read_bytes() if self.authority_path.exists() else b""

    def believe(self, authorities: Sequence[bytes], key: bytes | None) -> bool:
        """Take these authorities, the one that signs first, and on control nodes its key; whether that was news."""
        content = b"".join(authorities)
        if content == self.believes() and (key is None or key == self.authority.key):
            return False
        if key is None:
            self._write("ca.pem", content, 0o644)
        else:
            self._store("ca", KeyPair(content, key))
            self._authority = KeyPair(authorities[0], key)
        return True

    def shown(self, authority: bytes) -> bool:
        """Whether every certificate that is shown is of this authority (PEM)."""
        issuer = x509.load_pem_x509_certificate(authority)
        leaves = [x509.load_pem_x509_certificate(pair.certificate) for pair in self.pairs.values()]
        return len(leaves) == len(self.domains) and all(pki.issued_by(leaf, issuer) for leaf in leaves)

    def renew(self) -> bool:
        """Make what is missing or close to its end; whether anything changed. Takes about a millisecond per domain."""
        changed = False
        for name, domain in self.domains.items():
            pair = self.pairs.get(name) or self._load(name)
            if self._authority is not None and (pair is None or not self._current(name, pair, domain)):
                pair = self._store(name, make_wildcard(self._authority, domain, self._clock()))
            if pair is not None:
                changed |= self.pairs.get(name) != pair
                self.pairs[name] = pair
        return changed

    def wanted(self) -> dict[str, str]:
        """Domains by name for which there is no certificate, or one close to its end, or one of another authority."""
        content = self.believes()
        signing = x509.load_pem_x509_certificate(content) if content else None
        return {
            name: domain
            for name, domain in self.domains.items()
            if (pair := self.pairs.get(name)) is None
            or not lasts(pair, domain, self._clock())
            or (signing and not pki.issued_by(x509.load_pem_x509_certificate(pair.certificate), signing))
        }

    def store(self, name: str, pair: KeyPair) -> None:
        """Take a certificate that another node has issued."""
        self.pairs[name] = self._store(name, pair)

    def _current(self, name: str, pair: KeyPair, domain: str) -> bool:
        try:
            return is_current(pair, self.authority, domain, self._clock())
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
        self._write(f"{name}.key", pair.key, 0o600)
        self._write(f"{name}.pem", pair.certificate, 0o644)
        return pair

    def _write(self, name: str, content: bytes, mode: int) -> None:
        path = self._directory / name
        temporary = self._directory / f"{name}.new"
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def open_certificates(
    directory: Path,
    apps_domain: str,
    system_domain: str,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    authority: bool = True,
) -> Certificates:
    """The node's certificates under `directory`, made at first start. Raises CertificateBroken."""
    return Certificates(directory, {"apps": apps_domain, "system": system_domain}, clock, authority=authority)
