"""Environment variables: sealed in rows, opened only for those who may read secrets."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from paasd.actions import flags
from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission
from paasd.actions.visibility import need_app
from paasd.auth import Caller
from paasd.errors import Forbidden, NotFound, Unavailable, Unprocessable
from paasd.model import App, Process, Revision, VariableGroup
from paasd.model import apps as model
from paasd.model.apps import environment_context
from paasd.model.arguments import rfc3339
from paasd.model.environment_shown import RecordEnvironmentShown, record_environment_shown, shown_lately
from paasd.model.revisions import newest_revision
from paasd.model.variable_groups import GROUPS, group_context, read_group
from paasd.model.vcap import vcap_application
from paasd.state import ReadTx

RETRIES = 5
FILE_LIMIT = 16384
VARIABLE_LIMIT_BYTES = 128 * 1024
"""What the kernel takes of one, with its name, whatever the operator allows of all together."""
NAME = re.compile(r"[^=\s\x00-\x1f\x7f]+")
NAME_RULE = "cannot be empty or contain '=', spaces or control characters"


def open_environment(context: Context, app: App) -> dict[str, str]:
    """The app's own variables. The caller must have been authorised."""
    return open_sealed(context, app.environment, environment_context(app.guid))


def open_sealed(context: Context, sealed: str, sealing_context: str) -> dict[str, str]:
    """Variables as a row keeps them; the caller must have been authorised."""
    if not sealed:
        return {}
    plain = context.sealer.open(sealed, sealing_context)
    return msgspec.json.decode(plain, type=dict[str, str])


def seal_environment(context: Context, app_guid: str, variables: dict[str, str]) -> str:
    """The variables as a row keeps them. Raises Unprocessable when they are too large."""
    if not variables:
        return ""
    plain = msgspec.json.encode(variables, order="deterministic")
    limit_bytes = context.config.apps.environment_limit_bytes
    if len(plain) > limit_bytes:
        raise Unprocessable(f"Environment variables must not exceed {limit_bytes} bytes in total")
    return context.sealer.seal(plain, environment_context(app_guid))


def seal_again(context: Context, app: App, latest: Revision | None, variables: dict[str, str]) -> str:
    """As `seal_environment`, but values that are there already keep their text.

    So the next start sees, without a key, whether it starts the app with other variables than the latest revision has.
    """
    for kept in (app.environment, "" if latest is None else latest.environment):
        if kept and open_sealed(context, kept, environment_context(app.guid)) == variables:
            return kept
    return seal_environment(context, app.guid, variables)


async def read_environment(context: Context, caller: Caller, app_guid: str) -> dict[str, str]:
    """The app's own variables. Raises NotFound, Forbidden."""
    with context.database.read() as tx:
        app = need_readable(tx, caller, app_guid)
    await note_shown(context, caller, app_guid)
    return open_environment(context, app)


async def note_shown(context: Context, caller: Caller, app_guid: str) -> None:
    """Write down that the caller reads the variables, before they do. Only the first time within an hour is a write."""
    actor = actor_of(caller)
    with context.database.read() as tx:
        told = shown_lately(tx, app_guid, actor, rfc3339(context.clock()))
    if not told:
        await context.database.write(record_environment_shown, RecordEnvironmentShown(app_guid=app_guid, actor=actor))


async def update_environment(
    context: Context, caller: Caller, app_guid: str, changes: dict[str, str | None]
) -> dict[str, str]:
    """Set the given variables, take away those that are None. Takes effect with the next restart.

    The new whole, or only what was sent where the caller may not read the rest.
    """
    check_variables(changes)
    for _ in range(RETRIES):
        with context.database.read() as tx:
            app = need_app(tx, caller, app_guid, Permission.OPERATE_APPS)
            latest = newest_revision(tx, app.guid)
            readable = may_read(tx, caller, app_guid)
        present = open_environment(context, app)
        merged = merge(present, changes)
        shown = merged if readable else merge({}, changes)
        if merged == present:
            return shown
        arguments = model.SetEnvironment(
            app_guid=app_guid,
            previous=app.environment,
            environment=seal_again(context, app, latest, merged),
            names=sorted(name for name in changes if present.get(name) != merged.get(name)),
            removed=sorted(name for name in changes if name in present and name not in merged),
            actor=actor_of(caller),
        )
        if await context.database.write(model.set_environment, arguments) is not None:
            return shown
    raise Unavailable("the environment was being changed by others; nothing was changed, try again")


def merge(present: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    """`present` with `changes`; None takes away."""
    return {name: value for name, value in {**present, **changes}.items() if value is not None}


def check_variables(changes: Mapping[str, str | None]) -> None:
    """Raise Unprocessable for what the platform sets itself and for what no process can have.

    A name that could be given formerly can still be taken away.
    """
    for name, value in changes.items():
        if name.upper() in ("PORT",) or name.upper().startswith("VCAP_"):
            raise Unprocessable(
                f"Environment variable '{name}' is set by the platform: names cannot be PORT or begin with VCAP_"
            )
        if value is not None and ("\0" in value or not NAME.fullmatch(name)):
            what = "value cannot contain the character NUL" if "\0" in value else f"name {NAME_RULE}"
            raise Unprocessable(f"Environment variable {name!a}: its {what}")
        if value is not None and len(f"{name}={value}".encode(errors="replace")) >= VARIABLE_LIMIT_BYTES:
            raise Unprocessable(f"Environment variable {name!a}: no program starts with one of 128 KiB or more")


def need_readable(
    tx: ReadTx, caller: Caller, app_guid: str, permission: Permission = Permission.READ_ENVIRONMENT
) -> App:
    """An app whose variables the caller may read. Raises NotFound, Forbidden, FeatureDisabled."""
    app = need_app(tx, caller, app_guid, permission)
    flags.require(tx, caller, "env_var_visibility", "space_developer_env_var_visibility")
    return app


def may_read(tx: ReadTx, caller: Caller, app_guid: str) -> bool:
    """Whether the caller may read the app's variables, by role and by the flags."""
    try:
        need_readable(tx, caller, app_guid)
    except (NotFound, Forbidden):
        return False
    return True


def _group(context: Context, row: VariableGroup) -> dict[str, str]:
    return open_sealed(context, row.variables, group_context(row.name))


async def full_environment(context: Context, caller: Caller, app_guid: str) -> dict[str, Any]:
    """The whole of `GET /v3/apps/:guid/env`: own variables and what the platform adds. Raises NotFound, Forbidden."""
    with context.database.read() as tx:
        app = need_readable(tx, caller, app_guid)
        running, staging = (read_group(tx, name) for name in GROUPS)
        web = tx.find(Process, app_guid=app.guid, type="web")
        sizes = context.sizes
        application = vcap_application(
            tx,
            app,
            api_url=f"https://api.{context.config.domains.system}",
            memory_mb=sizes.memory_mb if web is None else web.memory_mb,
            disk_mb=sizes.disk_mb if web is None else web.disk_mb,
            fds=FILE_LIMIT,
        )
    await note_shown(context, caller, app_guid)
    return {
        "staging_env_json": _group(context, staging),
        "running_env_json": _group(context, running),
        "environment_variables": open_environment(context, app),
        "system_env_json": {"VCAP_SERVICES": {}},
        "application_env_json": {"VCAP_APPLICATION": application},
    }
