"""The door's judge: turns passwords and tokens into callers and new tokens, and keeps the signing keys fresh."""

import hmac
import re
import secrets
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from paasd.auth.accounts import Accounts
from paasd.auth.caller import ADMIN_SCOPE, USER_SCOPES, Caller, client_caller
from paasd.auth.demands import demanding
from paasd.auth.deploy import PREFIX as DEPLOY_PREFIX
from paasd.auth.deploy import DeployTokens
from paasd.auth.factors import NEEDED, WRONG, Factors
from paasd.auth.guesses import Guesses, folded
from paasd.auth.keeping import keep_keys
from paasd.auth.keys import KeyRing
from paasd.auth.notes import Notes
from paasd.auth.oidc import open_providers
from paasd.auth.passwords import Asker, Passwords
from paasd.auth.throttle import Throttle
from paasd.auth.tokens import (
    EXPIRED,
    INVALID,
    WITH_FACTOR,
    Client,
    Tokens,
    client_of_row,
    revocation_signature,
    scopes_of,
)
from paasd.auth.totp import hash_code
from paasd.config import AuthConfig
from paasd.errors import InvalidToken, NotAuthenticated, PaasdError
from paasd.model import Passcode, Setting, User, signing
from paasd.model.clients import PREFIX as CLIENT_SETTING
from paasd.model.passcodes import UsePasscode, use_passcode
from paasd.model.users import NoteSignIn, note_sign_in
from paasd.sources import source_of
from paasd.state import Database
from paasd.state.sealing import Sealer

REMEMBERED_LOGINS = 1000
REMEMBER_S = 300.0
NOTE_ADMIN_S = 3600.0
WITH_CODE = re.compile(r"(.+?) ?([0-9]{6})", re.DOTALL)


class OAuthError(PaasdError):
    """A refusal in the words of OAuth: `error` and `error_description` with a status."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.error = error


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who has proved who they are, when (unix seconds), and whether with a second factor."""

    user: User
    at: int
    with_factor: bool = False


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
        self.factors = Factors(database, sealer, clock)
        self.notes = Notes(database, clock)
        self.accounts = Accounts(config, database, signs=signs)
        self.deploy = DeployTokens(database, clock, self.notes, self.accounts)
        self.providers = open_providers(config.oidc, clock) if signs else {}
        self._guesses = Guesses(config)
        self._throttle = Throttle(config)
        self._remembered: OrderedDict[bytes, tuple[str, str, float]] = OrderedDict()
        self._remember_key = secrets.token_bytes(32)
        self.on_refused: Callable[[str, str, str], None] = lambda _address, _username, _why: None
        """Told who was turned away, and why."""

    async def login(self, username: str, password: str, address: str, code: str = "") -> SignIn:
        """The user whose name and password these are. Raises OAuthError 401, after a wait for the guessers.

        Who has a second factor gives a code of it, too, or writes its six digits behind the password.
        """
        self._check_throttle(username, address)
        user = self.find_user(username)
        factor = None if user is None else self.factors.of(user)
        right, code = await self._verify(user, factor is not None, password, code, self.asker(username, address))
        why = "Bad credentials"
        # Once more: of many guesses that came at once, those that were hashed after the limit count for nothing.
        self._check_throttle(username, address)
        if right and user is not None:
            self._need_open(user, address)
            if factor is None:
                self._guesses.succeeded(username, address, self._clock())
                return SignIn(user=user, at=self._now)
            if not code:
                raise OAuthError(401, "unauthorized", NEEDED)
            if await self.factors.take(factor, code, address):
                self._guesses.succeeded(username, address, self._clock())
                return SignIn(user=user, at=self._now, with_factor=True)
            why = WRONG
        self._refused(username, address, why)
        raise OAuthError(401, "unauthorized", why)

    def _need_open(self, user: User, address: str = "") -> None:
        """Raise OAuthError 401 for one who has shown who they are and may not come in; with `address` that is told."""
        if why := self.accounts.why_shut(user):
            if address:
                self.on_refused(address, user.username, why)
            raise OAuthError(401, "unauthorized", why)

    def asker(self, username: str, address: str) -> Asker:
        """As whom the hashing of passwords counts somebody."""
        known = self._guesses.is_known(username, address, self._clock())
        return Asker(address=address, name=folded(username), known=known)

    async def _verify(
        self, user: User | None, has_factor: bool, password: str, code: str, asker: Asker
    ) -> tuple[bool, str]:
        """Whether the password is right, and the code, which may be its last six digits.

        They may also be the password's own, so both are tried; of everybody, that the time tells nothing.
        """
        stored = None if user is None else user.password_hash
        split = None if code else WITH_CODE.fullmatch(password)
        if split is None:
            return await self.passwords.verify(stored, password, asker), code
        if await self.passwords.verify(stored if has_factor else None, split[1], asker):
            return True, split[2]
        return await self.passwords.verify(stored, password, asker), ""

    def _refused(self, username: str, address: str, why: str) -> None:
        self._guesses.failed(username, address, self._clock())
        self.on_refused(address, username, "wrong name or password" if why == "Bad credentials" else why)

    def _check_throttle(self, username: str, address: str) -> None:
        """Raise OAuthError 401 while guesses have to wait; without a name, those that name nobody."""
        now = self._clock()
        guesses = self._guesses
        wait_s = guesses.wait_s(username, address, now) if username else guesses.source_wait_s(address, now)
        if wait_s > 0:
            self.on_refused(address, username, "too many failed attempts")
            raise OAuthError(
                401,
                "unauthorized",
                "Your account has been locked because of too many failed attempts to login;"
                f" try again in {wait_s:.0f} s",
            )

    def seen(self, caller: Caller) -> None:
        """Somebody is signed in where `caller.address` is: guesses of others will not keep them out there."""
        if caller.actor_type == "user":
            self._guesses.seen(caller.username, caller.address, self._clock())

    async def second_step(self, user: User, code: str, address: str) -> None:
        """Check a code of one who has shown who they are otherwise. Raises OAuthError 401, as `login`."""
        self._check_throttle(user.username, address)
        factor = self.factors.of(user)
        if factor is None or not await self.factors.take(factor, code, address):
            self._refused(user.username, address, WRONG)
            raise OAuthError(401, "unauthorized", WRONG)
        self._guesses.succeeded(user.username, address, self._clock())

    async def check_password(self, user: User, password: str, address: str) -> None:
        """Check a password of one who is signed in; guesses wait as at sign-in. Raises OAuthError 401."""
        self._check_throttle(user.username, address)
        right = await self.passwords.verify(user.password_hash, password, self.asker(user.username, address))
        self._check_throttle(user.username, address)
        if not right:
            self._refused(user.username, address, "Bad credentials")
            raise OAuthError(401, "unauthorized", "Old password is incorrect")

    def is_whole(self, caller: Caller) -> bool:
        """Whether a caller has every scope of its user: a narrowed token must not become a wide one."""
        user = self.accounts.get(caller.user_guid)
        if user is None:
            return False
        signed_in = SignIn(user=user, at=caller.signed_in_at, with_factor=caller.with_factor)
        return set(self.scopes_of(signed_in)) <= set(caller.scopes)

    async def passcode(self, code: str, address: str, found: Callable[[Caller], None]) -> SignIn:
        """Whom a passcode was made for, of whom `found` is told first; it counts once. Raises OAuthError 401."""
        self._check_throttle("", address)
        hashed = hash_code(code)
        with self._database.read() as tx:
            used = tx.get(Passcode, hashed)
        user = None if used is None else self.accounts.get(used.user_guid)
        if used is not None and user is not None:  # what strangers make up is never written
            self._need_open(user, address)
            found(self.caller_of(self._by_passcode(user, used)))
            used = await self._database.write(use_passcode, UsePasscode(code_hash=hashed, address=address))
        if used is None or user is None:
            self._guesses.source_failed(address, self._clock())
            self.on_refused(address, "", "wrong passcode")
            raise OAuthError(401, "unauthorized", "Invalid passcode: it counts once, within five minutes; get another")
        return self._by_passcode(user, used)

    def _by_passcode(self, user: User, used: Passcode) -> SignIn:
        return SignIn(user=user, at=used.signed_in_at or self._now, with_factor=used.with_factor)

    async def basic(self, username: str, password: str, address: str) -> Caller:
        """The caller behind a name and password; a pair found right is remembered for a while, polls are cheap."""
        now = self._clock()
        digest = hmac.digest(self._remember_key, f"{username}\0{password}".encode(), "sha256")
        known = self._remembered.get(digest)
        if known is not None:
            guid, signature, until = known
            user = self.accounts.get(guid)
            if user is not None and until > now and hmac.compare_digest(signature, revocation_signature(user)):
                return self.caller_of(SignIn(user=user, at=self._now))
            del self._remembered[digest]
        if username.startswith(DEPLOY_PREFIX):
            return self.deploy.caller_by_secret(username, password)
        try:
            signed_in = await self.login(username, password, address)
        except OAuthError as error:
            raise NotAuthenticated(f"Authentication error: {error.detail}") from error
        user = signed_in.user
        if not signed_in.with_factor:  # a code counts once
            self._remembered[digest] = (user.guid, revocation_signature(user), now + REMEMBER_S)
        while len(self._remembered) > REMEMBERED_LOGINS:
            self._remembered.popitem(last=False)
        return self.caller_of(signed_in)

    def caller_of(self, signed_in: SignIn, scopes: tuple[str, ...] | None = None, client_id: str = "cf") -> Caller:
        """The caller that a user's row and the scopes of a token make. Raises InvalidToken for who may not come in."""
        self.accounts.check(signed_in.user)
        user, allowed = signed_in.user, self.scopes_of(signed_in)
        whole = Caller(
            user_guid=user.guid,
            username=user.username,
            admin=ADMIN_SCOPE in allowed,
            scopes=allowed,
            client=client_id,
            origin=user.origin,
            with_factor=signed_in.with_factor,
            signed_in_at=signed_in.at,
            signature=revocation_signature(user),
            hidden_organizations=() if signed_in.with_factor else demanding(self._database, user),
        )
        return whole if scopes is None else whole.narrowed(scopes)

    def scopes_of(self, signed_in: SignIn) -> tuple[str, ...]:
        """What a token may carry after such a sign-in."""
        if self.config.admins_need_second_factor and not signed_in.with_factor:
            return USER_SCOPES
        return scopes_of(signed_in.user)

    def caller(self, token: str) -> Caller:
        """The caller behind an access token. Raises InvalidToken, also when the user is gone or was signed out."""
        claims = self.tokens.verify_access(token, self._now)
        return msgspec.structs.replace(self._bearer(claims), expires_at=claims["exp"])

    def _bearer(self, claims: dict[str, Any]) -> Caller:
        scopes = tuple(str(scope) for scope in claims["scope"])
        client_id = str(claims["client_id"])
        if client_id.startswith(DEPLOY_PREFIX):
            return self.deploy.caller_by_name(client_id, scopes)
        if "user_id" not in claims:
            client = self.find_client(client_id)
            if client is None or client.secret_revision != claims.get("rev_sig"):
                raise InvalidToken(INVALID)
            return client_caller(client_id, client.scopes, client.secret_revision).narrowed(scopes)
        return self.caller_of(self._checked(str(claims["user_id"]), claims), scopes, client_id)

    async def password_grant(
        self, client: Client, username: str, password: str, address: str, scopes: Sequence[str], code: str = ""
    ) -> dict[str, object]:
        """Grant type password: the token reply. That an administrator came in is noted, now and then."""
        signed_in = await self.login(username, password, address, code)
        reply = self.grant(client, signed_in, scopes)
        if ADMIN_SCOPE in str(reply["scope"]).split() and not signed_in.with_factor:  # with one it is written already
            note = NoteSignIn(user_guid=signed_in.user.guid, address=address)
            self.notes.once(f"admin/{signed_in.user.guid}/{address}", NOTE_ADMIN_S, note_sign_in, note)
        return reply

    def grant(self, client: Client, signed_in: SignIn, scopes: Sequence[str]) -> dict[str, object]:
        """The token reply for a user who has proved who they are; `scopes` narrows, empty means all."""
        allowed = self.scopes_of(signed_in)
        wanted = tuple(scope for scope in scopes if scope in allowed) if scopes else allowed
        if not wanted:
            raise OAuthError(400, "invalid_scope", f"None of the scopes asked for is granted: {' '.join(scopes)}")
        self._need_open(signed_in.user)
        now, jti = self._now, uuid.uuid4().hex
        return self.tokens.issue(
            signed_in.user,
            client.client_id,
            wanted,
            now,
            jti,
            with_factor=signed_in.with_factor,
            signed_in_at=signed_in.at,
            session_s=self.accounts.session_s(signed_in.user),
        )

    def refresh_grant(self, client: Client, token: str) -> dict[str, object]:
        """Grant type refresh_token: a new pair. Raises OAuthError 401 invalid_token."""
        try:
            claims = self.tokens.verify_refresh(token, self._now)
            if claims["client_id"] != client.client_id:
                raise InvalidToken("Wrong client for this refresh token; sign in again")
            signed_in = self._checked(str(claims["sub"]), claims)
            self.accounts.check(signed_in.user)
            if signed_in.at + self.accounts.session_s(signed_in.user) <= self._now:
                raise InvalidToken(EXPIRED)
        except InvalidToken as error:
            raise OAuthError(401, "invalid_token", error.detail) from error
        return self.grant(client, signed_in, [str(scope) for scope in claims["granted_scopes"]])

    def client_grant(self, client: Client, scopes: Sequence[str]) -> dict[str, object]:
        """Grant type client_credentials: a token for the client itself."""
        wanted = tuple(scope for scope in scopes if scope in client.scopes) if scopes else client.scopes
        if not wanted:
            raise OAuthError(400, "invalid_scope", f"None of the scopes asked for is granted: {' '.join(scopes)}")
        return self.tokens.issue_for_client(client, wanted, self._now, uuid.uuid4().hex)

    async def client(self, client_id: str, secret: str, address: str) -> Client:
        """The client with this id and secret. Raises OAuthError 401 invalid_client."""
        if client_id.startswith(DEPLOY_PREFIX):
            try:
                return self.deploy.client(client_id, secret)
            except InvalidToken as error:
                self.on_refused(address, client_id, error.detail)
                raise OAuthError(401, "invalid_client", error.detail) from error
        client = self.find_client(client_id)
        key = f"client/{client_id}/{source_of(address)}"
        self._check_client_throttle(key, client_id, address)
        if client is not None and client.secret_hash is None and secret == "":
            return client
        stored = None if client is None else client.secret_hash
        right = await self.passwords.verify(stored, secret, Asker(address=address))
        self._check_client_throttle(key, client_id, address)  # once more, as for users
        if client is None or not right:
            self._throttle.failed(key, self._clock())
            self.on_refused(address, client_id, "wrong client secret")
            raise OAuthError(401, "invalid_client", "Bad credentials")
        return client

    def _check_client_throttle(self, key: str, client_id: str, address: str) -> None:
        if self._throttle.wait_s(key, self._clock()) > 0:
            self.on_refused(address, client_id, "too many wrong secrets")
            raise OAuthError(401, "invalid_client", "Too many wrong secrets; try again later")

    def find_client(self, client_id: str) -> Client | None:
        """A built-in client, or one that an operator registered."""
        if client_id == "cf":
            return Client(client_id="cf")
        with self._database.read() as tx:
            setting = tx.get(Setting, CLIENT_SETTING + client_id)
        return None if setting is None else client_of_row(setting)

    def find_user(self, username: str, origin: str = "uaa") -> User | None:
        """A user by name, of whatever case its letters of ASCII are."""
        return self.accounts.find(username, origin)

    def published_keys(self) -> list[dict[str, object]]:
        """The public keys, newest first."""
        return [] if self.tokens.ring is None else self.tokens.ring.published()

    async def refresh_keys(self) -> None:
        """Read the key rows, and make or drop one when it is time."""
        with self._database.read() as tx:
            self.tokens.ring = KeyRing(signing.signing_keys(tx), self._sealer)
        if self._signs:
            now = self._now
            self.tokens.ring = await keep_keys(self._database, self._sealer, self.config, now)

    @property
    def _now(self) -> int:
        return int(self._clock())

    def _checked(self, guid: str, claims: dict[str, object]) -> SignIn:
        """The sign-in that a token stands for. Its `rev_sig` is made of `not_before`, so it tells older ones."""
        user = self.accounts.still(guid, claims.get("rev_sig"))
        methods, at = claims.get("amr"), claims.get("auth_time", claims.get("iat"))  # tokens from before have no time
        with_factor = isinstance(methods, list) and WITH_FACTOR in methods
        return SignIn(user=user, at=at if isinstance(at, int) else 0, with_factor=with_factor)
