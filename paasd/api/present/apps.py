"""Apps, processes, sidecars and instance statistics as clients see them."""

from collections.abc import Sequence
from typing import Any

from paasd.api.answers import Link, Links, OfApp, Related
from paasd.api.answers.apps import (
    AppRelations,
    AppShown,
    HealthCheckData,
    HealthCheckShown,
    LifecycleDataShown,
    LifecycleShown,
    ProcessRelations,
    ProcessShown,
    ReadinessData,
    ReadinessShown,
    SidecarShown,
)
from paasd.api.listing import View, common, to_one
from paasd.model import App, Droplet, HealthCheck, Process, Revision, Sidecar
from paasd.state import In

REDACTED = "[PRIVATE DATA HIDDEN IN LISTS]"


def present_apps(view: View, rows: Sequence[App]) -> list[AppShown]:
    """Apps with their lifecycle."""

    def links(row: App) -> Links:
        def below(*parts: str, method: str | None = None) -> Link:
            return view.urls.link("apps", row.guid, *parts, method=method)

        return {
            "self": below(),
            "environment_variables": below("environment_variables"),
            "space": view.urls.link("spaces", row.space_guid),
            "processes": below("processes"),
            "packages": below("packages"),
            "current_droplet": below("droplets", "current"),
            "droplets": below("droplets"),
            "tasks": below("tasks"),
            "start": below("actions", "start", method="POST"),
            "stop": below("actions", "stop", method="POST"),
            "revisions": below("revisions"),
            "deployed_revisions": below("revisions", "deployed"),
            "features": below("features"),
        }

    return [
        AppShown(
            **base,
            name=row.name,
            state=row.state,
            lifecycle=LifecycleShown(
                type=row.lifecycle_type, data=LifecycleDataShown(buildpacks=row.buildpacks, stack=row.stack)
            ),
            relationships=AppRelations(space=to_one(row.space_guid), current_droplet=to_one(row.droplet_guid)),
        )
        for base, row in zip(common(view, rows, links), rows, strict=True)
    ]


def present_health_check(check: HealthCheck) -> HealthCheckShown:
    """A health check; times in seconds."""
    return HealthCheckShown(type=check.type, data=HealthCheckData(**_check_data(check), timeout=check.timeout_s))


def present_readiness(check: HealthCheck) -> ReadinessShown:
    """A readiness check has no time to start in."""
    return ReadinessShown(type=check.type, data=ReadinessData(**_check_data(check)))


def _check_data(check: HealthCheck) -> dict[str, Any]:
    data = {"invocation_timeout": check.invocation_timeout_s, "interval": check.interval_s}
    return {**data, "endpoint": check.endpoint or "/"} if check.type == "http" else data


def present_processes(view: View, rows: Sequence[Process], *, redact: bool = True) -> list[ProcessShown]:
    """Processes; in lists the command is hidden, since people put secrets there."""

    def links(row: Process) -> Links:
        return {
            "self": view.urls.link("processes", row.guid),
            "scale": view.urls.link("processes", row.guid, "actions", "scale", method="POST"),
            "app": view.urls.link("apps", row.app_guid),
            "space": view.urls.link("spaces", spaces.get(row.app_guid, "")),
            "stats": view.urls.link("processes", row.guid, "stats"),
            "process_instances": view.urls.link("processes", row.guid, "process_instances"),
        }

    apps = _apps_of(view, rows)
    spaces = {guid: app.space_guid for guid, app in apps.items()}
    commands = _commands(view, apps, rows)
    revisions = _revisions(view, apps)
    return [
        ProcessShown(
            **base,
            version=row.updated_at,
            type=row.type,
            command=REDACTED if redact and command is not None else command,
            user="vcap",
            instances=row.instances,
            memory_in_mb=row.memory_mb,
            disk_in_mb=row.disk_mb,
            log_rate_limit_in_bytes_per_second=row.log_rate_limit_bytes,
            health_check=present_health_check(row.health_check),
            readiness_health_check=present_readiness(row.readiness_health_check),
            relationships=ProcessRelations(app=to_one(row.app_guid), revision=_revision(revisions, row)),
        )
        for base, row, command in zip(common(view, rows, links), rows, commands, strict=True)
    ]


def _commands(view: View, apps: dict[str, App], rows: Sequence[Process]) -> list[str | None]:
    """What each process is started with: its own command, else that of the app's current droplet."""
    guids = {app.droplet_guid for app in apps.values() if app.droplet_guid is not None}
    droplets = {droplet.guid: droplet.process_types for droplet in view.tx.all(Droplet, In("guid", guids))}
    return [row.command or droplets.get(apps[row.app_guid].droplet_guid or "", {}).get(row.type) for row in rows]


def _revisions(view: View, apps: dict[str, App]) -> dict[str, Revision]:
    """By app, with what it was started the last time."""
    guids = {app.revision_guid for app in apps.values() if app.revision_guid is not None}
    return {revision.app_guid: revision for revision in view.tx.all(Revision, In("guid", guids))}


def _revision(revisions: dict[str, Revision], row: Process) -> Related:
    """None for a process that was added since."""
    found = revisions.get(row.app_guid)
    return to_one(found.guid if found is not None and row.type in found.commands else None)


def present_sidecars(_view: View, rows: Sequence[Sidecar], *, redact: bool = True) -> list[SidecarShown]:
    """Sidecars of an app; their commands are hidden in lists as those of processes are."""
    return [
        SidecarShown(
            guid=row.guid,
            created_at=row.created_at,
            updated_at=row.updated_at,
            name=row.name,
            command=REDACTED if redact else row.command,
            process_types=row.process_types,
            memory_in_mb=row.memory_mb,
            origin=row.origin,
            relationships=OfApp(app=to_one(row.app_guid)),
        )
        for row in rows
    ]


def _apps_of(view: View, rows: Sequence[Process]) -> dict[str, App]:
    return {app.guid: app for app in view.tx.all(App, In("guid", {row.app_guid for row in rows}))}
