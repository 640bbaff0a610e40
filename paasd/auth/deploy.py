"""Deploy tokens at the door: `paasd-deploy-<id>.<secret>` whole, or as client id and secret, or exchanged for a JWT.

The secret has 256 random bits, so a plain hash is enough, and guessing needs no throttle.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from paasd.auth.accounts import Accounts
from paasd.auth.caller import DEPLOY_TOKEN, Caller
from paasd.auth.notes import Notes
from paasd.auth.tokens import Client
from paasd.errors import InvalidToken
from paasd.model import DeployToken, User
from paasd.model.deploy_tokens import NoteDeployTokenUse, note_deploy_token_use, why_dead
from paasd.state import Database, ReadTx

PREFIX: Final = "paasd-deploy-"
FORM: Final = re.compile(r"(paasd-deploy-[0-9a-f]{32})\.([A-Za-z0-9_-]{43})")
SCOPES: Final = ("cloud_controller.read", "cloud_controller.write")
READ_SCOPES: Final = ("cloud_controller.read",)
UNKNOWN: Final = "The deploy token is not known: it was revoked, or copied wrong; `paasd deploy-token list` shows all"
NOTE_AGAIN_S: Final = 60.0
"""After which the first use of a day is noted again, if it is not known yet."""


def new_secret() -> str:
    """256 random bits, 43 characters."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """What a row keeps."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def client_id_of(guid: str) -> str:
    """The name under which a token signs in."""
    return PREFIX + guid.replace("-", "")


def whole_token(guid: str, secret: str) -> str:
    """Name and secret in one piece, as it is shown once."""
    return f"{client_id_of(guid)}.{secret}"


def scopes_for(role: str) -> tuple[str, ...]:
    """What a token of this role may carry."""
    return READ_SCOPES if role.endswith("_auditor") else SCOPES


class DeployTokens:
    """Judges deploy tokens of one node, and notes on which day they were used."""

    def __init__(self, database: Database, clock: Callable[[], float], notes: Notes, accounts: Accounts) -> None:
        self._accounts = accounts
        self._database = database
        self._clock = clock
        self._notes = notes

    def caller(self, text: str) -> Caller:
        """Who a whole token stands for. Raises InvalidToken."""
        match = FORM.fullmatch(text)
        if match is None:
            raise InvalidToken(UNKNOWN)
        return self._caller(self._with_secret(match[1], match[2]))

    def caller_by_secret(self, client_id: str, secret: str) -> Caller:
        """Likewise, from name and secret. Raises InvalidToken."""
        return self._caller(self._with_secret(client_id, secret))

    def caller_by_name(self, client_id: str, scopes: Iterable[str]) -> Caller:
        """Likewise, from what it was exchanged for, which we made: with `scopes` at most. Raises InvalidToken."""
        token = self._find(client_id)
        if token is None:
            raise InvalidToken(UNKNOWN)
        return self._caller(token).narrowed(scopes)

    def client(self, client_id: str, secret: str) -> Client:
        """A client of the token endpoint, whose tokens live no longer than the deploy token. Raises InvalidToken."""
        token = self._with_secret(client_id, secret)
        self._caller(token)
        return Client(
            client_id=client_id,
            grants=("client_credentials",),
            scopes=scopes_for(token.role),
            life_s=token.expires_at - int(self._clock()),
        )

    def _with_secret(self, client_id: str, secret: str) -> DeployToken:
        token = self._find(client_id)
        if token is None or not hmac.compare_digest(token.secret_hash, hash_secret(secret)):
            raise InvalidToken(UNKNOWN)
        return token

    def _find(self, client_id: str) -> DeployToken | None:
        digits = client_id.removeprefix(PREFIX)
        if not client_id.startswith(PREFIX) or not re.fullmatch(r"[0-9a-f]{32}", digits):
            return None
        guid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        with self._database.read() as tx:
            return tx.get(DeployToken, guid)

    def why_dead(self, tx: ReadTx, token: DeployToken) -> str | None:
        """Why a token does not count (any more), as a sentence; None when it does."""
        maker = tx.get(User, token.maker_guid)
        shut = "" if maker is None else self._accounts.why_shut(maker)
        return why_dead(tx, token, self._clock()) or shut or None

    def _caller(self, token: DeployToken) -> Caller:
        with self._database.read() as tx:
            why, user = self.why_dead(tx, token), tx.get(User, token.guid)
        if why is not None or user is None:
            raise InvalidToken(f"The deploy token '{token.name}' does not count: {why or 'its user was deleted'}")
        day = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%d")
        if token.last_used_on < day:
            note = NoteDeployTokenUse(guid=token.guid, day=day)
            self._notes.once(f"deploy/{token.guid}/{day}", NOTE_AGAIN_S, note_deploy_token_use, note)
        return Caller(
            user_guid=user.guid,
            username=user.username,
            scopes=scopes_for(token.role),
            client=client_id_of(token.guid),
            origin=DEPLOY_TOKEN,
            with_factor=True,
        )
