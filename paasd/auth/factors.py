"""Second factors at the door: which code is right, and that none counts twice on whatever node."""

from collections.abc import Callable
from typing import Final

from paasd.auth.totp import hash_code, step_of
from paasd.model import SecondFactor, User
from paasd.model.second_factors import UseCode, factor_of, use_code
from paasd.state import Database
from paasd.state.sealing import Sealer

NEEDED: Final = (
    "A code of your second factor is needed: put its six digits right behind the password, or send them as mfaCode;"
    " `cf login --sso` asks for them on a page"
)
WRONG: Final = "The code of the second factor is wrong or was used before; wait for the next one"

WRONG_FIRST: Final = "The code is wrong; is the clock of the authenticator right? It changes every 30 seconds"


def factor_context(user_guid: str) -> str:
    """What a secret is sealed for."""
    return f"second_factor/{user_guid}"


class Factors:
    """Judges codes of one node."""

    def __init__(self, database: Database, sealer: Sealer, clock: Callable[[], float]) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock

    def of(self, user: User) -> SecondFactor | None:
        """The confirmed factor of a user."""
        with self._database.read() as tx:
            return factor_of(tx, user.guid)

    def step(self, factor: SecondFactor, code: str) -> int | None:
        """The step of which a code is, when it is right now."""
        secret = self._sealer.open(factor.sealed_secret, factor_context(factor.user_guid)).decode()
        return step_of(secret, code.replace(" ", ""), self._clock())

    async def take(self, factor: SecondFactor, code: str, address: str) -> bool:
        """Whether a code of the authenticator, or a recovery code, is right; it counts no more then."""
        step = self.step(factor, code)
        if step is not None and step <= factor.last_step:
            return False
        wanted = UseCode(user_guid=factor.user_guid, step=step, address=address)
        if step is None:
            hashed = hash_code(code)
            if hashed not in factor.recovery_hashes:
                return False
            wanted = UseCode(user_guid=factor.user_guid, recovery_hash=hashed, address=address)
        return await self._database.write(use_code, wanted)
