"""[peer]: the connections between nodes."""

from typing import Annotated

from msgspec import Meta

from paasd.config.section import Section


class PeerConfig(Section, frozen=True, kw_only=True):
    """[peer]: the connections between nodes. The same values on every node."""

    connect_timeout_s: Annotated[
        float, Meta(gt=0, le=30, description="Longest time for connecting and the TLS handshake, in seconds.")
    ] = 3.0
    ping_s: Annotated[
        float, Meta(gt=0, le=10, description="A node that keeps another waiting shows so often that it lives.")
    ] = 0.4
    silence_s: Annotated[
        float,
        Meta(gt=0, le=60, description="A connection on which a node waits and hears nothing for so long is dead."),
    ] = 1.5
    idle_s: Annotated[
        float, Meta(gt=0, description="Unused connections are closed after so many seconds; a new one costs some ms.")
    ] = 20.0
    recycle_s: Annotated[
        float,
        Meta(gt=0, description="Connections are replaced after so many seconds, so that certificates cannot grow old."),
    ] = 3600.0
    connections_limit: Annotated[
        int, Meta(ge=8, description="Connections of all other nodes served at once; more are refused.")
    ] = 2048
    connections_per_node: Annotated[
        int, Meta(ge=8, description="Connections of one other node served at once; a faulty one cannot take them all.")
    ] = 512
    handshakes_limit: Annotated[
        int, Meta(ge=8, description="TLS handshakes under way at once; of more the oldest is given up.")
    ] = 128
    strangers_limit: Annotated[
        int, Meta(ge=1, description="Connections without a certificate served at once; joining nodes have none yet.")
    ] = 16
    strangers_per_source: Annotated[
        int, Meta(ge=1, description="Of these, those from one IPv4 address or one IPv6 network (/64).")
    ] = 4
    strangers_per_minute: Annotated[
        int, Meta(ge=1, description="Connections without a certificate taken from one source in a minute.")
    ] = 30
