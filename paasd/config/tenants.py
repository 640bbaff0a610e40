"""[sandbox], [network], [disk], [dns]: what surrounds the programs of tenants."""

from typing import Annotated

from msgspec import Meta

from paasd.config.section import Section


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
    disk_write_bytes_per_s: Annotated[
        int,
        Meta(
            ge=0,
            description="What one container may write to its disk, in bytes per second; 0 sets no limit. Needs cgroup "
            "v2: v1 cannot hold what goes through the page cache.",
        ),
    ] = 0
    free_percent: Annotated[
        int,
        Meta(
            ge=0,
            le=50,
            description="Part of the processors that containers which compute keep off while others only answer: at "
            "least one of two or more, so that a request finds one that nobody computes on. The platform's own work "
            "keeps off them meanwhile, the router excepted. 0 lets all run everywhere.",
        ),
    ] = 25
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
    call_range: Annotated[
        str,
        Meta(
            description="IPv4 range of the addresses that stand for other apps on one node; they never leave it, and "
            "instances reach nothing else of the range."
        ),
    ] = "169.254.128.0/17"
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
    public_addresses: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses or names under which others reach nodes of the platform, where a cloud or a router"
            " maps them to the nodes' own (1:1 NAT): those of all nodes, this one too. Instances get to their web ports"
            " alone."
        ),
    ] = ()
    mtu: Annotated[int, Meta(ge=0, le=9000, description="MTU of instances; 0 takes the smallest of the uplinks.")] = 0
    flows_limit: Annotated[
        int,
        Meta(ge=16, description="Connections that one instance may hold open outwards; the host's table is shared."),
    ] = 4096
    calls_limit: Annotated[
        int,
        Meta(
            ge=8,
            description="Connections that one instance may hold open to other apps; they share the router with the "
            "requests of all.",
        ),
    ] = 1024
    connections_per_s: Annotated[
        int,
        Meta(
            ge=10,
            description="Connections per second that one instance may open outwards, and to other apps, after as many "
            "at once as it may hold; the host remembers each for a while after its end.",
        ),
    ] = 500
    resolver_flows_limit: Annotated[
        int,
        Meta(
            ge=4,
            description="Name look-ups of one instance, each from a socket of its own; the kernel counts one for 5 s.",
        ),
    ] = 1024
    resolver_packets_per_s: Annotated[
        int,
        Meta(
            ge=100,
            description="Packets per second that one instance may send to the resolver; the kernel drops more, so that "
            "nobody is kept busy by them.",
        ),
    ] = 1000
    reconcile_interval_s: Annotated[
        float,
        Meta(
            gt=0,
            description="Security groups and network policies are compared with the kernel's rules this often, in "
            "seconds, also when nobody said that they changed.",
        ),
    ] = 30.0
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
    image_copy_limit_mb: Annotated[
        int,
        Meta(ge=1, description="Largest tree, in MB, of which an ext4 copy is made (kernels before 6.2)."),
    ] = 16384
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
        float,
        Meta(
            gt=0,
            description="Wait for each upstream, in seconds: a quarter of it, then the next one is asked, and the rest"
            " when all have been asked and none has answered.",
        ),
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
