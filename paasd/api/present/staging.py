"""Packages, builds and droplets as clients see them."""

from collections.abc import Sequence

from paasd.api.answers import Links, Nothing, OfApp, Reference
from paasd.api.answers.apps import LifecycleDataShown, LifecycleShown
from paasd.api.answers.staging import (
    BuildShown,
    Checksum,
    Creator,
    DropletBuildpackShown,
    DropletLifecycle,
    DropletShown,
    PackageData,
    PackageShown,
    TimingShown,
)
from paasd.api.listing import View, common, to_one
from paasd.api.present.apps import REDACTED
from paasd.model import Build, Droplet, Package
from paasd.model.records.staging import Timing


def present_packages(view: View, rows: Sequence[Package]) -> list[PackageShown]:
    """Packages; a failed one says why."""

    def links(row: Package) -> Links:
        return {
            "self": view.urls.link("packages", row.guid),
            "upload": view.urls.link("packages", row.guid, "upload", method="POST"),
            "download": view.urls.link("packages", row.guid, "download", method="GET"),
            "app": view.urls.link("apps", row.app_guid),
        }

    return [
        PackageShown(
            **base,
            type=row.type,
            data=PackageData(error=row.error, checksum=Checksum(type="sha256", value=row.blob_sha256)),
            state=row.state,
            relationships=OfApp(app=to_one(row.app_guid)),
        )
        for base, row in zip(common(view, rows, links), rows, strict=True)
    ]


def present_timings(timings: Sequence[Timing]) -> list[TimingShown]:
    """The steps of a build for the waterfall; not part of Cloud Foundry, clients skip it."""
    return [TimingShown(step=one.step, started_at=one.started_at, duration_s=one.duration_s) for one in timings]


def present_builds(view: View, rows: Sequence[Build]) -> list[BuildShown]:
    """Builds with what they were asked for and the droplet they made."""

    def links(row: Build) -> Links:
        found = {"self": view.urls.link("builds", row.guid), "app": view.urls.link("apps", row.app_guid)}
        if row.droplet_guid is not None:
            found["droplet"] = view.urls.link("droplets", row.droplet_guid)
        return found

    return [
        BuildShown(
            **base,
            state=row.state,
            error=row.error,
            staging_memory_in_mb=row.staging_memory_mb,
            staging_disk_in_mb=row.staging_disk_mb,
            staging_log_rate_limit_bytes_per_second=row.staging_log_rate_limit_bytes,
            lifecycle=LifecycleShown(
                type="buildpack", data=LifecycleDataShown(buildpacks=row.buildpacks, stack=row.stack)
            ),
            package=Reference(guid=row.package_guid),
            droplet=None if row.droplet_guid is None else Reference(guid=row.droplet_guid),
            created_by=Creator(guid=row.created_by_guid, name=row.created_by_name, email=row.created_by_name),
            relationships=OfApp(app=to_one(row.app_guid)),
            timings=present_timings(row.timings),
        )
        for base, row in zip(common(view, rows, links), rows, strict=True)
    ]


def present_droplets(view: View, rows: Sequence[Droplet], *, redact: bool = True) -> list[DropletShown]:
    """Droplets; in lists the start commands are hidden."""

    def links(row: Droplet) -> Links:
        found = {
            "self": view.urls.link("droplets", row.guid),
            "app": view.urls.link("apps", row.app_guid),
            "assign_current_droplet": view.urls.link(
                "apps", row.app_guid, "relationships", "current_droplet", method="PATCH"
            ),
            "download": view.urls.link("droplets", row.guid, "download"),
        }
        if row.state == "AWAITING_UPLOAD":
            found["upload"] = view.urls.link("droplets", row.guid, "upload", method="POST")
        if row.package_guid is not None:
            found["package"] = view.urls.link("packages", row.package_guid)
        return found

    return [
        DropletShown(
            **base,
            state=row.state,
            error=row.error,
            lifecycle=DropletLifecycle(type="buildpack", data=Nothing()),
            execution_metadata="",
            process_types={name: REDACTED if redact else command for name, command in row.process_types.items()},
            checksum=_checksum(row),
            buildpacks=[
                DropletBuildpackShown(
                    name=one.name,
                    detect_output=one.detect_output,
                    buildpack_name=one.buildpack_name,
                    version=one.version,
                )
                for one in row.buildpacks
            ],
            stack=row.stack,
            image=row.image,
            relationships=OfApp(app=to_one(row.app_guid)),
        )
        for base, row in zip(common(view, rows, links), rows, strict=True)
    ]


def _checksum(row: Droplet) -> Checksum | None:
    """The checksum of the app layer, which no two droplets with different content share."""
    own = [layer for layer in row.layers if layer.role == "app"]
    return Checksum(type="sha256", value=own[-1].sha256) if own else None
