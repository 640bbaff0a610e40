"""Feature flags: read by everybody, set by administrators, asked by the actions that they name."""

from msgspec import UNSET, UnsetType

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import authorise_admin
from paasd.auth import Caller
from paasd.model import FeatureFlag
from paasd.model import feature_flags as model
from paasd.state import ReadTx


def require(tx: ReadTx, caller: Caller, *names: str) -> None:
    """Raise FeatureDisabled, in the words of the operator if there are some, unless all these flags are on."""
    for name in names:
        model.check_flag(tx, name, admin=caller.admin)


def disabled(tx: ReadTx, caller: Caller, *names: str) -> dict[str, str]:
    """Those of the flags that are off for the caller, with what is said about it."""
    found: dict[str, str] = {}
    for name in names:
        try:
            require(tx, caller, name)
        except model.FeatureDisabled as error:
            found[name] = error.detail
    return found


async def update(
    context: Context,
    caller: Caller,
    name: str,
    *,
    enabled: bool | UnsetType = UNSET,
    custom_error_message: str | UnsetType | None = UNSET,
) -> FeatureFlag:
    """Administrators only. Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        model.read_flag(tx, name)
    authorise_admin(caller)
    arguments = model.SetFlag(
        name=name, enabled=enabled, custom_error_message=custom_error_message, actor=actor_of(caller)
    )
    return await context.database.write(model.set_flag, arguments)
