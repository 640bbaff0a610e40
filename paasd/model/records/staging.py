"""From source to something that runs: packages, builds, droplets and the layers they are made of."""

import msgspec

from paasd.model.records.resource import Resource
from paasd.state import Record


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a build for the waterfall; `started_at` in unix seconds."""

    step: str
    started_at: float
    duration_s: float


class DropletLayer(msgspec.Struct, frozen=True, kw_only=True):
    """One read-only image; `role` is toolchain, dependencies or app."""

    role: str
    sha256: str
    size_bytes: int


class DropletBuildpack(msgspec.Struct, frozen=True, kw_only=True):
    """What a buildpack said about itself when it made the droplet."""

    name: str
    detect_output: str | None = None
    buildpack_name: str | None = None
    version: str | None = None


class DropletSidecar(msgspec.Struct, frozen=True, kw_only=True):
    """A sidecar that a buildpack asks for."""

    name: str
    command: str
    process_types: list[str] = []
    memory_mb: int | None = None


class Package(Resource, table="packages"):
    """Source code: AWAITING_UPLOAD, PROCESSING_UPLOAD, READY, FAILED or EXPIRED."""

    app_guid: str
    type: str = "bits"
    state: str = "AWAITING_UPLOAD"
    blob_sha256: str | None = None
    size_bytes: int | None = None
    error: str | None = None


class Build(Resource, table="builds"):
    """One staging run: STAGING, STAGED or FAILED. Reports must carry the (node_guid, epoch) of the row."""

    app_guid: str
    package_guid: str
    state: str = "STAGING"
    error: str | None = None
    droplet_guid: str | None = None
    node_guid: str | None = None
    epoch: int = 0
    deadline_at: str
    buildpacks: list[str] = []
    stack: str
    staging_memory_mb: int = 1024
    staging_disk_mb: int = 4096
    staging_log_rate_limit_bytes: int = -1
    created_by_guid: str = ""
    created_by_name: str = ""
    timings: list[Timing] = []


class Droplet(Resource, table="droplets", secret=("process_types", "sidecars")):
    """What can be started: made by a build (STAGED), copied, or uploaded (AWAITING_UPLOAD, PROCESSING_UPLOAD, then
    STAGED or FAILED). `reuse_key` names the inputs of a build, so that an unchanged push finds its droplet again.
    `process_types` has the command of each.
    """

    app_guid: str
    package_guid: str | None = None
    build_guid: str | None = None
    state: str = "STAGED"
    error: str | None = None
    stack: str | None = None
    layers: list[DropletLayer] = []
    process_types: dict[str, str] = {}
    sidecars: list[DropletSidecar] = []
    buildpacks: list[DropletBuildpack] = []
    image: str | None = None
    reuse_key: str = ""


class DropletUpload(Record, table="droplet_uploads", key=("droplet_guid",)):
    """An uploaded droplet that `node_guid`, where its blob is, turns into layers. The row goes when that has ended."""

    droplet_guid: str
    created_at: str = ""
    app_guid: str
    job_guid: str
    node_guid: str
    blob_sha256: str
    stack: str
    memory_mb: int
    disk_mb: int
    deadline_at: str


class Layer(Record, table="layers", key=("cache_key",)):
    """A dependency or toolchain layer found again by key; toolchains belong to no organization.

    `cache_key` is `<space guid or "">/<key>`: layers are shared inside one space only.
    """

    cache_key: str
    created_at: str = ""
    organization_guid: str | None = None
    role: str
    sha256: str
    size_bytes: int
