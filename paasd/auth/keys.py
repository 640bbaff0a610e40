"""Signing keys: when to make the next one, and the sets to sign and to verify with. Pure over rows and time.

A key is published `key_publish_s` before it signs, so that every verifier has seen it, and stays published until the
last refresh token that it may have signed has expired.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from joserfc.jwk import ECKey, KeySet

from paasd.config import AuthConfig
from paasd.model import SigningKey
from paasd.state.sealing import Sealer

ALGORITHM = "ES256"


class NewKey(msgspec.Struct, frozen=True):
    """That a key has to be made: when it starts to sign and until when it has to be kept, in unix seconds."""

    active_from: int
    expires_at: int


def next_key(config: AuthConfig, rows: Sequence[SigningKey], now: int) -> NewKey | None:
    """The key to make now, if any.

    It signs at once when no other could sign a token that lives its whole life: at first start, and when the platform
    was away for longer than a key signs.
    """
    longest_s = max(config.refresh_token_s, config.access_token_s)
    signing = signing_row(rows, now)
    if signing is None or signing.expires_at < now + longest_s:
        active_from = now
    else:
        due = max(row.active_from for row in rows) + config.key_rotate_s
        if due - config.key_publish_s > now:
            return None
        active_from = max(due, now + config.key_publish_s)
    return NewKey(active_from, active_from + config.key_rotate_s + config.key_publish_s + longest_s)


def signing_row(rows: Sequence[SigningKey], now: int) -> SigningKey | None:
    """The newest key that may sign at `now`."""
    active = [row for row in rows if row.active_from <= now < row.expires_at]
    return max(active, key=lambda row: (row.active_from, row.kid), default=None)


def expired(rows: Sequence[SigningKey], now: int) -> list[SigningKey]:
    """Keys whose last token is dead."""
    return [row for row in rows if row.expires_at <= now]


def make_key(kid: str, sealer: Sealer) -> tuple[str, dict[str, Any]]:
    """A new key pair: (sealed private JWK, public JWK)."""
    key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": ALGORITHM}, private=True)
    private = msgspec.json.encode(key.as_dict(private=True))
    return sealer.seal(private, key_context(kid)), dict(key.as_dict(private=False))


def key_context(kid: str) -> str:
    """What the private key is sealed for; a sealed key cannot stand in for another."""
    return f"signing_key/{kid}"


class KeyRing:
    """The keys of one moment, unsealed: one that signs, all that verify."""

    def __init__(self, rows: Sequence[SigningKey], sealer: Sealer) -> None:
        self._rows = list(rows)
        self._sealer = sealer
        self._private: dict[str, ECKey] = {}
        self.public = KeySet([ECKey.import_key(row.public_jwk) for row in rows])

    def signing_key(self, now: int) -> tuple[str, ECKey] | None:
        """(kid, private key) to sign with at `now`."""
        row = signing_row(self._rows, now)
        if row is None:
            return None
        if row.kid not in self._private:
            private = self._sealer.open(row.sealed_private, key_context(row.kid))
            self._private[row.kid] = ECKey.import_key(msgspec.json.decode(private))
        return row.kid, self._private[row.kid]

    def published(self) -> list[dict[str, Any]]:
        """The public JWKs, newest first, as `/token_keys` lists them."""
        ordered = sorted(self._rows, key=lambda row: row.active_from, reverse=True)
        return [{**row.public_jwk, "use": "sig", "alg": ALGORITHM} for row in ordered]
