"""[router]: the Envoy data path."""

from typing import Annotated

from msgspec import Meta

from paasd.config.section import Section


class RouterConfig(Section, frozen=True, kw_only=True):
    """[router]: the Envoy data path."""

    host: Annotated[str, Meta(description="Address on which HTTP and HTTPS listen.")] = "127.0.0.1"
    http_port: Annotated[int, Meta(ge=0, le=65535, description="Port for HTTP; 0 picks a free one.")] = 80
    https_port: Annotated[int, Meta(ge=0, le=65535, description="Port for HTTPS; 0 picks a free one.")] = 443
    tcp_ports: Annotated[
        str,
        Meta(
            description="Ports that TCP routes may reserve, as in 20000-20099 or 20000-20049,20080; the same on every "
            "node. Empty: there are no TCP routes."
        ),
    ] = ""
    tcp_idle_timeout_s: Annotated[
        float,
        Meta(gt=0, description="Connections to TCP routes on which nothing moves are closed after so many seconds."),
    ] = 3600.0
    tcp_connections_limit: Annotated[
        int,
        Meta(ge=1, description="Most connections to one TCP route through one node; further ones are closed at once."),
    ] = 1000
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
    call_idle_timeout_s: Annotated[
        float,
        Meta(gt=0, description="Connections from app to app on which nothing moves are closed after so many seconds."),
    ] = 3600.0
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
        Meta(
            ge=0,
            le=10,
            description="Proxies in front of this node whose X-Forwarded-For entries are believed: the client's "
            "address in audit events and in limits for strangers is what the first of them saw.",
        ),
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
