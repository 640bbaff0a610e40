"""Join tokens: one string that says where to go, whom to believe there, and by what right. Pure but for chance.

    paasd1-<role>-<id>-<secret>-<pin of the cluster's authority>-<endpoints>-<checksum>

The pin is checked before the secret leaves. The checksum finds typing errors, and nothing else.
"""

import base64
import hashlib
import re
import secrets
from typing import Final, cast

import msgspec

from paasd.errors import Unprocessable
from paasd.peer.interface import Role

_FORM: Final = re.compile(
    r"paasd1-(control|worker)-([a-z2-7]{10})-([a-z2-7]{26})-([0-9a-f]{64})-([a-z2-7]+)-([a-z2-7]{8})"
)
_SECRET_BYTES: Final = 16
_PREFIX: Final = "paasd1-"


class BadToken(Unprocessable):
    """The token cannot be used; the detail says why and what to do."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """`endpoints` are host and port of nodes that let others in; `pin` is the SPKI hash of the cluster's authority."""

    role: Role
    id: str
    secret: str
    pin: str
    endpoints: tuple[tuple[str, int], ...]

    def text(self) -> str:
        """The string for people."""
        places = _base32(",".join(f"{host}:{port}" for host, port in self.endpoints).encode())
        body = f"{_PREFIX}{self.role}-{self.id}-{self.secret}-{self.pin}-{places}"
        return f"{body}-{_checksum(body)}"


def new_token(role: Role, pin: str, endpoints: tuple[tuple[str, int], ...]) -> Token:
    """A token with a fresh id and secret."""
    identifier = _base32(secrets.token_bytes(6))
    return Token(
        role=role, id=identifier, secret=_base32(secrets.token_bytes(_SECRET_BYTES)), pin=pin, endpoints=endpoints
    )


def parse_token(text: str) -> Token:
    """Raises BadToken for what is no token, and for one that was mistyped."""
    text = "".join(text.split())
    if not text.startswith("paasd"):
        raise BadToken(f"this is no join token: tokens begin with {_PREFIX}; `paasd token create` on a node makes one")
    if not text.startswith(_PREFIX):
        raise BadToken("this token is of a newer paasd; install that release here first")
    match = _FORM.fullmatch(text)
    if match is None or match[6] != _checksum(text.rpartition("-")[0]):
        raise BadToken("the join token was mistyped or cut off; copy it whole")
    role, identifier, secret, pin, places, _ = match.groups()
    return Token(role=cast(Role, role), id=identifier, secret=secret, pin=pin, endpoints=_endpoints(places))


def _endpoints(places: str) -> tuple[tuple[str, int], ...]:
    found = []
    for place in base64.b32decode(places.upper() + "=" * (-len(places) % 8)).decode().split(","):
        host, _, port = place.rpartition(":")
        found.append((host, int(port)))
    return tuple(found)


def secret_hash(secret: str) -> str:
    """What is stored of a secret. It has 128 random bits, so nothing slower is needed."""
    return hashlib.sha256(b"paasd join\0" + secret.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _base32(hashlib.sha256(body.encode()).digest()[:5])


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
