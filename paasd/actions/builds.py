"""Builds."""

from paasd.actions.context import Context, actor_of
from paasd.actions.lifecycle import check_buildpacks, check_stack, installed
from paasd.actions.permissions import Permission
from paasd.actions.visibility import need_of_app, or_unprocessable
from paasd.auth import Caller
from paasd.errors import Unprocessable
from paasd.model import Build, Package
from paasd.model import builds as model
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
    text = "Unable to use package. Ensure that the package exists and you have access to it."
    with context.database.read() as tx, or_unprocessable(text):
        package = need_of_app(tx, caller, Package, package_guid, Permission.OPERATE_APPS)
    check_buildpacks(buildpacks or [], installed(context))
    check_stack(stack)
    apps = context.config.apps
    if (staging_disk_mb or 0) > max(apps.disk_limit_mb, apps.build_disk_mb):
        raise Unprocessable("disk limit exceeded")
    memory_mb = staging_memory_mb or apps.build_memory_mb
    arguments = model.CreateBuild(
        package_guid=package_guid,
        buildpacks=buildpacks or [],
        stack=stack,
        default_stack=context.config.sandbox.stack,
        staging_memory_mb=memory_mb,
        asked_memory_mb=memory_mb,
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
        need_of_app(tx, caller, Build, build_guid, Permission.WRITE_SPACE)
    arguments = model.UpdateBuild(build_guid=build_guid, metadata=metadata, actor=actor_of(caller))
    return await context.database.write(model.update_build, arguments)
