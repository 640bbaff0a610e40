"""Environment variable groups: sealed in rows, read by whoever is signed in, set by administrators."""

import msgspec

from paasd.actions.context import Context, actor_of
from paasd.actions.environment import RETRIES, check_variables, merge, open_sealed
from paasd.actions.permissions import authorise_admin
from paasd.auth import Caller
from paasd.errors import Unavailable, Unprocessable
from paasd.model import VariableGroup
from paasd.model import variable_groups as model

TOO_LARGE = "Environment variable group is too large. Specify fewer variables or reduce key/value lengths."


def open_row(context: Context, row: VariableGroup) -> dict[str, str]:
    """The variables of a row."""
    return open_sealed(context, row.variables, model.group_context(row.name))


async def update(context: Context, caller: Caller, name: str, changes: dict[str, str | None]) -> VariableGroup:
    """Merge; counts from the next start or staging of each app. Raises NotFound, Forbidden, Unprocessable."""
    check_variables(changes)
    authorise_admin(caller)
    for _ in range(RETRIES):
        with context.database.read() as tx:
            row = model.read_group(tx, name)
        arguments = model.SetVariableGroup(
            name=name,
            previous=row.variables,
            variables=_seal(context, name, merge(open_row(context, row), changes)),
            names=sorted(changes),
            actor=actor_of(caller),
        )
        changed = await context.database.write(model.set_variable_group, arguments)
        if changed is not None:
            return changed
    raise Unavailable("the group was being changed by others; nothing was changed, try again")


def _seal(context: Context, name: str, variables: dict[str, str]) -> str:
    if not variables:
        return ""
    plain = msgspec.json.encode(variables, order="deterministic")
    if len(plain) > context.config.apps.environment_limit_bytes:
        raise Unprocessable(TOO_LARGE)
    return context.sealer.seal(plain, model.group_context(name))
