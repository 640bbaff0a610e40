"""What an ID token has to say before we believe that a provider sent somebody (OpenID Connect Core 3.1.3.7). Pure."""

import hashlib
from base64 import urlsafe_b64encode
from typing import Any, Final

import msgspec

from paasd.config import OidcConfig

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
"""Signatures with a key of the provider alone; never `none`, never one with a shared secret."""
SKEW_S: Final = 60
"""How far the provider's clock may be from ours."""
NAME_LIMIT: Final = 255


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a provider has sent."""

    subject: str
    username: str
    email: str = ""
    with_factor: bool = False


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def problem_of(config: OidcConfig, claims: dict[str, Any], nonce: str, now: float) -> str | None:
    """Why claims (of a token whose signature is right) are not believed; None when they are."""
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if claims.get("iss") != config.issuer:
        return "it is of another issuer"
    if not isinstance(audiences, list) or config.client_id not in audiences:
        return "it is for another audience"
    if (len(audiences) > 1 or "azp" in claims) and claims.get("azp") != config.client_id:
        return "it was given to another client"
    if not _number(claims.get("exp")) or claims["exp"] <= now - SKEW_S:
        return "it has expired"
    if not _number(claims.get("iat")) or claims["iat"] > now + SKEW_S:
        return "it is from the future; are the clocks right?"
    if claims.get("nonce") != nonce:
        return "it does not belong to this sign-in"
    return None


def person_of(config: OidcConfig, claims: dict[str, Any]) -> Person | str:
    """Whom believed claims are about, or why that cannot be said."""
    subject, username = claims.get("sub"), claims.get(config.user_name_claim)
    if not _name(subject):
        return "it names nobody"
    if not _name(username):
        return f"it has no claim {config.user_name_claim}; the operator sets user_name_claim to one that it has"
    if config.user_name_claim == "email" and claims.get("email_verified") is not True:
        return "its e-mail address was not verified there"
    methods = claims.get("amr")
    claimed = config.second_factor == "claimed" and isinstance(methods, list) and "mfa" in methods
    email = claims.get("email")
    return Person(
        subject=str(subject),
        username=str(username),
        email=email if isinstance(email, str) and _name(email) else "",
        with_factor=config.second_factor == "always" or claimed,
    )


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= NAME_LIMIT and value.isprintable() and value == value.strip()
