"""The door's judge: turns passwords and tokens into callers and new tokens, and keeps the signing keys fresh."""

import hashlib
import hmac
import secrets
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
import structlog
import trio

from paasd.auth.caller import Caller
from paasd.auth.keys import KeyRing, expired, make_key, next_key
from paasd.auth.passwords import Passwords
from paasd.auth.throttle import Throttle
from paasd.auth.tokens import ADMIN_SCOPE, INVALID, Client, Tokens, revocation_signature, scopes_of
from paasd.config import AuthConfig
from paasd.errors import InvalidToken, NotAuthenticated, PaasdError, Unavailable
from paasd.model import Setting, SigningKey, User, signing
from paasd.state import Database
from paasd.state.sealing import Sealer

KEY_CHECK_S = 300.0
REMEMBERED_LOGINS = 1000
REMEMBER_S = 300.0
CLIENT_SETTING = "oauth_client/"
# Wrong passwords from one address hurt many names; the address gets more tries than a name.
ADDRESS_FACTOR = 10


class OAuthError(PaasdError):
    """A refusal in the words of OAuth: `error` and `error_description` with a status."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.error = error


class Auth:
    """Passwords, tokens and keys of one node."""

    def __init__(
        self,
        config: AuthConfig,
        database: Database,
        sealer: Sealer,
        issuer: str,
        clock: Callable[[], float],
        *,
        signs: bool = True,
    ) -> None:
        self.config = config
        self.passwords = Passwords(config)
        self.tokens = Tokens(config, issuer)
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._signs = signs
        self._throttle = Throttle(config)
        self._remembered: OrderedDict[bytes, tuple[str, str, float]] = OrderedDict()
        self._remember_key = secrets.token_bytes(32)
        self.on_refused: Callable[[str, str, str], None] = lambda _address, _username, _why: None
        """Told who was turned away, and why."""

    async def login(self, username: str, password: str, address: str) -> User:
        """The user whose name and password these are. Raises OAuthError 401, after a wait for the guessers."""
        now = self._clock()
        name_key, address_key = f"name/{username.lower()}", f"address/{address}"
        wait_s = max(self._throttle.wait_s(name_key, now), self._throttle.wait_s(address_key, now))
        if wait_s > 0:
            self.on_refused(address, username, "too many failed attempts")
            raise OAuthError(
                401,
                "unauthorized",
                "Your account has been locked because of too many failed attempts to login;"
                f" try again in {wait_s:.0f} s",
            )
        user = self.find_user(username)
        if not await self.passwords.verify(None if user is None else user.password_hash, password) or user is None:
            now = self._clock()
            self._throttle.failed(name_key, now)
            self._throttle.failed(address_key, now, allowed=self.config.login_failures * ADDRESS_FACTOR)
            self.on_refused(address, username, "wrong name or password")
            raise OAuthError(401, "unauthorized", "Bad credentials")
        self._throttle.succeeded(name_key)
        return user

    async def basic(self, username: str, password: str, address: str) -> Caller:
        """The caller behind a name and password; a pair found right is remembered for a while, polls are cheap."""
        now = self._clock()
        digest = hmac.digest(self._remember_key, f"{username}\0{password}".encode(), "sha256")
        known = self._remembered.get(digest)
        if known is not None:
            guid, signature, until = known
            user = self._user(guid)
            if user is not None and until > now and hmac.compare_digest(signature, revocation_signature(user)):
                return caller_of_user(user, scopes_of(user), "cf")
            del self._remembered[digest]
        try:
            user = await self.login(username, password, address)
        except OAuthError as error:
            raise NotAuthenticated(f"Authentication error: {error.detail}") from error
        self._remembered[digest] = (user.guid, revocation_signature(user), now + REMEMBER_S)
        while len(self._remembered) > REMEMBERED_LOGINS:
            self._remembered.popitem(last=False)
        return caller_of_user(user, scopes_of(user), "cf")

    def caller(self, token: str) -> Caller:
        """The caller behind an access token. Raises InvalidToken, also when the user is gone or was signed out."""
        claims = self.tokens.verify_access(token, int(self._clock()))
        scopes = tuple(str(scope) for scope in claims["scope"])
        client_id = str(claims["client_id"])
        if "user_id" not in claims:
            client = self.find_client(client_id)
            if client is None or client.secret_revision != claims.get("rev_sig"):
                raise InvalidToken(INVALID)
            return Caller(
                user_guid=client_id, username=client_id, admin=ADMIN_SCOPE in scopes, scopes=scopes, client=client_id
            )
        user = self._checked_user(str(claims["user_id"]), claims)
        # The scopes of the row count too: an admin who is one no longer loses it at once.
        return caller_of_user(user, tuple(scope for scope in scopes if scope in scopes_of(user)), client_id)

    async def password_grant(
        self, client: Client, username: str, password: str, address: str, scopes: Sequence[str]
    ) -> dict[str, object]:
        """Grant type password: the token reply."""
        return self.grant(client, await self.login(username, password, address), scopes)

    def grant(self, client: Client, user: User, scopes: Sequence[str]) -> dict[str, object]:
        """The token reply for a user who has proved who they are; `scopes` narrows, empty means all."""
        allowed = scopes_of(user)
        wanted = tuple(scope for scope in scopes if scope in allowed) if scopes else allowed
        if not wanted:
            raise OAuthError(400, "invalid_scope", f"None of the scopes asked for is granted: {' '.join(scopes)}")
        return self.tokens.issue(user, client.client_id, wanted, int(self._clock()), uuid.uuid4().hex)

    def refresh_grant(self, client: Client, token: str) -> dict[str, object]:
        """Grant type refresh_token: a new pair. Raises OAuthError 401 invalid_token."""
        try:
            claims = self.tokens.verify_refresh(token, int(self._clock()))
            if claims["client_id"] != client.client_id:
                raise InvalidToken("Wrong client for this refresh token")
            user = self._checked_user(str(claims["sub"]), claims)
        except InvalidToken as error:
            raise OAuthError(401, "invalid_token", f"{error.detail}; sign in again") from error
        return self.grant(client, user, [str(scope) for scope in claims["granted_scopes"]])

    def client_grant(self, client: Client, scopes: Sequence[str]) -> dict[str, object]:
        """Grant type client_credentials: a token for the client itself."""
        wanted = tuple(scope for scope in scopes if scope in client.scopes) if scopes else client.scopes
        if not wanted:
            raise OAuthError(400, "invalid_scope", f"None of the scopes asked for is granted: {' '.join(scopes)}")
        return self.tokens.issue_for_client(client, wanted, int(self._clock()), uuid.uuid4().hex)

    async def client(self, client_id: str, secret: str, address: str) -> Client:
        """The client with this id and secret. Raises OAuthError 401 invalid_client."""
        client = self.find_client(client_id)
        key = f"client/{client_id}/{address}"
        if self._throttle.wait_s(key, self._clock()) > 0:
            raise OAuthError(401, "invalid_client", "Too many wrong secrets; try again later")
        if client is not None and client.secret_hash is None and secret == "":
            return client
        stored = None if client is None else client.secret_hash
        if client is None or not await self.passwords.verify(stored, secret):
            self._throttle.failed(key, self._clock())
            raise OAuthError(401, "invalid_client", "Bad credentials")
        return client

    def find_client(self, client_id: str) -> Client | None:
        """A built-in client, or one that an operator registered."""
        if client_id == "cf":
            return Client(client_id="cf")
        with self._database.read() as tx:
            setting = tx.get(Setting, CLIENT_SETTING + client_id)
        return None if setting is None else msgspec.json.decode(setting.value, type=Client)

    def find_user(self, username: str, origin: str = "uaa") -> User | None:
        """A user by name; names are compared as written."""
        with self._database.read() as tx:
            return tx.find(User, username=username, origin=origin)

    def published_keys(self) -> list[dict[str, object]]:
        """The public keys, newest first."""
        return [] if self.tokens.ring is None else self.tokens.ring.published()

    async def refresh_keys(self) -> None:
        """Read the key rows, and make or drop one when it is time."""
        now = int(self._clock())
        with self._database.read() as tx:
            rows = signing.signing_keys(tx)
        self.tokens.ring = KeyRing(rows, self._sealer)
        if not self._signs:
            return
        wanted = next_key(self.config, rows, now)
        if wanted is not None:
            kid = uuid.uuid4().hex[:16]
            sealed, public = make_key(kid, self._sealer)
            arguments = signing.AddSigningKey(
                kid=kid,
                sealed_private=sealed,
                public_jwk=public,
                active_from=wanted.active_from,
                expires_at=wanted.expires_at,
                after_kid=rows[-1].kid if rows else None,
            )
            await self._database.write(signing.add_signing_key, arguments)
        if expired(rows, now):
            await self._database.write(signing.drop_signing_keys, signing.DropSigningKeys(expired_at=now))
        with self._database.read() as tx:
            self.tokens.ring = KeyRing(tx.all(SigningKey, order=("active_from", "kid")), self._sealer)

    def _user(self, guid: str) -> User | None:
        with self._database.read() as tx:
            return tx.get(User, guid)

    def _checked_user(self, guid: str, claims: dict[str, object]) -> User:
        user = self._user(guid)
        issued = claims["iat"]
        if user is None or claims.get("rev_sig") != revocation_signature(user):
            raise InvalidToken(INVALID)
        if not isinstance(issued, int) or issued < user.not_before:
            raise InvalidToken(INVALID)
        return user


def caller_of_user(user: User, scopes: tuple[str, ...], client_id: str) -> Caller:
    """The caller that a user's row and the scopes of a token make."""
    return Caller(
        user_guid=user.guid,
        username=user.username,
        admin=ADMIN_SCOPE in scopes,
        scopes=scopes,
        client=client_id,
        origin=user.origin,
    )


def secret_revision(secret_hash: str) -> str:
    """Changes with a client's secret; tokens carry it, so that a new secret ends the old ones."""
    return hashlib.sha256(secret_hash.encode()).hexdigest()[:16]


@asynccontextmanager
async def open_auth(
    config: AuthConfig,
    database: Database,
    sealer: Sealer,
    *,
    issuer: str,
    clock: Callable[[], float] = time.time,
    signs: bool = True,
) -> AsyncIterator[Auth]:
    """The judge, with its keys read and, at first start, made. `issuer` stands in every token.

    Without `signs` (a worker) it judges by the keys that others publish.
    """
    auth = Auth(config, database, sealer, issuer, clock, signs=signs)
    log = structlog.get_logger("paasd.auth")
    try:
        await auth.refresh_keys()
    except Unavailable as error:  # a cluster without quorum: the keys that there are go on counting
        log.warning("signing keys not refreshed", error=error.detail)

    async def keep_keys() -> None:
        async with database.watch("signing_keys") as changes:
            while True:
                with trio.move_on_after(KEY_CHECK_S):
                    await changes.wait()
                changes.take()
                try:
                    await auth.refresh_keys()
                except PaasdError as error:
                    log.warning("signing keys not refreshed", error=error.detail)
                    await trio.sleep(5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_keys)
        try:
            yield auth
        finally:
            nursery.cancel_scope.cancel()
