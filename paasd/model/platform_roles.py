"""Who administers or audits the platform as a whole: scopes that an account has beside those of everybody."""

from typing import Final

from paasd.errors import Unprocessable
from paasd.model.arguments import Actor, Arguments
from paasd.model.auditing import difference
from paasd.model.events import record_user_event
from paasd.model.records import User
from paasd.state import Contains, ReadTx, Tx, operation

PLATFORM_ROLES: Final = (
    "cloud_controller.admin",
    "cloud_controller.admin_read_only",
    "cloud_controller.global_auditor",
)
"""The names of UAA's groups."""


class ChangePlatformRole(Arguments):
    """Arguments of `change_platform_role`; `held` says whether the account has the scope afterwards."""

    user_guid: str
    scope: str
    held: bool
    actor: Actor


@operation("user.change_platform_role", version=1)
def change_platform_role(tx: Tx, args: ChangePlatformRole) -> User:
    """It counts at once, also for tokens that were made before. Raises NotFound, Unprocessable for no such scope."""
    if args.scope not in PLATFORM_ROLES:
        raise Unprocessable(f"The roles of the platform are {', '.join(PLATFORM_ROLES)}.")
    user = tx.need(User, args.user_guid)
    if (args.scope in user.scopes) == args.held:
        return user
    kept = [scope for scope in user.scopes if scope != args.scope]
    changed = tx.update(user, scopes=sorted([*kept, args.scope]) if args.held else kept)
    verb = "add" if args.held else "remove"
    data = {"role": args.scope, **difference(user, changed)}
    record_user_event(tx, f"audit.user.platform_role_{verb}", args.actor, user, data)
    return changed


def holders(tx: ReadTx, scope: str) -> list[User]:
    """The accounts that have the scope, by name."""
    return tx.all(User, Contains("scopes", scope), order=("username", "guid"))
