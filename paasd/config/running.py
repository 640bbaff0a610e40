"""[supervisor], [staging]: how source becomes a droplet, and a droplet a running app."""

from typing import Annotated, Any

from msgspec import Meta

from paasd.config.section import Section


class SupervisorConfig(Section, frozen=True, kw_only=True):
    """[supervisor]: how instances are kept running."""

    parallel_starts: Annotated[
        int,
        Meta(ge=1, le=64, description="Containers made at once; more start a storm sooner and slow what already runs."),
    ] = 4
    start_timeout_s: Annotated[
        float, Meta(gt=0, description="Time for an app to become healthy when its process names none, in seconds.")
    ] = 60.0
    start_timeout_limit_s: Annotated[
        float, Meta(gt=0, description="Longest start time that a process may ask for, in seconds.")
    ] = 600.0
    eager_probe_interval_s: Annotated[
        float, Meta(gt=0, description="Time between probes of an instance that has just started, in seconds.")
    ] = 0.05
    eager_probe_s: Annotated[
        float, Meta(ge=0, description="How long an instance counts as just started, in seconds.")
    ] = 2.0
    start_probe_interval_s: Annotated[
        float, Meta(gt=0, description="Time between later probes until the first success, in seconds.")
    ] = 2.0
    liveness_interval_s: Annotated[
        float, Meta(gt=0, description="Time between probes of a healthy instance when its process names none, seconds.")
    ] = 30.0
    liveness_failures: Annotated[
        int,
        Meta(
            ge=1,
            description="Failed probes in a row that end a healthy instance. Cloud Foundry ends it at the first;"
            " a second look after start_probe_interval_s forgives one stall of a busy machine.",
        ),
    ] = 2
    invocation_timeout_s: Annotated[
        float, Meta(gt=0, description="Time for one probe when the process names none, in seconds.")
    ] = 1.0
    drain_s: Annotated[
        float,
        Meta(ge=0, le=60, description="Between leaving the routes and TERM, so that no router still sends requests."),
    ] = 0.5
    leave_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            le=60,
            description="With several nodes: longest wait until the routers of all have let go of an instance, before"
            " TERM. A router that is away costs every stop so long.",
        ),
    ] = 2.0
    superseded_grace_s: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="Instead of stop_grace_s for what was replaced while this node counted as dead; with"
            " leave_timeout_s it should stay below 10 s.",
        ),
    ] = 5.0
    stop_grace_s: Annotated[
        float, Meta(ge=0, le=600, description="Between TERM and KILL, in seconds; Cloud Foundry's apps expect 10.")
    ] = 10.0
    output_grace_s: Annotated[
        float,
        Meta(
            ge=0, le=60, description="Time to take the last output of an ended instance; the rest is lost and counted."
        ),
    ] = 3.0
    immediate_restarts: Annotated[
        int, Meta(ge=0, description="Crashes after which an instance is started again at once.")
    ] = 3
    backoff_s: Annotated[
        float, Meta(gt=0, description="Wait before the next restart, doubled after each further crash, in seconds.")
    ] = 30.0
    backoff_limit_s: Annotated[float, Meta(gt=0, description="Longest wait before a restart, in seconds.")] = 960.0
    crash_limit: Annotated[
        int, Meta(ge=1, description="Crashes after which an instance stays down until its app is restarted.")
    ] = 200
    crash_forgiven_s: Annotated[
        float, Meta(gt=0, description="An instance that ran for so long starts counting crashes anew, in seconds.")
    ] = 300.0
    usage_interval_s: Annotated[
        float, Meta(gt=0, description="Time between samples of CPU, memory and disk, in seconds.")
    ] = 5.0
    crash_report_interval_s: Annotated[
        float, Meta(gt=0, description="Crashes of one app within this time become one row of its events, in seconds.")
    ] = 60.0
    reconcile_interval_s: Annotated[
        float,
        Meta(gt=0, description="How often desired and running instances are compared without a wake-up, seconds."),
    ] = 30.0
    spool_limit_bytes: Annotated[
        int,
        Meta(
            ge=1024 * 1024,
            description="Disk for output of one instance that no daemon has read yet; beyond it output is dropped"
            " and counted.",
        ),
    ] = 16 * 1024 * 1024
    pids: Annotated[int, Meta(ge=16, description="Processes and threads of one instance.")] = 1024
    cores_limit: Annotated[
        float,
        Meta(
            ge=0,
            description="Most processor time of one instance or task, in cores (0.5 is half of one, 0.05 the least); "
            "0 is no limit: then they share what there is by their memory.",
        ),
    ] = 0.0
    open_files: Annotated[int, Meta(ge=64, description="Open files of one process of an instance.")] = 16_384
    inodes: Annotated[int, Meta(ge=1000, description="Files that one instance may make on its disk.")] = 200_000


class StagingConfig(Section, frozen=True, kw_only=True):
    """[staging]: how source becomes a droplet."""

    parallel: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="Builds at once on this node, organizations in turn; each may use its whole memory and a core."
            " One more is kept for an organization that has none here and built little lately.",
        ),
    ] = 2
    timeout_s: Annotated[
        float, Meta(ge=10, description="Longest time for one build, in seconds, from its unpacking to its last layer.")
    ] = 900
    cpu_weight: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Processor share of a build beside instances (100 each GB of their memory)."),
    ] = 100
    cores_limit: Annotated[
        float, Meta(ge=0, description="Most processor time of one build, in cores; 0 is no limit.")
    ] = 0.0
    pids: Annotated[
        int, Meta(ge=64, le=32_768, description="Processes and threads of one build; npm needs hundreds.")
    ] = 1024
    inodes: Annotated[
        int, Meta(ge=10_000, description="Files of one build, installed dependencies included; each costs 256 bytes.")
    ] = 600_000
    open_files: Annotated[int, Meta(ge=256, description="Open files of each process of a build.")] = 8192
    log_limit_bytes_per_s: Annotated[
        int,
        Meta(ge=1024, description="Staging output kept, in bytes per second; what is above is dropped and counted."),
    ] = 512 * 1024
    entries_limit: Annotated[
        int, Meta(ge=100, description="Files in one package; more are refused by the name of the first one too many.")
    ] = 200_000
    unpacked_limit_bytes: Annotated[
        int, Meta(ge=1024 * 1024, description="Size of one package when unpacked, in bytes.")
    ] = 4 * 1024**3
    image_limit_bytes: Annotated[
        int, Meta(ge=1024 * 1024, description="Largest layer that a build may hand over, in bytes, compressed.")
    ] = 4 * 1024**3
    result_limit_bytes: Annotated[
        int,
        Meta(ge=4096, le=16 * 1024 * 1024, description="Largest plan or result that a build may hand over, in bytes."),
    ] = 1024 * 1024
    cache_limit_bytes: Annotated[
        int,
        Meta(ge=0, description="Largest package cache kept for one app on this node, in bytes; 0 keeps none."),
    ] = 1024**3
    caches_limit_bytes: Annotated[
        int,
        Meta(ge=0, description="Package caches kept for one organization on this node, in bytes; the oldest go first."),
    ] = 8 * 1024**3
    downloads: Annotated[
        int, Meta(ge=1, le=64, description="Droplets that may be downloaded at once; each takes a small container.")
    ] = 4
    download_timeout_s: Annotated[
        float,
        Meta(ge=10, description="Longest time for the download of one droplet, in seconds; it is broken off then."),
    ] = 900
    inherit_host_settings: Annotated[
        bool,
        Meta(
            description="Take indexes, registry, proxy and certificates from this host's pip, npm and environment, "
            "none with its password. Through a proxy builds reach whatever it lets this host reach."
        ),
    ] = True
    pip_index_url: Annotated[
        str, Meta(description="Python package index; empty takes the host's, then the public one.")
    ] = ""
    pip_extra_index_urls: Annotated[
        tuple[str, ...],
        Meta(description="Further Python package indexes. Builds see them, passwords included."),
    ] = ()
    npm_registry: Annotated[str, Meta(description="npm registry; empty takes the host's, then the public one.")] = ""
    certificates: Annotated[
        str, Meta(description="PEM file of the authorities that builds trust; empty takes the host's usual file.")
    ] = ""
    allowed: Annotated[
        tuple[str, ...],
        Meta(
            description="Further hosts that builds may reach, such as github.com or mirror.example:8443 (443 without a "
            "port). Nothing else than these and the indexes can be reached while building."
        ),
    ] = ()
    toolchains: Annotated[
        tuple[dict[str, Any], ...],
        Meta(description="Further toolchains, or replacements, with the keys of the shipped catalogue."),
    ] = ()
    buildpacks: Annotated[
        dict[str, str],
        Meta(description="Further buildpacks by name: a directory or zip file on this node."),
    ] = {}
    buildpack_order: Annotated[
        tuple[str, ...],
        Meta(description="Buildpacks asked in turn for an app that names none; empty takes the built-in ones."),
    ] = ()
