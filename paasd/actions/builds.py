"""Builds and droplets."""

from paasd.actions.context import Context, actor_of
from paasd.actions.lifecycle import check_buildpacks, check_stack
from paasd.actions.permissions import Permission
from paasd.actions.visibility import need_app, need_of_app
from paasd.auth import Caller
from paasd.errors import NotFound, Unprocessable
from paasd.model import Build, Droplet, Job, Package
from paasd.model import builds as model
from paasd.model import droplets as droplet_model
from paasd.model.arguments import Metadata


async def create(
    context: Context,
    caller: Caller,
    *,
    package_guid: str,
    buildpacks: list[str] | None = None,
    stack: str | None = None,
    staging_memory_mb: int | None = None,
    staging_disk_mb: int | None = None,
    metadata: Metadata | None = None,
) -> Build:
    """Raises Unprocessable for a package that cannot be seen or staged, Forbidden."""
    with context.database.read() as tx:
        try:
            package = need_of_app(tx, caller, Package, package_guid, Permission.OPERATE_APPS)
        except NotFound as error:
            text = "Unable to use package. Ensure that the package exists and you have access to it."
            raise Unprocessable(text) from error
    check_buildpacks(buildpacks or [], context.config.staging.buildpacks)
    check_stack(stack)
    apps = context.config.apps
    arguments = model.CreateBuild(
        package_guid=package_guid,
        buildpacks=buildpacks or [],
        stack=stack,
        default_stack=context.config.sandbox.stack,
        staging_memory_mb=staging_memory_mb or apps.build_memory_mb,
        staging_disk_mb=staging_disk_mb or apps.build_disk_mb,
        timeout_s=apps.build_timeout_s,
        metadata=metadata,
        actor=actor_of(caller),
    )
    build = await context.database.write(model.create_build, arguments)
    context.logs.say(package.app_guid, "API", f"Creating build for app with guid {package.app_guid}")
    return build


async def update(context: Context, caller: Caller, build_guid: str, metadata: Metadata | None) -> Build:
    """Labels and annotations."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Build, build_guid, Permission.OPERATE_APPS)
    arguments = model.UpdateBuild(build_guid=build_guid, metadata=metadata)
    return await context.database.write(model.update_build, arguments)


async def update_droplet(context: Context, caller: Caller, droplet_guid: str, metadata: Metadata | None) -> Droplet:
    """Labels and annotations."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Droplet, droplet_guid, Permission.WRITE_SPACE)
    arguments = droplet_model.UpdateDroplet(droplet_guid=droplet_guid, metadata=metadata)
    return await context.database.write(droplet_model.update_droplet, arguments)


async def copy_droplet(context: Context, caller: Caller, source_guid: str, *, app_guid: str) -> Droplet:
    """The same layers for another app. Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Droplet, source_guid, Permission.WRITE_SPACE)
        need_app(tx, caller, app_guid, Permission.WRITE_SPACE)
    arguments = droplet_model.CopyDroplet(source_guid=source_guid, app_guid=app_guid, actor=actor_of(caller))
    return await context.database.write(droplet_model.copy_droplet, arguments)


async def delete_droplet(context: Context, caller: Caller, droplet_guid: str) -> Job:
    """The job is complete when this returns. Raises Unprocessable for a current droplet."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Droplet, droplet_guid, Permission.WRITE_SPACE)
    arguments = droplet_model.DeleteDroplet(droplet_guid=droplet_guid, actor=actor_of(caller))
    return await context.database.write(droplet_model.delete_droplet, arguments)
