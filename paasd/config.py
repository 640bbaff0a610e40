"""Every knob of a node: TOML in, frozen structs out; unknown keys are refused by path.

A section per part of paasd. Each knob says what it means, its unit and what moving it costs; `docs/config.toml` is made
from these descriptions and a test keeps the two alike.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from paasd.errors import ConfigError


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration file."""


class NodeConfig(Section, frozen=True, kw_only=True):
    """[node]: who this node is."""

    name: Annotated[str, Meta(description="Name shown in lists; empty takes the host name.")] = ""
    zone: Annotated[str, Meta(description="Zone label such as aws/eu-west-2a or dc1/rack4.")] = "local/a"
    memory_mb: Annotated[
        int,
        Meta(ge=0, description="Memory for tenants, in MB; 0 takes 80 % of the machine. More risks the daemon itself."),
    ] = 0
    disk_mb: Annotated[
        int, Meta(ge=0, description="Disk for tenants, in MB; 0 takes 80 % of the free space at start.")
    ] = 0


class DomainsConfig(Section, frozen=True, kw_only=True):
    """[domains]: under which names the platform answers."""

    apps: Annotated[str, Meta(description="Domain under which apps get a default route.")] = "apps.localhost"
    system: Annotated[str, Meta(description="Domain of api., login., log-cache. and the other doors.")] = (
        "system.localhost"
    )


class ApiConfig(Section, frozen=True, kw_only=True):
    """[api]: the HTTP door of the daemon itself."""

    host: Annotated[str, Meta(description="Address of the plain listener; keep it on loopback.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port of the plain listener; 0 picks a free one.")] = 7480
    body_limit_bytes: Annotated[
        int, Meta(ge=1024, description="Largest request body other than an upload, in bytes; it is held in memory.")
    ] = 2 * 1024 * 1024
    upload_limit_bytes: Annotated[
        int, Meta(ge=1024 * 1024, description="Largest package or droplet upload, in bytes; it is streamed to disk.")
    ] = 2 * 1024 * 1024 * 1024
    header_limit_bytes: Annotated[
        int,
        Meta(
            ge=9216,
            le=1024 * 1024,
            description="Request line and headers together, in bytes; clients send lists of guids of 7.5 KB.",
        ),
    ] = 32 * 1024
    connections_limit: Annotated[
        int,
        Meta(ge=8, description="Connections served at once; more are closed at once, so a flood cannot fill memory."),
    ] = 1024
    grace_s: Annotated[
        float, Meta(ge=0, description="Seconds that requests in progress get at shutdown; then their sockets are cut.")
    ] = 5.0
    stall_timeout_s: Annotated[
        float,
        Meta(ge=1, description="A client that takes no byte for so many seconds is dropped (TCP_USER_TIMEOUT)."),
    ] = 60.0
    body_timeout_s: Annotated[
        float, Meta(ge=1, description="Longest wait for the next piece of a request body, in seconds.")
    ] = 60.0
    keep_alive_s: Annotated[
        float, Meta(ge=0, description="Seconds that an idle connection is kept open for the next request.")
    ] = 30.0
    follow_limit: Annotated[
        int, Meta(ge=1, description="Log and staging streams open at once; each holds a connection and a small buffer.")
    ] = 256
    push_wait_s: Annotated[
        float, Meta(ge=1, description="Longest time that a push with wait=true is followed, in seconds.")
    ] = 3600.0


class StateConfig(Section, frozen=True, kw_only=True):
    """[state]: the replicated database."""

    write_timeout_s: Annotated[
        float,
        Meta(
            gt=0, le=300, description="How long a caller waits for a write, in seconds. Shorter answers unknown sooner."
        ),
    ] = 10.0
    queue: Annotated[
        int, Meta(ge=1, le=100_000, description="Writes that may wait for their turn; more are refused with 503.")
    ] = 2000
    group: Annotated[
        int, Meta(ge=1, le=1000, description="Most writes that share one log entry. More helps bursts, delays each.")
    ] = 64
    group_bytes: Annotated[
        int,
        Meta(ge=4096, le=1_048_576, description="A group of writes is closed above this many bytes of changes."),
    ] = 256 * 1024
    operation_bytes: Annotated[
        int,
        Meta(
            ge=4096, le=1_400_000, description="Most bytes that one write may change; etcd takes no more than 1.5 MB."
        ),
    ] = 1024 * 1024
    log_entries: Annotated[
        int,
        Meta(
            ge=10, le=10_000_000, description="Entries that the log of a single node keeps; watchers resume from them."
        ),
    ] = 10_000
    catch_up_entries: Annotated[
        int, Meta(ge=1, le=500, description="Entries read and applied at once when others have written.")
    ] = 200
    retry_s: Annotated[
        float, Meta(gt=0, le=1, description="First pause, in seconds, before a lost or refused append is tried again.")
    ] = 0.005
    readers: Annotated[
        int,
        Meta(ge=1, le=64, description="Reads that may be open at once; reads end without waiting, so few are needed."),
    ] = 8
    watch_keys: Annotated[
        int, Meta(ge=1, description="Changed rows remembered for a watcher that is busy; above it re-reads everything.")
    ] = 10_000
    request_memory_s: Annotated[
        float, Meta(ge=60, description="How long, in seconds, a request id gives the stored result instead of a rerun.")
    ] = 86_400.0
    snapshot_interval_s: Annotated[
        float, Meta(ge=0, description="Seconds between snapshots of the database on this node; 0 takes none.")
    ] = 86_400.0
    snapshots: Annotated[
        int, Meta(ge=1, le=100, description="Snapshots that are kept; each is as large as the data.")
    ] = 3


class BlobsConfig(Section, frozen=True, kw_only=True):
    """[blobs]: content-addressed files."""

    buffer_bytes: Annotated[
        int,
        Meta(ge=4096, le=64 * 1024 * 1024, description="Bytes written and hashed at once, held in memory per stream."),
    ] = 1024 * 1024
    threads: Annotated[
        int, Meta(ge=1, le=64, description="Blob files read or written at once; more helps fast disks only.")
    ] = 4
    collect_after_s: Annotated[
        float, Meta(ge=0, description="Seconds that a blob is kept after the last row that referred to it.")
    ] = 86_400.0


class LogsConfig(Section, frozen=True, kw_only=True):
    """[logs]: log lines kept on this node."""

    size_limit_bytes: Annotated[
        int, Meta(ge=4 * 1024 * 1024, description="Disk for all kept lines, in bytes; the oldest go first.")
    ] = 1024 * 1024 * 1024
    age_limit_s: Annotated[float, Meta(gt=0, description="Lines older than this are removed, in seconds.")] = (
        14 * 86400.0
    )
    lines_per_source: Annotated[
        int,
        Meta(ge=100, description="Lines kept of one app; a talkative app removes its own lines, not its neighbours'."),
    ] = 100_000
    line_limit_bytes: Annotated[
        int, Meta(ge=256, le=1024 * 1024, description="Longest line, in bytes; the rest is cut and a marker says so.")
    ] = 64 * 1024
    source_lines_per_s: Annotated[
        int,
        Meta(
            ge=1,
            description="Platform lines (access log, staging, API) taken of one app per second, and the burst; more are"
            " dropped and counted. What the app prints has the limit of its process instead.",
        ),
    ] = 16_000
    queue_limit_lines: Annotated[
        int, Meta(ge=100, description="Lines waiting to be written; when full, more are dropped and counted.")
    ] = 50_000
    queue_limit_bytes: Annotated[
        int, Meta(ge=64 * 1024, description="Bytes waiting to be written; bounds memory when the disk is slow.")
    ] = 32 * 1024 * 1024
    write_delay_s: Annotated[
        float, Meta(ge=0, le=5, description="How long a line may wait for others, to share a transaction with them.")
    ] = 0.02
    follower_limit_lines: Annotated[
        int,
        Meta(ge=1, description="Lines waiting for one follower; a slower follower loses lines and is told how many."),
    ] = 4_000
    trim_interval_s: Annotated[
        float, Meta(gt=0, description="How often the size and age limits are applied, in seconds.")
    ] = 15.0
    spool_lines_per_s: Annotated[
        int,
        Meta(
            ge=1000,
            description="Lines of all instances together that are read from spools per second, in turns. What comes"
            " faster fills the spool of its instance, and then is dropped and counted there; bounds the daemon's CPU.",
        ),
    ] = 40_000
    spool_poll_s: Annotated[
        float,
        Meta(gt=0, le=10, description="Longest wait before a spool is looked at again when no change was announced."),
    ] = 1.0
    spool_read_bytes: Annotated[
        int,
        Meta(ge=4096, description="Bytes of a spool taken in one step; larger steps hold up other work for longer."),
    ] = 64 * 1024


class SandboxConfig(Section, frozen=True, kw_only=True):
    """[sandbox]: what isolates tenants."""

    stack: Annotated[str, Meta(description="Default stack: host (development) or debian12 (production).")] = "host"
    cgroup_parent: Annotated[
        str,
        Meta(
            description="Cgroup below which containers get theirs, such as /system.slice/paasd-holder.service; empty "
            "takes that of the holder unit where it runs, else the root."
        ),
    ] = ""
    shm_bytes: Annotated[
        int,
        Meta(ge=65536, description="Size of /dev/shm of a container, in bytes; what is in it counts as its memory."),
    ] = 64 * 1024 * 1024
    start_timeout_s: Annotated[
        float,
        Meta(gt=0, description="Seconds until a container that does not come up is given up; a busy disk takes some."),
    ] = 30.0
    kill_timeout_s: Annotated[
        float,
        Meta(gt=0, description="Seconds that the kernel gets to end killed processes before the sandbox complains."),
    ] = 20.0


class NetworkConfig(Section, frozen=True, kw_only=True):
    """[network]: addresses, egress and limits of instances."""

    supernet: Annotated[
        str,
        Meta(description="IPv4 range of all nodes of a host; instances may never reach it, so pick an unused one."),
    ] = "10.254.0.0/16"
    pool_prefix_length: Annotated[
        int, Meta(ge=18, le=28, description="Size of the pool that one node takes of it; /21 gives 2,046 addresses.")
    ] = 21
    quarantine_s: Annotated[
        float,
        Meta(ge=0, description="Seconds before an address is used again; shorter risks requests to the wrong tenant."),
    ] = 60.0
    uplinks: Annotated[
        tuple[str, ...],
        Meta(description="Interfaces over which instances reach the network; empty takes those of the default routes."),
    ] = ()
    mtu: Annotated[int, Meta(ge=0, le=9000, description="MTU of instances; 0 takes the smallest of the uplinks.")] = 0
    flows_limit: Annotated[
        int,
        Meta(ge=16, description="Connections that one instance may hold open outwards; the host's table is shared."),
    ] = 4096
    resolver_flows_limit: Annotated[
        int, Meta(ge=4, description="Name look-ups of one instance at once, counted as the kernel tracks them.")
    ] = 512
    upload_mbit: Annotated[int, Meta(ge=0, description="Upload of one instance, in Mbit/s; 0 sets no limit.")] = 0
    download_mbit: Annotated[int, Meta(ge=0, description="Download of one instance, in Mbit/s; 0 sets no limit.")] = 0


class DiskConfig(Section, frozen=True, kw_only=True):
    """[disk]: quota disks, mounted images and stacks."""

    reserve_mb: Annotated[
        int, Meta(ge=0, description="Free space that quota disks may never claim, in MB; logs and state live there.")
    ] = 1024
    overcommit: Annotated[
        float,
        Meta(
            ge=1, le=10, description="Quota disks may promise so many times the free space; above 1 the host can fill."
        ),
    ] = 1.0
    image_format: Annotated[
        str,
        Meta(pattern="^(auto|squashfs|ext4)$", description="How layers are mounted; auto asks the kernel at start."),
    ] = "auto"
    image_copy_keep_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds that an unused ext4 copy of a layer stays (kernels before 6.2); making it costs time.",
        ),
    ] = 7 * 86400.0
    stack_mirror: Annotated[
        str, Meta(description="Debian mirror from which stacks are built; empty takes the host's own apt sources.")
    ] = ""
    stack_build_timeout_s: Annotated[
        float, Meta(ge=60, description="Longest time that building a stack may take, in seconds.")
    ] = 1800.0


class DnsConfig(Section, frozen=True, kw_only=True):
    """[dns]: the resolver that instances see at 169.254.1.1."""

    upstreams: Annotated[
        tuple[str, ...],
        Meta(description="Name servers as address or address:port; empty takes those of the host's resolv.conf."),
    ] = ()
    private_zones: Annotated[
        tuple[str, ...],
        Meta(description="Zones of private networks that tenants may resolve too, such as corp.example."),
    ] = ()
    timeout_s: Annotated[
        float, Meta(gt=0, description="Wait for one answer of an upstream, in seconds, before the next is asked.")
    ] = 2.0
    queries_per_s: Annotated[int, Meta(ge=1, description="Look-ups of one instance per second; more are refused.")] = (
        200
    )
    queries_burst: Annotated[int, Meta(ge=1, description="Look-ups that one instance may ask at once above that.")] = (
        400
    )
    concurrent_limit: Annotated[
        int, Meta(ge=1, description="Look-ups in flight to the upstreams, all instances together.")
    ] = 1024
    tcp_connections_limit: Annotated[
        int, Meta(ge=1, description="TCP connections of instances to the resolver at once.")
    ] = 128
    udp_answer_limit_bytes: Annotated[
        int, Meta(ge=512, le=4096, description="Largest UDP answer; longer ones are cut and asked again over TCP.")
    ] = 1232
    tcp_message_limit_bytes: Annotated[
        int, Meta(ge=512, le=65535, description="Largest message over TCP, in bytes.")
    ] = 16384


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
    open_files: Annotated[int, Meta(ge=64, description="Open files of one process of an instance.")] = 16_384
    inodes: Annotated[int, Meta(ge=1000, description="Files that one instance may make on its disk.")] = 200_000


class StagingConfig(Section, frozen=True, kw_only=True):
    """[staging]: how source becomes a droplet."""

    parallel: Annotated[
        int, Meta(ge=1, le=64, description="Builds at once on this node; each may use its whole memory and a core.")
    ] = 2
    timeout_s: Annotated[
        float, Meta(ge=10, description="Longest time for one build, in seconds, from its unpacking to its last layer.")
    ] = 900
    cpu_weight: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Processor share of a build beside instances (100 each GB of their memory)."),
    ] = 100
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
    inherit_host_settings: Annotated[
        bool,
        Meta(description="Take indexes, registry, proxy and certificates from this host's pip, npm and environment."),
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


class RouterConfig(Section, frozen=True, kw_only=True):
    """[router]: the Envoy data path."""

    host: Annotated[str, Meta(description="Address on which HTTP and HTTPS listen.")] = "127.0.0.1"
    http_port: Annotated[int, Meta(ge=0, le=65535, description="Port for HTTP; 0 picks a free one.")] = 80
    https_port: Annotated[int, Meta(ge=0, le=65535, description="Port for HTTPS; 0 picks a free one.")] = 443
    binary: Annotated[str, Meta(description="Path of an Envoy binary; empty takes the one of the Python package.")] = ""
    uid: Annotated[
        int,
        Meta(
            ge=0,
            description="User id under which Envoy runs when the daemon is root; it needs no account, and keeps only "
            "the right to bind low ports. 0 keeps root.",
        ),
    ] = 61170
    workers: Annotated[
        int,
        Meta(
            ge=0, le=1024, description="Envoy's worker threads; 0 takes one per CPU. Each costs some memory per route."
        ),
    ] = 0
    request_timeout_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Longest time for an app's whole response, in seconds; 0 is no limit. WebSockets are exempt.",
        ),
    ] = 900.0
    idle_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            description="Connections, requests and WebSockets on which nothing moves are closed after so many seconds.",
        ),
    ] = 900.0
    headers_timeout_s: Annotated[
        float, Meta(gt=0, description="A client must have sent its request headers within so many seconds.")
    ] = 60.0
    handshake_timeout_s: Annotated[
        float, Meta(gt=0, description="A client must have finished the TLS handshake within so many seconds.")
    ] = 15.0
    connect_timeout_s: Annotated[
        float, Meta(gt=0, description="Connecting to an instance fails, and another is tried, after so many seconds.")
    ] = 2.0
    upstream_idle_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            description="Unused connections to instances are closed after so many seconds. Keep it below the apps' own "
            "keep-alive time (gunicorn's is 2 s), or requests meet connections that the app is closing.",
        ),
    ] = 1.5
    retries: Annotated[
        int,
        Meta(
            ge=0, le=10, description="Further instances tried when one cannot be connected to; nothing else is retried."
        ),
    ] = 3
    headers_limit_kb: Annotated[
        int, Meta(ge=1, le=8192, description="Largest request headers in KB; above it the answer is 431.")
    ] = 64
    headers_count_limit: Annotated[
        int, Meta(ge=10, le=10000, description="Most request headers; above it the answer is 431.")
    ] = 200
    buffer_limit_bytes: Annotated[
        int,
        Meta(
            ge=4096, description="Buffer per connection, in bytes; more memory under slow clients for more throughput."
        ),
    ] = 256 * 1024
    connections_limit: Annotated[
        int, Meta(ge=1, description="Most connections, and most waiting requests, towards one route; above it 503.")
    ] = 10000
    client_connections_limit: Annotated[
        int, Meta(ge=1, description="Most client connections altogether; further ones are closed at once.")
    ] = 50000
    trusted_hops: Annotated[
        int,
        Meta(ge=0, le=10, description="Proxies in front of this node whose X-Forwarded-For entries are believed."),
    ] = 0
    access_log_flush_s: Annotated[
        float, Meta(gt=0, le=60, description="Longest time that an access log entry waits in Envoy, in seconds.")
    ] = 0.2
    access_log_buffer_bytes: Annotated[
        int, Meta(ge=0, description="Access log entries are sent when so many bytes of them wait in an Envoy thread.")
    ] = 64 * 1024
    access_log_backlog: Annotated[
        int,
        Meta(
            ge=1,
            description="Access log batches that may wait for the daemon to read them; more are dropped and counted.",
        ),
    ] = 256
    publish_chunk: Annotated[
        int,
        Meta(
            ge=1,
            description="Most resources in one discovery answer; smaller ones keep Envoy responsive during a start.",
        ),
    ] = 1000
    start_timeout_s: Annotated[
        float, Meta(gt=0, description="Envoy must connect to the daemon within so many seconds of its start.")
    ] = 20.0
    restart_pause_min_s: Annotated[
        float, Meta(gt=0, description="Pause before Envoy is started again after it died young; doubles each time.")
    ] = 0.05
    restart_pause_max_s: Annotated[float, Meta(gt=0, description="Longest such pause, in seconds.")] = 10.0
    restart_calm_s: Annotated[
        float,
        Meta(gt=0, description="An Envoy that lived so many seconds is started again at once, with pauses reset."),
    ] = 10.0


class AuthConfig(Section, frozen=True, kw_only=True):
    """[auth]: tokens and passwords."""

    access_token_s: Annotated[
        int, Meta(ge=90, le=3600, description="Life of an access token, in seconds; clients refresh a minute before.")
    ] = 600
    refresh_token_s: Annotated[
        int, Meta(ge=600, description="Life of a refresh token, in seconds: how long a login lasts.")
    ] = 30 * 86400
    key_publish_s: Annotated[
        int, Meta(ge=0, description="A new signing key is published so many seconds before it signs.")
    ] = 600
    key_rotate_s: Annotated[
        int, Meta(ge=60, description="A signing key signs for so many seconds before the next one takes over.")
    ] = 30 * 86400
    hash_memory_kib: Annotated[
        int, Meta(ge=8, description="Memory of one argon2id hash, in KiB; more slows guessing and logins alike.")
    ] = 64 * 1024
    hash_time_cost: Annotated[int, Meta(ge=1, description="Passes of one argon2id hash.")] = 3
    hash_parallel: Annotated[
        int, Meta(ge=1, description="Password hashes computed at once; each takes its memory and a core.")
    ] = 2
    login_failures: Annotated[
        int, Meta(ge=1, description="Wrong passwords for one name before further attempts have to wait.")
    ] = 5
    login_wait_s: Annotated[
        float, Meta(ge=0, description="First wait after too many wrong passwords, in seconds; doubles each time.")
    ] = 2.0
    login_wait_max_s: Annotated[
        float, Meta(ge=0, description="Longest wait after too many wrong passwords, in seconds.")
    ] = 300.0
    throttle_entries: Annotated[
        int, Meta(ge=16, description="Names and addresses remembered by the login throttle; the oldest are forgotten.")
    ] = 10_000


class AppsConfig(Section, frozen=True, kw_only=True):
    """[apps]: what an app gets that does not ask, and the most that it may ask for."""

    memory_mb: Annotated[int, Meta(ge=16, description="Memory of a process that names none, in MB.")] = 512
    disk_mb: Annotated[int, Meta(ge=16, description="Disk of a process that names none, in MB.")] = 1024
    disk_limit_mb: Annotated[int, Meta(ge=16, description="Most disk that a process may ask for, in MB.")] = 10_240
    log_rate_limit_bytes: Annotated[
        int, Meta(ge=-1, description="Log bytes per second of a process that names no limit; -1 sets none.")
    ] = -1
    build_memory_mb: Annotated[int, Meta(ge=64, description="Memory of a build, in MB.")] = 1024
    build_disk_mb: Annotated[int, Meta(ge=128, description="Disk of a build, in MB.")] = 4096
    build_timeout_s: Annotated[
        float, Meta(ge=10, description="Longest time from the request of a build to its end, in seconds.")
    ] = 900
    upload_timeout_s: Annotated[
        float, Meta(ge=10, description="Longest time that an upload of bits may take, in seconds.")
    ] = 900
    environment_limit_bytes: Annotated[
        int, Meta(ge=1024, description="Most bytes of an app's environment variables, names and values together.")
    ] = 64 * 1024
    manifest_limit_bytes: Annotated[
        int, Meta(ge=1024, description="Largest manifest, in bytes; it becomes one write, so it must stay small.")
    ] = 128 * 1024


class SchedulerConfig(Section, frozen=True, kw_only=True):
    """[scheduler]: how wanted instances and builds get their nodes."""

    period_s: Annotated[
        float, Meta(gt=0, description="Longest pause between two looks at the whole state; changes wake it at once.")
    ] = 10.0
    batch: Annotated[
        int, Meta(ge=1, le=500, description="Most placements in one write; more is faster and blocks others longer.")
    ] = 200


class Config(Section, frozen=True, kw_only=True):
    """The whole file. Build it in code for embedded nodes, or read it with `load_config`."""

    data: Annotated[str, Meta(description="Data directory, made 0700 at first start.")] = "/var/lib/paasd"
    node: NodeConfig = NodeConfig()
    domains: DomainsConfig = DomainsConfig()
    api: ApiConfig = ApiConfig()
    state: StateConfig = StateConfig()
    blobs: BlobsConfig = BlobsConfig()
    logs: LogsConfig = LogsConfig()
    sandbox: SandboxConfig = SandboxConfig()
    network: NetworkConfig = NetworkConfig()
    disk: DiskConfig = DiskConfig()
    dns: DnsConfig = DnsConfig()
    supervisor: SupervisorConfig = SupervisorConfig()
    staging: StagingConfig = StagingConfig()
    router: RouterConfig = RouterConfig()
    auth: AuthConfig = AuthConfig()
    apps: AppsConfig = AppsConfig()
    scheduler: SchedulerConfig = SchedulerConfig()


def load_config(path: Path | None) -> Config:
    """Read `path`; None gives the defaults. Raises ConfigError naming the file and the knob."""
    if path is None:
        return Config()
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; name another file with --config") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    try:
        return msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}; docs/config.toml lists every knob") from error
