"""`/v3/feature_flags` and `/v3/environment_variable_groups`: what the platform allows, and gives to every app."""

from msgspec import UNSET, UnsetType

from paasd.actions import flags, variable_groups
from paasd.api.answers import Answer, Links, Page
from paasd.api.call import Call, Form, Reply
from paasd.api.listing import plain_list
from paasd.api.query import QuerySpec
from paasd.api.table import Route, get, patch
from paasd.api.v3.app_parts import Variables
from paasd.api.v3.apps import text_of
from paasd.model import FeatureFlag, VariableGroup
from paasd.model.feature_flags import read_flag, read_flags
from paasd.model.variable_groups import read_group


class FlagChanges(Form):
    """Body of `PATCH /v3/feature_flags/:name`; null takes the custom message away."""

    enabled: bool | UnsetType = UNSET
    custom_error_message: str | UnsetType | None = UNSET


class FlagShown(Answer):
    """A feature flag."""

    name: str
    enabled: bool
    updated_at: str | None
    custom_error_message: str | None
    links: Links


class GroupShown(Answer):
    """Variables that every app has."""

    name: str
    updated_at: str | None
    var: dict[str, str]
    links: Links


def _flag(call: Call, row: FeatureFlag) -> FlagShown:
    return FlagShown(
        name=row.name,
        enabled=row.enabled,
        updated_at=row.updated_at or None,
        custom_error_message=row.custom_error_message,
        links={"self": call.urls.link("feature_flags", row.name)},
    )


async def list_flags(call: Call) -> Reply[Page[FlagShown]]:
    """All of them."""
    with call.context.database.read() as tx:
        rows = read_flags(tx)
    if call.query.order_by is not None and call.query.order_by[1]:
        rows.reverse()
    return plain_list(call, [_flag(call, row) for row in rows])


async def get_flag(call: Call) -> Reply[FlagShown]:
    """One."""
    with call.context.database.read() as tx:
        return Reply(body=_flag(call, read_flag(tx, call.path["name"])))


async def update_flag(call: Call) -> Reply[FlagShown]:
    """On or off, and what is said to those whom it stops."""
    form = await call.json(FlagChanges)
    row = await flags.update(
        call.context,
        call.caller,
        call.path["name"],
        enabled=form.enabled,
        custom_error_message=form.custom_error_message,
    )
    return Reply(body=_flag(call, row))


def _group(call: Call, row: VariableGroup) -> GroupShown:
    return GroupShown(
        name=row.name,
        updated_at=row.updated_at or None,
        var=variable_groups.open_row(call.context, row),
        links={"self": call.urls.link("environment_variable_groups", row.name)},
    )


async def get_group(call: Call) -> Reply[GroupShown]:
    """Every app has these variables, so whoever is signed in may read them: they are no place for secrets."""
    with call.context.database.read() as tx:
        row = read_group(tx, call.path["name"])
    return Reply(body=_group(call, row))


async def update_group(call: Call) -> Reply[GroupShown]:
    """Merge; counts from the next start or staging of each app."""
    form = await call.json(Variables)
    with call.context.database.read() as tx:
        read_group(tx, call.path["name"])
    changes = {name: None if value is None else text_of(value) for name, value in form.var.items()}
    return Reply(body=_group(call, await variable_groups.update(call.context, call.caller, call.path["name"], changes)))


FLAG = "/v3/feature_flags/<name>"
GROUP = "/v3/environment_variable_groups/<name>"
ROUTES: tuple[Route, ...] = (
    get("/v3/feature_flags", list_flags, QuerySpec(pages=True, order_by=("name",))),
    get(FLAG, get_flag),
    patch(FLAG, update_flag, permission="admin"),
    get(GROUP, get_group),
    patch(GROUP, update_group, permission="admin"),
)
