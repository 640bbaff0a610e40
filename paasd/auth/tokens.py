"""Making and checking tokens. Pure but for the keys; the caller gives the time in unix seconds."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError

from paasd.auth.caller import ADMIN_SCOPE, ADMIN_SCOPES, USER_SCOPES
from paasd.auth.keys import ALGORITHM, KeyRing
from paasd.config import AuthConfig
from paasd.errors import InvalidToken, Unavailable
from paasd.model import Setting, User

INVALID = "Invalid Auth Token; sign in again"
EXPIRED = "Invalid Auth Token; it has expired, sign in again"
WITH_FACTOR = "mfa"
"""What `amr` of a token says after a second factor (RFC 8176)."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """An OAuth client. `secret_hash` None stands for the empty secret of a public client such as the cf CLI.

    `life_s` is the longest that a token for the client itself may live.
    """

    client_id: str
    secret_hash: str | None = None
    grants: tuple[str, ...] = ("password", "refresh_token")
    scopes: tuple[str, ...] = USER_SCOPES
    secret_revision: str = ""
    life_s: int | None = None


def client_of_row(row: Setting) -> Client:
    """A registered client as its row holds it."""
    return msgspec.json.decode(row.value, type=Client)


def scopes_of(user: User) -> tuple[str, ...]:
    """What a token of `user` may carry."""
    wide = ADMIN_SCOPES if ADMIN_SCOPE in user.scopes else USER_SCOPES
    return tuple(sorted({*wide, *user.scopes}))


def revocation_signature(user: User) -> str:
    """Changes with the password and with `not_before`, so that older tokens of the user stop to match."""
    return hashlib.sha256(f"{user.guid}|{user.password_hash}|{user.not_before}".encode()).hexdigest()[:16]


class Tokens:
    """Issues and verifies JWTs with the keys of the ring at hand."""

    def __init__(self, config: AuthConfig, issuer: str) -> None:
        self._config = config
        self.issuer = issuer
        self.ring: KeyRing | None = None

    def issue(
        self,
        user: User,
        client_id: str,
        scopes: Sequence[str],
        now: int,
        jti: str,
        *,
        with_factor: bool,
        signed_in_at: int,
        session_s: int,
    ) -> dict[str, Any]:
        """The token reply for a user: access and refresh token, which say whether a second factor was shown, and when.

        However often they are exchanged, none of the latter lives longer than `session_s` after the sign-in.
        """
        claims: dict[str, Any] = {
            "sub": user.guid,
            "user_id": user.guid,
            "user_name": user.username,
            "email": user.email or user.username,
            "origin": user.origin,
            "client_id": client_id,
            "cid": client_id,
            "azp": client_id,
            "rev_sig": revocation_signature(user),
            "amr": [WITH_FACTOR] if with_factor else ["pwd"],
            "auth_time": signed_in_at,
        }
        reply = self._reply(claims, scopes, now, jti)
        refresh = {
            **claims,
            **self._times(now, min(self._config.refresh_token_s, signed_in_at + session_s - now)),
            "jti": f"{jti}-r",
            "granted_scopes": list(scopes),
            "aud": [client_id],
        }
        reply["refresh_token"] = self._sign(refresh, now)
        return reply

    def issue_for_client(self, client: Client, scopes: Sequence[str], now: int, jti: str) -> dict[str, Any]:
        """The token reply for a client that acts for itself; it has no user and no refresh token."""
        name = client.client_id
        claims = {"sub": name, "client_id": name, "cid": name, "azp": name, "rev_sig": client.secret_revision}
        return self._reply(claims, scopes, now, jti, client.life_s)

    def verify_access(self, token: str, now: int) -> dict[str, Any]:
        """The claims of an access token. Raises InvalidToken: bad form, signature, issuer, time or kind."""
        claims = self._verify(token, now)
        if "granted_scopes" in claims or not isinstance(claims.get("scope"), list):
            raise InvalidToken(INVALID)
        return claims

    def verify_refresh(self, token: str, now: int) -> dict[str, Any]:
        """The claims of a refresh token. Raises InvalidToken."""
        claims = self._verify(token, now)
        if not isinstance(claims.get("granted_scopes"), list):
            raise InvalidToken("The refresh token is not one; sign in again")
        return claims

    def _reply(
        self, claims: dict[str, Any], scopes: Sequence[str], now: int, jti: str, limit_s: int | None = None
    ) -> dict[str, Any]:
        life_s = self._config.access_token_s if limit_s is None else min(limit_s, self._config.access_token_s)
        audience = sorted({scope.rpartition(".")[0] or scope for scope in scopes} | {claims["client_id"]})
        access = {
            **claims,
            **self._times(now, life_s),
            "jti": jti,
            "scope": list(scopes),
            "aud": audience,
            "zid": "uaa",
            "grant_type": "password" if "user_id" in claims else "client_credentials",
        }
        return {
            "access_token": self._sign(access, now),
            "token_type": "bearer",
            "expires_in": life_s - 1,
            "scope": " ".join(scopes),
            "jti": jti,
        }

    def _times(self, now: int, life_s: int) -> dict[str, Any]:
        return {"iss": self.issuer, "iat": now, "exp": now + life_s}

    def _sign(self, claims: dict[str, Any], now: int) -> str:
        found = self.ring.signing_key(now) if self.ring is not None else None
        if found is None:
            raise Unavailable("There is no token-signing key yet; try again in a moment")
        kid, key = found
        return jwt.encode({"alg": ALGORITHM, "kid": kid}, claims, key, algorithms=[ALGORITHM])

    def _verify(self, token: str, now: int) -> dict[str, Any]:
        if self.ring is None:
            raise Unavailable("The token-signing keys are not read yet; try again in a moment")
        try:
            claims = jwt.decode(token, self.ring.public, algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise InvalidToken(INVALID) from error
        expires, issued = claims.get("exp"), claims.get("iat")
        if not isinstance(expires, int) or not isinstance(issued, int) or claims.get("iss") != self.issuer:
            raise InvalidToken(INVALID)
        if expires <= now:
            raise InvalidToken(EXPIRED)
        if not isinstance(claims.get("sub"), str) or not isinstance(claims.get("client_id"), str):
            raise InvalidToken(INVALID)
        return dict(claims)
