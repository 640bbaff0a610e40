from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from paasd.router.certificates import CertificateBroken, Certificates, open_certificates

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def at(directory: Path, days: int = 0, apps: str = "apps.test") -> Certificates:
    return open_certificates(directory, apps, "system.test", clock=lambda: NOW + timedelta(days=days))


def test_keys_are_for_the_owner_only_and_everything_is_found_again(tmp_path: Path) -> None:
    first = at(tmp_path / "tls")
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700
    keys = sorted(path.name for path in (tmp_path / "tls").glob("*.key"))
    assert keys == ["apps.key", "ca.key", "system.key"]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "tls").glob("*.key")} == {0o600}
    again = at(tmp_path / "tls", days=1)
    assert again.pairs == first.pairs
    assert again.authority_path.read_bytes().startswith(b"-----BEGIN CERTIFICATE")


def test_a_leaf_is_signed_by_the_authority_for_the_domain_and_below(tmp_path: Path) -> None:
    made = at(tmp_path)
    authority = x509.load_pem_x509_certificate(made.authority_path.read_bytes())
    leaf = x509.load_pem_x509_certificate(made.pairs["apps"].certificate)
    leaf.verify_directly_issued_by(authority)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["apps.test", "*.apps.test"]


def test_a_leaf_is_renewed_in_its_last_month_and_not_before(tmp_path: Path) -> None:
    first = at(tmp_path)
    assert at(tmp_path, days=59).pairs == first.pairs
    later = at(tmp_path, days=61)
    assert later.pairs["apps"] != first.pairs["apps"]
    assert later.authority_path.read_bytes() == first.authority_path.read_bytes()
    assert later.renew() is False


def test_another_domain_gets_another_leaf(tmp_path: Path) -> None:
    first = at(tmp_path)
    other = at(tmp_path, apps="other.test")
    assert other.pairs["apps"] != first.pairs["apps"]
    assert other.pairs["system"] == first.pairs["system"]


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", "apps.pem", "apps.key"])
def test_a_damaged_file_is_named_with_its_remedy(tmp_path: Path, name: str) -> None:
    at(tmp_path)
    (tmp_path / name).write_text("-----BEGIN NOTHING-----")
    with pytest.raises(CertificateBroken, match=rf"{name.split('.')[0]}\.pem.*back-up"):
        at(tmp_path)


def test_a_lost_authority_key_is_not_replaced_behind_anyones_back(tmp_path: Path) -> None:
    at(tmp_path)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(CertificateBroken, match="one of the two files is missing"):
        at(tmp_path)
