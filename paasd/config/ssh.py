"""[ssh]: the door by which people get into instances."""

from typing import Annotated

from msgspec import Meta

from paasd.config.section import Section


class SshConfig(Section, frozen=True, kw_only=True):
    """[ssh]: the door by which developers get into the instances of their apps."""

    enabled: Annotated[
        bool,
        Meta(
            description="Whether this node has the door at all. That of a worker leads on to a control node: workers "
            "hold no keys."
        ),
    ] = True
    allowed_by_default: Annotated[
        bool,
        Meta(
            description="Whether apps of an organization that has not said anything can be entered; "
            "`paasd org-ssh` says something. The same on every node."
        ),
    ] = True
    host: Annotated[
        str,
        Meta(
            description="Address to listen on; `::` is every IPv4 and IPv6 address; empty: that of [router], so that "
            "ssh is open to those to whom the apps are."
        ),
    ] = ""
    port: Annotated[
        int,
        Meta(
            ge=0, le=65535, description="TCP port, open to those who use ssh; 0 takes a free one. The same everywhere."
        ),
    ] = 2222
    advertise: Annotated[
        str,
        Meta(
            description="host:port that clients are told; empty: ssh.<system domain> and the port. To be set behind a "
            "load balancer."
        ),
    ] = ""
    host_key_notice_s: Annotated[
        float,
        Meta(
            ge=0,
            le=31536000,
            description="Seconds for which the next host key is announced to clients before it is shown, and the "
            "former one after (`paasd keys change ssh`). The same on every node.",
        ),
    ] = 1209600.0
    uid: Annotated[
        int,
        Meta(
            ge=0,
            description="User id of the process that speaks ssh when the daemon is root; it needs no account and has "
            "no rights. 0 keeps root.",
        ),
    ] = 61171
    code_s: Annotated[
        int, Meta(ge=10, le=600, description="Seconds within which a code has to be used; it counts once.")
    ] = 60
    sign_in_s: Annotated[
        int, Meta(ge=2, le=600, description="Seconds that a connection may take to sign in before it is closed.")
    ] = 30
    unknown_connections: Annotated[
        int,
        Meta(
            ge=1,
            le=10000,
            description="Connections that have not signed in yet, at a time; more are closed at once. Each costs some "
            "100 kB.",
        ),
    ] = 100
    unknown_connections_per_address: Annotated[
        int, Meta(ge=1, le=10000, description="Of them, those from one address (one /64 of IPv6).")
    ] = 10
    sessions_per_instance: Annotated[
        int, Meta(ge=1, le=1000, description="Connections to one instance at a time, through this node.")
    ] = 20
    sessions_per_user: Annotated[
        int, Meta(ge=1, le=1000, description="Connections of one user at a time, through this node.")
    ] = 20
    channels_per_session: Annotated[
        int,
        Meta(ge=1, le=1000, description="Programs and forwarded connections in one ssh connection at a time."),
    ] = 64
    idle_s: Annotated[
        float,
        Meta(gt=0, le=604800, description="Seconds after which a connection on which nothing moves is closed."),
    ] = 1800.0
    keepalive_s: Annotated[
        float,
        Meta(
            gt=0, le=3600, description="Seconds between questions to a silent client; the third unanswered one ends it."
        ),
    ] = 30.0
    window_bytes: Annotated[
        int,
        Meta(
            ge=32768,
            le=16777216,
            description="Bytes that a client may send ahead in one channel: what one channel keeps in memory at most. "
            "Larger is faster over long distances.",
        ),
    ] = 1048576
    process_idle_s: Annotated[
        float,
        Meta(
            gt=0,
            le=86400,
            description="Seconds without a connection after which the process that speaks ssh ends; the next "
            "connection starts it again, which takes about a second.",
        ),
    ] = 300.0
    memory_limit_mb: Annotated[
        int,
        Meta(ge=128, le=65536, description="Memory that the process that speaks ssh may take for data, in MiB."),
    ] = 512
