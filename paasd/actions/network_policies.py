"""Network policies: who develops in the spaces of both apps decides whether one may connect to the other."""

from collections.abc import Sequence

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission, allowed_in_space, authorise_admin, authorise_in_space
from paasd.actions.visibility import visible
from paasd.auth import Caller
from paasd.errors import Forbidden
from paasd.model import App, NetworkPolicy, Space
from paasd.model import network_policies as model
from paasd.model.network_policies import ChangePolicies, CleanPolicies, PolicySpec
from paasd.state import Condition, In, InSelect, Or, ReadTx


async def add(context: Context, caller: Caller, policies: Sequence[PolicySpec]) -> None:
    """Raises Unprocessable, Forbidden."""
    arguments = _authorised(context, caller, policies)
    await context.database.write(model.add_policies, arguments)


async def remove(context: Context, caller: Caller, policies: Sequence[PolicySpec]) -> None:
    """Raises Unprocessable, Forbidden."""
    arguments = _authorised(context, caller, policies)
    await context.database.write(model.remove_policies, arguments)


async def clean(context: Context, caller: Caller) -> list[NetworkPolicy]:
    """Policies of apps that are gone. Raises Forbidden for anybody but an administrator."""
    authorise_admin(caller)
    return await context.database.write(model.clean_policies, CleanPolicies())


def found(
    context: Context,
    caller: Caller,
    *,
    ids: Sequence[str] = (),
    sources: Sequence[str] = (),
    destinations: Sequence[str] = (),
) -> list[NetworkPolicy]:
    """Those between apps of spaces in which the caller develops; `ids` are those of either side."""
    conditions: list[Condition] = []
    if ids:
        conditions.append(Or(In("source_guid", ids), In("destination_guid", ids)))
    else:
        conditions += [In("source_guid", sources)] if sources else []
        conditions += [In("destination_guid", destinations)] if destinations else []
    with context.database.read() as tx:
        seen = visible(tx, caller, App)
        conditions += [InSelect(side, App, "guid", *seen) for side in ("source_guid", "destination_guid")]
        rows = tx.all(NetworkPolicy, *conditions, order=("created_at",))
        mine = _developed(tx, caller, {guid for row in rows for guid in (row.source_guid, row.destination_guid)})
    return [row for row in rows if {row.source_guid, row.destination_guid} <= mine]


def _developed(tx: ReadTx, caller: Caller, guids: set[str]) -> set[str]:
    """Those of visible apps that are in spaces where the caller develops."""
    spaces = {app.guid: app.space_guid for app in tx.all(App, In("guid", guids))}
    found = tx.all(Space, In("guid", set(spaces.values())))
    allowed = {space.guid for space in found if allowed_in_space(tx, caller, space, Permission.WRITE_SPACE)}
    return {guid for guid, space in spaces.items() if space in allowed}


def _authorised(context: Context, caller: Caller, policies: Sequence[PolicySpec]) -> ChangePolicies:
    """One text for an app that is not there, cannot be seen or is not the caller's: nobody learns which."""
    model.check_policies(policies)
    with context.database.read() as tx:
        for guid in {guid for one in policies for guid in (one.source_guid, one.destination_guid)}:
            app = tx.find(App, *visible(tx, caller, App), guid=guid)
            if app is None:
                raise Forbidden(model.INACCESSIBLE)
            try:
                authorise_in_space(tx, caller, tx.need(Space, app.space_guid), Permission.WRITE_SPACE)
            except Forbidden as error:
                raise Forbidden(model.INACCESSIBLE) from error
    return ChangePolicies(policies=list(policies), actor=actor_of(caller))
