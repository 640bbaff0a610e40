"""Sign-in at an OpenID Connect provider: authorization code with PKCE, ID tokens by the provider's published keys.

What it says of itself and its keys are kept for an hour. A token by a key that is not known, or whose signature does
not fit any more, has the keys fetched again, now and then at most: so a provider may change keys at any time.
"""

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import httpx
import msgspec
import trio
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from paasd.auth.id_tokens import ALGORITHMS, Person, challenge_of, person_of, problem_of
from paasd.config import OidcConfig
from paasd.errors import ConfigError, PaasdError

KEEP_S: Final = 3600.0
REFETCH_S: Final = 10.0
"""Between two fetches of the keys that tokens by unknown keys cause."""
ANSWER_LIMIT_BYTES: Final = 256 * 1024
CALLS_LIMIT: Final = 8
"""Calls to one provider at once; more wait."""
LOCAL: Final = ("localhost", "127.0.0.1", "::1")


class ProviderError(PaasdError):
    """The provider did not sign somebody in; the detail says why."""


class Metadata(msgspec.Struct, kw_only=True):
    """The part of a provider's own description that is needed."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class Provider:
    """One provider, as one node knows it."""

    def __init__(self, name: str, config: OidcConfig, clock: Callable[[], float]) -> None:
        self.name = name
        self.config = config
        self.label = config.label or name
        self._clock = clock
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None
        self._calls = trio.CapacityLimiter(CALLS_LIMIT)
        _check_url(config.issuer, f"[auth.oidc.{name}] issuer")

    async def authorization_url(self, *, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where the browser goes. Raises ProviderError."""
        endpoint = (await self._describe()).authorization_endpoint
        query = {
            "response_type": "code",
            "client_id": self.config.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.config.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def person(self, *, code: str, redirect_uri: str, nonce: str, verifier: str) -> Person:
        """Whom the provider means by a code. Raises ProviderError."""
        claims = await self._claims(await self._redeem(code, redirect_uri, verifier))
        why = problem_of(self.config, claims, nonce, self._clock())
        found = person_of(self.config, claims) if why is None else why
        if isinstance(found, str):
            raise ProviderError(f"The answer of {self.label} is not believed: {found}")
        return found

    async def _redeem(self, code: str, redirect_uri: str, verifier: str) -> str:
        metadata = await self._describe()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
            "client_id": self.config.client_id,
        }
        headers = {}
        if self.config.client_secret_file:
            secret = (await _read(self.name, self.config.client_secret_file)).strip()
            if "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
                pair = f"{quote(self.config.client_id, safe='')}:{quote(secret, safe='')}"
                headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
            else:
                form["client_secret"] = secret
        answer = await self._call("POST", metadata.token_endpoint, data=form, headers=headers)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise ProviderError(f"{self.label} sent no ID token; is `openid` among the scopes?")
        return token

    async def _claims(self, token: str) -> dict[str, Any]:
        for attempt in range(2):
            keys = await self._published(again=attempt > 0)
            try:
                return dict(jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims)
            except (JoseError, ValueError, TypeError, KeyError):
                continue
        raise ProviderError(f"The answer of {self.label} is not believed: its signature is wrong")

    async def _describe(self) -> Metadata:
        now = self._clock()
        if self._metadata is not None and now - self._metadata[0] < KEEP_S:
            return self._metadata[1]
        url = self.config.issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            found = msgspec.convert(await self._call("GET", url), Metadata)
        except msgspec.ValidationError as error:
            raise ProviderError(f"{self.label} does not describe itself as a provider: {error}") from error
        if found.issuer != self.config.issuer:
            raise ProviderError(f"{self.label} calls itself {found.issuer[:200]}, not {self.config.issuer}")
        try:
            for endpoint in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
                _check_url(endpoint, self.label)
        except ConfigError as error:
            raise ProviderError(error.detail) from error
        self._metadata = (now, found)
        return found

    async def _published(self, *, again: bool) -> KeySet:
        now = self._clock()
        if self._keys is not None and now - self._keys[0] < (REFETCH_S if again else KEEP_S):
            return self._keys[1]
        answer = await self._call("GET", (await self._describe()).jwks_uri)
        try:
            keys = KeySet.import_key_set({"keys": [key for key in answer["keys"] if key.get("use", "sig") == "sig"]})
        except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ProviderError(f"The keys that {self.label} publishes cannot be read") from error
        self._keys = (now, keys)
        return keys

    async def _call(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        """The JSON object of an answer. Raises ProviderError."""
        try:
            async with self._calls, _http(self.config) as http, http.stream(method, url, **options) as answer:
                raw = b""
                async for piece in answer.aiter_bytes():
                    raw += piece
                    if len(raw) > ANSWER_LIMIT_BYTES:
                        raise ProviderError(f"{self.label} answers with more than {ANSWER_LIMIT_BYTES} bytes")
        except httpx.HTTPError as error:
            raise ProviderError(f"{self.label} cannot be reached now; try again in a moment") from error
        if answer.status_code != 200:
            todo = (
                "the operator checks client_id and client_secret_file" if answer.status_code == 401 else "sign in again"
            )
            raise ProviderError(f"{self.label} refused: it answered {answer.status_code}; {todo}")
        try:
            return msgspec.json.decode(raw, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProviderError(f"{self.label} does not answer with a JSON object") from error


@asynccontextmanager
async def _http(config: OidcConfig) -> AsyncIterator[httpx.AsyncClient]:
    verify: ssl.SSLContext | bool = True
    if config.ca_file:
        verify = await trio.to_thread.run_sync(lambda: ssl.create_default_context(cafile=config.ca_file))
    headers = {"Accept": "application/json"}
    async with httpx.AsyncClient(verify=verify, timeout=config.timeout_s, headers=headers) as http:
        yield http


async def _read(name: str, path: str) -> str:
    try:
        return await trio.Path(path).read_text()
    except OSError as error:
        raise ConfigError(f"[auth.oidc.{name}] client_secret_file {path} cannot be read: {error.strerror}") from error


def _check_url(url: str, what: str) -> None:
    """Raise ConfigError for an address over which anybody on the way could answer."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
        raise ConfigError(f"{what}: {url[:200]} is not an https URL")
    if not parts.hostname or parts.username is not None:
        raise ConfigError(f"{what}: {url[:200]} is not a URL of a provider")


def open_providers(configs: dict[str, OidcConfig], clock: Callable[[], float]) -> dict[str, Provider]:
    """All providers by name. Raises ConfigError."""
    for name, config in configs.items():
        if config.client_secret_file and not Path(config.client_secret_file).is_file():
            raise ConfigError(f"[auth.oidc.{name}] client_secret_file {config.client_secret_file} is not there")
    return {name: Provider(name, config, clock) for name, config in configs.items()}
