"""What sign-in answers with, in the words of OAuth, OpenID and UAA."""

from typing import Literal

from msgspec import UNSET, UnsetType

from paasd.api.answers import Answer, Nothing


class Version(Answer):
    """Of UAA, as clients know it."""

    version: str


class LoginLinks(Answer):
    """Where one signs in; addresses, not objects."""

    uaa: str
    login: str


class Login(Answer):
    """What a client asks a person for: of each prompt its kind and its text."""

    app: Version
    commit_id: str
    links: LoginLinks
    zone_name: str
    entityID: str
    idpDefinitions: Nothing
    prompts: dict[str, tuple[str, str]]


class TokenShown(Answer):
    """An access token, good for `expires_in` seconds; a client that signs in for itself gets no refresh token."""

    access_token: str
    token_type: Literal["bearer"]
    expires_in: int
    scope: str
    jti: str
    refresh_token: str | UnsetType = UNSET


class PublicKey(Answer):
    """A public key, as a JWK."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: str
    y: str
    kid: str
    use: Literal["sig"]
    alg: Literal["ES256"]


class KeySet(Answer):
    """All public keys, newest first."""

    keys: list[PublicKey]


class Discovery(Answer):
    """OpenID discovery."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    grant_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    id_token_signing_alg_values_supported: list[str]
    response_types_supported: list[str]
    subject_types_supported: list[str]
    scopes_supported: list[str]


class UserInfo(Answer):
    """Who a token is about."""

    sub: str
    user_id: str
    user_name: str


class ClientShown(Answer):
    """A client that signs in for itself, without its secret."""

    client_id: str
    authorities: list[str]
    scope: list[str]
    authorized_grant_types: list[str]


class Clients(Answer):
    """All that are registered."""

    resources: list[ClientShown]
    startIndex: int
    itemsPerPage: int
    totalResults: int


class ClientGone(Answer):
    """One that was registered."""

    client_id: str
