"""Certificates and signing requests of strangers: whatever is odd about them, there is one error."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from paasd import pki

NOW = datetime.now(UTC)
P256 = bytes.fromhex("06082a8648ce3d030107")
EC_KEY = bytes.fromhex("06072a8648ce3d0201")


def pem(der: bytes, what: str) -> bytes:
    return f"-----BEGIN {what}-----\n{base64.encodebytes(der).decode()}-----END {what}-----\n".encode()


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(der: bytes) -> bytes:
        assert old in der
        return der.replace(old, new, 1)

    return change


ODD = {
    "a curve that nobody knows": replaced(P256, P256[:-1] + b"\x06"),
    "a kind of key that nobody knows": replaced(EC_KEY, EC_KEY[:-1] + b"\x63"),
    "cut short": lambda der: der[: len(der) // 2],
    "nothing": lambda der: b"",
}


@pytest.mark.parametrize("change", [*ODD.values(), replaced(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07")])
def test_an_odd_certificate_is_refused_in_one_way(change: Callable[[bytes], bytes]) -> None:
    good = pki.make_authority("test", NOW).certificate
    assert pki.read_certificate(good).subject is not None
    der = x509.load_pem_x509_certificate(good).public_bytes(serialization.Encoding.DER)
    with pytest.raises(ValueError):
        pki.read_certificate(pem(change(der), "CERTIFICATE"))


@pytest.mark.parametrize("change", [*ODD.values(), replaced(b"\x02\x01\x00", b"\x02\x01\x05")])
def test_an_odd_request_is_refused_in_one_way(change: Callable[[bytes], bytes]) -> None:
    authority, good = pki.make_authority("test", NOW), pki.request(pki.new_key())
    assert pki.issue(authority, good, "x", pki.wildcard_names("x.org"), NOW, timedelta(1))
    der = x509.load_pem_x509_csr(good).public_bytes(serialization.Encoding.DER)
    with pytest.raises(ValueError):
        pki.issue(authority, pem(change(der), "CERTIFICATE REQUEST"), "x", [], NOW, timedelta(1))
