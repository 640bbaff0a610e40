"""Accounts as sign-in sees them: whether one may come in, for how long, and whether what it came by still counts.

Two things keep somebody out whatever they show: an account that is switched off, and a provider that the operator has
taken out of the configuration. Whoever does that means its people, so what they had from it ends at once.
"""

from paasd.auth.caller import DEPLOY_TOKEN
from paasd.auth.tokens import INVALID, revocation_signature
from paasd.config import AuthConfig
from paasd.errors import InvalidToken
from paasd.model import User
from paasd.model.identities import OFF
from paasd.state import Database


class Accounts:
    """Users of one node. One that does not sign (a worker) is told nothing of providers, and judges without."""

    def __init__(self, config: AuthConfig, database: Database, *, signs: bool) -> None:
        self._config = config
        self._database = database
        self._signs = signs

    def get(self, guid: str) -> User | None:
        """The account, on or off."""
        with self._database.read() as tx:
            return tx.get(User, guid)

    def find(self, username: str, origin: str) -> User | None:
        """By name, of whatever case its letters of ASCII are."""
        with self._database.read() as tx:
            return tx.find(User, username=username, origin=origin)

    def still(self, guid: str, signature: object) -> User:
        """Whose sign-in a signature stands for. Raises InvalidToken when that counts no more."""
        user = self.get(guid)
        if user is None or signature != revocation_signature(user):
            raise InvalidToken(INVALID)
        return user

    def why_shut(self, user: User) -> str:
        """Why somebody may not come in whatever they show; empty when they may."""
        if not user.active:
            return OFF
        if self._signs and user.origin not in (DEPLOY_TOKEN, *self._config.origins):
            return f"Nobody of '{user.origin[:80]}' signs in any more: this provider is not configured now"
        return ""

    def check(self, user: User) -> None:
        """Raise InvalidToken for one who may not come in."""
        if why := self.why_shut(user):
            raise InvalidToken(why)

    def session_s(self, user: User) -> int:
        """How long after signing in: a provider has to be asked again before long, for it alone knows who has left."""
        provider = self._config.oidc.get(user.origin)
        return self._config.session_s if provider is None else provider.session_s
