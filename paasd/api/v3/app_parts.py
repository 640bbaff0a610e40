"""Environment, features, ssh and manifest of an app."""

from typing import Any

from paasd.actions import apps, environment
from paasd.actions.permissions import Permission, allowed_in_space
from paasd.actions.ssh import switched_off
from paasd.actions.visibility import need_visible
from paasd.api.answers import Answer, FeatureShown, Links, Page
from paasd.api.call import Call, Form, Reply
from paasd.api.forms import Enabled
from paasd.api.listing import need_row, plain_list
from paasd.api.query import QuerySpec
from paasd.api.table import Route, get, patch
from paasd.api.v3.apps import text_of
from paasd.api.whom import ENVIRONMENT_READERS, OPERATORS
from paasd.errors import NotFound
from paasd.model import App, Space

FEATURES = {
    "ssh": ("Enable SSHing into the app.", True),
    "revisions": ("Enable versioning of an application", True),
    "service-binding-k8s": ("Enable k8s service bindings for the app", False),
    "file-based-vcap-services": ("Enable file-based VCAP service bindings for the app", False),
}


class Variables(Form):
    """Body of `PATCH /v3/apps/:guid/environment_variables`; null takes a variable away."""

    var: dict[str, Any]


class EnvironmentShown(Answer):
    """Everything that an instance finds in its environment."""

    staging_env_json: dict[str, str]
    running_env_json: dict[str, str]
    environment_variables: dict[str, str]
    system_env_json: dict[str, Any]
    application_env_json: dict[str, Any]


class VariablesShown(Answer):
    """The variables that users set."""

    var: dict[str, str]
    links: Links


class SshEnabled(Answer):
    """Whether ssh is allowed; `reason` is empty when it is."""

    enabled: bool
    reason: str


class PermissionsShown(Answer):
    """What the caller may read."""

    read_basic_data: bool
    read_sensitive_data: bool


async def get_env(call: Call) -> Reply[EnvironmentShown]:
    """Everything that an instance finds in its environment."""
    found = await environment.full_environment(call.context, call.caller, call.path["guid"])
    return Reply(body=EnvironmentShown(**found))


async def get_variables(call: Call) -> Reply[VariablesShown]:
    """The variables that users set."""
    found = await environment.read_environment(call.context, call.caller, call.path["guid"])
    return _variables(call, found)


async def set_variables(call: Call) -> Reply[VariablesShown]:
    """Merge; they count from the next start."""
    form = await call.json(Variables)
    changes = {name: None if value is None else text_of(value) for name, value in form.var.items()}
    merged = await environment.update_environment(call.context, call.caller, call.path["guid"], changes)
    return _variables(call, merged)


def _variables(call: Call, variables: dict[str, str]) -> Reply[VariablesShown]:
    guid = call.path["guid"]
    links = {
        "self": call.urls.link("apps", guid, "environment_variables"),
        "app": call.urls.link("apps", guid),
    }
    return Reply(body=VariablesShown(var=variables, links=links))


async def list_features(call: Call) -> Reply[Page[FeatureShown]]:
    """All features of an app."""
    row = need_row(call, App)
    return plain_list(call, [_feature(row, name) for name in FEATURES])


async def get_feature(call: Call) -> Reply[FeatureShown]:
    """One."""
    row = need_row(call, App)
    return Reply(body=_feature(row, call.path["feature"]))


async def set_feature(call: Call) -> Reply[FeatureShown]:
    """Switch one on or off."""
    _feature(need_row(call, App), call.path["feature"])
    form = await call.json(Enabled)
    await apps.set_feature(call.context, call.caller, call.path["guid"], call.path["feature"], form.enabled)
    return Reply(body=_feature(need_row(call, App), call.path["feature"]))


def _feature(row: App, name: str) -> FeatureShown:
    if name not in FEATURES:
        raise NotFound("Feature")
    description, default = FEATURES[name]
    return FeatureShown(name=name, description=description, enabled=row.features.get(name, default))


async def ssh_enabled(call: Call) -> Reply[SshEnabled]:
    """Whether ssh is allowed, and if not, who forbade it."""
    with call.context.database.read() as tx:
        row = need_visible(tx, call.caller, App, call.path["guid"])
        why = switched_off(tx, call.context.config, row)
    return Reply(body=SshEnabled(enabled=not why, reason=why))


async def permissions(call: Call) -> Reply[PermissionsShown]:
    """What the caller may read of the app."""
    with call.context.database.read() as tx:
        row = need_visible(tx, call.caller, App, call.path["guid"])
        secrets = allowed_in_space(tx, call.caller, tx.need(Space, row.space_guid), Permission.READ_ENVIRONMENT)
    return Reply(body=PermissionsShown(read_basic_data=True, read_sensitive_data=secrets))


ONE = "/v3/apps/<guid>"
PAGES = QuerySpec(pages=True)
ROUTES: tuple[Route, ...] = (
    get(f"{ONE}/env", get_env, permission=ENVIRONMENT_READERS),
    get(f"{ONE}/environment_variables", get_variables, permission=ENVIRONMENT_READERS),
    patch(f"{ONE}/environment_variables", set_variables, permission=OPERATORS),
    get(f"{ONE}/features", list_features, PAGES),
    get(f"{ONE}/features/<feature>", get_feature),
    patch(f"{ONE}/features/<feature>", set_feature, permission="space_developer"),
    get(f"{ONE}/ssh_enabled", ssh_enabled),
    get(f"{ONE}/permissions", permissions),
)
