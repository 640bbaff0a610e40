"""Apps: created, changed and deleted by developers; started and stopped by supporters too."""

import msgspec

from paasd.actions.context import Context, actor_of
from paasd.actions.environment import check_variables, seal_environment
from paasd.actions.jobs import finished
from paasd.actions.lifecycle import check_buildpacks, check_lifecycle, check_stack, installed
from paasd.actions.permissions import Permission, authorise_admin
from paasd.actions.visibility import need_app, need_of_app, need_space, or_unprocessable
from paasd.auth import Caller
from paasd.errors import Unprocessable
from paasd.model import App, Droplet, Job, build_caches
from paasd.model import apps as model
from paasd.model.arguments import Metadata
from paasd.model.processes import check_number_of_types

# Those that supporters may switch; the others open ways into the app.
SUPPORTED_FEATURES = ("revisions",)


async def create(
    context: Context,
    caller: Caller,
    *,
    name: str,
    space_guid: str,
    lifecycle_type: str = "buildpack",
    buildpacks: list[str] | None = None,
    stack: str | None = None,
    environment: dict[str, str] | None = None,
    metadata: Metadata | None = None,
) -> App:
    """Raises Unprocessable (`App with the name '..' already exists.`), Forbidden."""
    text = "Invalid space. Ensure that the space exists and you have access to it."
    with context.database.read() as tx, or_unprocessable(text):
        need_space(tx, caller, space_guid, Permission.WRITE_SPACE)
    check_lifecycle(lifecycle_type)
    check_buildpacks(buildpacks or [], installed(context))
    check_stack(stack)
    check_variables(environment or {})
    guid = context.new_guid()
    arguments = model.CreateApp(
        guid=guid,
        name=name,
        space_guid=space_guid,
        lifecycle_type=lifecycle_type,
        buildpacks=buildpacks or [],
        stack=stack,
        environment=seal_environment(context, guid, environment or {}),
        metadata=metadata,
        sizes=context.sizes,
        actor=actor_of(caller),
    )
    app = await context.database.write(model.create_app, arguments)
    context.logs.say(app.guid, "API", f"Created app with guid {app.guid}")
    return app


async def update(
    context: Context,
    caller: Caller,
    app_guid: str,
    *,
    name: str | msgspec.UnsetType = msgspec.UNSET,
    buildpacks: list[str] | msgspec.UnsetType = msgspec.UNSET,
    stack: str | msgspec.UnsetType | None = msgspec.UNSET,
    metadata: Metadata | None = None,
) -> App:
    """UNSET leaves a field as it is. Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        need_app(tx, caller, app_guid, Permission.WRITE_SPACE)
    if not isinstance(buildpacks, msgspec.UnsetType):
        check_buildpacks(buildpacks, installed(context))
    if not isinstance(stack, msgspec.UnsetType):
        check_stack(stack)
    arguments = model.UpdateApp(
        app_guid=app_guid, name=name, buildpacks=buildpacks, stack=stack, metadata=metadata, actor=actor_of(caller)
    )
    app = await context.database.write(model.update_app, arguments)
    context.logs.say(app.guid, "API", f"Updated app with guid {app.guid}")
    return app


async def delete(context: Context, caller: Caller, app_guid: str) -> Job:
    """Raises NotFound, Forbidden. The job ends when everything of the app is gone."""
    with context.database.read() as tx:
        need_app(tx, caller, app_guid, Permission.WRITE_SPACE)
    return await context.database.write(model.begin_delete_app, _change(context, caller, app_guid))


async def start(context: Context, caller: Caller, app_guid: str) -> App:
    """Raises NotFound, Forbidden, Unprocessable (`Assign a droplet before starting this app.`)."""
    _operate(context, caller, app_guid)
    app = await context.database.write(model.start_app, _change(context, caller, app_guid))
    context.logs.say(app.guid, "API", f"Starting app with guid {app.guid}")
    return app


async def stop(context: Context, caller: Caller, app_guid: str) -> App:
    """Raises NotFound, Forbidden."""
    _operate(context, caller, app_guid)
    app = await context.database.write(model.stop_app, _change(context, caller, app_guid))
    context.logs.say(app.guid, "API", f"Stopping app with guid {app.guid}")
    return app


async def restart(context: Context, caller: Caller, app_guid: str) -> App:
    """Raises NotFound, Forbidden, Unprocessable (`Assign a droplet before starting this app.`)."""
    _operate(context, caller, app_guid)
    app = await context.database.write(model.restart_app, _change(context, caller, app_guid))
    context.logs.say(app.guid, "API", f"Restarting app with guid {app.guid}")
    return app


async def clear_cache(context: Context, caller: Caller, app_guid: str) -> Job:
    """The next build of the app begins with nothing. The job is complete when this returns."""
    _operate(context, caller, app_guid)
    await context.database.write(build_caches.clear_app_cache, _change(context, caller, app_guid))
    operation = "app.clear_buildpack_cache"
    return await finished(context, caller, operation, resource_type="app", resource_guid=app_guid)


async def clear_caches(context: Context, caller: Caller) -> Job:
    """The next build of every app does. Administrators only."""
    authorise_admin(caller)
    await context.database.write(build_caches.clear_caches, build_caches.ClearCaches(actor=actor_of(caller)))
    while not await context.database.write(build_caches.forget_layers, build_caches.ForgetLayers()):
        pass
    return await finished(context, caller, "admin.clear_buildpack_cache")


async def set_current_droplet(context: Context, caller: Caller, app_guid: str, droplet_guid: str) -> App:
    """For the next start. Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        need_app(tx, caller, app_guid, Permission.OPERATE_APPS)
        with or_unprocessable(model.NO_DROPLET):
            droplet = need_of_app(tx, caller, Droplet, droplet_guid)
        check_number_of_types(tx, app_guid, droplet.process_types)
    arguments = model.SetDroplet(
        app_guid=app_guid, droplet_guid=droplet_guid, sizes=context.sizes, actor=actor_of(caller)
    )
    return await context.database.write(model.set_current_droplet, arguments)


async def set_feature(context: Context, caller: Caller, app_guid: str, feature: str, enabled: bool) -> bool:
    """Raises NotFound (`Feature not found`), Forbidden, Unprocessable for one that would do nothing here."""
    with context.database.read() as tx:
        permission = Permission.OPERATE_APPS if feature in SUPPORTED_FEATURES else Permission.WRITE_SPACE
        need_app(tx, caller, app_guid, permission)
    if enabled and feature in model.OF_SERVICES:
        raise Unprocessable(f"The feature {feature} cannot be enabled: this platform has no services to bind.")
    arguments = model.SetFeature(app_guid=app_guid, feature=feature, enabled=enabled, actor=actor_of(caller))
    await context.database.write(model.set_feature, arguments)
    return enabled


def _operate(context: Context, caller: Caller, app_guid: str) -> None:
    with context.database.read() as tx:
        need_app(tx, caller, app_guid, Permission.OPERATE_APPS)


def _change(context: Context, caller: Caller, app_guid: str) -> model.ChangeApp:
    limit = context.sizes.instances_limit
    return model.ChangeApp(app_guid=app_guid, instances_limit=limit, actor=actor_of(caller))
