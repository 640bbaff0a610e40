"""What one build works with, read from rows in one look, and the keys under which earlier work is found again."""

import datetime
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

import paasd.buildpacks
from paasd.buildpacks.hashing import digest
from paasd.buildpacks.launch import staging_environment
from paasd.errors import PaasdError
from paasd.model import App, Build, Droplet, Package, Process, Space
from paasd.model.build_caches import generation
from paasd.model.buildpacks import usable
from paasd.model.vcap import vcap_application
from paasd.state import ReadTx
from paasd.unsealing import Unsealed

# How many earlier droplets of the app are looked through for the very same package.
_LOOK_BACK = 5


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a build that rows tell."""

    build: Build
    app_guid: str
    app_name: str
    space_guid: str
    """Empty for what is to reach nothing."""
    organization_guid: str
    package_sha256: str
    environment: dict[str, str]
    has_command: bool
    """The app's web process has a command of its own, so the droplet need not name one."""
    disk_mb: int
    packs: tuple[tuple[str, str], ...] = ()
    """Name and blob of each uploaded buildpack that may be used."""
    order: tuple[str, ...] = ()
    """Buildpacks that are asked in turn for an app that names none."""
    caches: str = ""
    """The generation of what former builds kept; nothing of another one is used."""


def read_inputs(tx: ReadTx, build: Build, *, unsealed: Unsealed, api_url: str) -> Inputs:
    """Raises NotFound when a row is gone, PaasdError when the package was never stored."""
    app = tx.need(App, build.app_guid)
    package = tx.need(Package, build.package_guid)
    space = tx.need(Space, app.space_guid)
    if package.blob_sha256 is None:
        raise PaasdError("the package has no content; upload it again")
    web = tx.find(Process, app_guid=app.guid, type="web")
    packs = usable(tx, build.stack)
    application = vcap_application(
        tx, app, api_url=api_url, memory_mb=build.staging_memory_mb, disk_mb=build.staging_disk_mb, fds=16384
    )
    environment = staging_environment(
        app_environment=unsealed.environment,
        vcap_application=application,
        vcap_services=unsealed.services,
        memory_mb=build.staging_memory_mb,
        stack=build.stack,
    )
    return Inputs(
        build=build,
        app_guid=app.guid,
        app_name=app.name,
        space_guid=app.space_guid,
        organization_guid=space.organization_guid,
        package_sha256=package.blob_sha256,
        environment=environment,
        has_command=bool(web is not None and web.command),
        packs=tuple((row.name, row.blob_sha256) for row in packs if row.blob_sha256 is not None),
        order=tuple(row.name.removesuffix("_buildpack") if row.builtin else row.name for row in packs),
        disk_mb=build.staging_disk_mb,
        caches=generation(tx, app),
    )


def dependencies_key(inputs: Inputs, key: str) -> str:
    """Under which a layer of dependencies is found again."""
    return f"dependencies/{inputs.caches}/{key}" if inputs.caches else f"dependencies/{key}"


def settings_key(inputs: Inputs, *, stack_digest: str, catalogue: Any, tools: Mapping[str, str], packs: Any) -> str:
    """Changes with whatever changes the droplet besides the app's own files."""
    # Routes and versions change at every push and reach the app when it starts.
    environment = {
        name: value for name, value in inputs.environment.items() if name not in ("VCAP_APPLICATION", "MEMORY_LIMIT")
    }
    content = [
        inputs.build.buildpacks,
        stack_digest,
        environment,
        catalogue,
        dict(tools),
        packs,
        inputs.packs,
        inputs.order,
        *([inputs.caches] if inputs.caches else []),
    ]
    return digest("settings", lifecycle_digest(), json.dumps(content, sort_keys=True))


@cache
def lifecycle_digest() -> str:
    """The built-in buildpacks' own source: a new release builds again."""
    root = Path(paasd.buildpacks.__file__).parent
    state = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".toml"):
            state.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return state.hexdigest()


def reuse_key(settings: str, fingerprint: str, *, moving: bool, today: str) -> str:
    """`moving` builds draw in something that nothing pins, so they are as good as the day they were made."""
    return f"{settings}:{fingerprint}:{today if moving else 'pinned'}"


def is_current(key: str, settings: str, today: str) -> bool:
    """Whether a droplet of this reuse key is what these settings would make of the same files today."""
    parts = key.split(":")
    return len(parts) == 3 and parts[0] == settings and parts[2] in ("pinned", today)


def same_package(tx: ReadTx, inputs: Inputs, settings: str, today: str) -> Droplet | None:
    """A droplet of the app made of the very same upload under the same settings."""
    recent = tx.all(Droplet, app_guid=inputs.app_guid, state="STAGED", order=("-created_at",), limit=_LOOK_BACK)
    for droplet in recent:
        package = tx.get(Package, droplet.package_guid) if droplet.package_guid else None
        same = package is not None and package.blob_sha256 == inputs.package_sha256
        if same and is_current(droplet.reuse_key, settings, today):
            return droplet
    return None


def same_files(tx: ReadTx, app_guid: str, key: str) -> Droplet | None:
    """The newest droplet of the app with this reuse key."""
    found = tx.all(Droplet, app_guid=app_guid, reuse_key=key, state="STAGED", order=("-created_at",), limit=1)
    return found[0] if found else None


def day(now: float) -> str:
    return datetime.datetime.fromtimestamp(now, datetime.UTC).date().isoformat()
