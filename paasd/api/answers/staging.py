"""Packages, builds and droplets."""

from typing import Literal

from paasd.api.answers.apps import LifecycleShown
from paasd.api.answers.basis import Answer, Described, Nothing, OfApp, Reference
from paasd.api.words import BuildState, DropletState, LifecycleType, PackageState, PackageType


class Checksum(Answer):
    """Of bits; null until there are any."""

    type: Literal["sha256"]
    value: str | None


class PackageData(Answer):
    """What is wrong with it, and what its bits are."""

    error: str | None
    checksum: Checksum


class PackageShown(Described):
    """A package."""

    type: PackageType
    data: PackageData
    state: PackageState
    relationships: OfApp


class TimingShown(Answer):
    """A step of a build for the waterfall: unix time and seconds. Not part of Cloud Foundry; clients skip it."""

    step: str
    started_at: float
    duration_s: float


class Creator(Answer):
    """Who asked for a build."""

    guid: str
    name: str
    email: str


class BuildShown(Described):
    """A build."""

    state: BuildState
    error: str | None
    staging_memory_in_mb: int
    staging_disk_in_mb: int
    staging_log_rate_limit_bytes_per_second: int
    lifecycle: LifecycleShown
    package: Reference
    droplet: Reference | None
    created_by: Creator
    relationships: OfApp
    timings: list[TimingShown]


class DropletLifecycle(Answer):
    """Made by buildpacks."""

    type: LifecycleType
    data: Nothing


class DropletBuildpackShown(Answer):
    """What a buildpack said about itself."""

    name: str
    detect_output: str | None
    buildpack_name: str | None
    version: str | None


class DropletShown(Described):
    """A droplet; in lists the start commands are hidden."""

    state: DropletState
    error: str | None
    lifecycle: DropletLifecycle
    execution_metadata: str
    process_types: dict[str, str]
    checksum: Checksum | None
    buildpacks: list[DropletBuildpackShown]
    stack: str | None
    image: str | None
    relationships: OfApp
