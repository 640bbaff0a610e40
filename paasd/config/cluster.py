"""[cluster]: how nodes reach each other."""

from typing import Annotated

from msgspec import Meta

from paasd.config.section import Section


class ClusterConfig(Section, frozen=True, kw_only=True):
    """[cluster]: how nodes reach each other. Nothing listens before the first join token is made."""

    listen: Annotated[str, Meta(description="Address on which the ports below listen.")] = "0.0.0.0"
    address: Annotated[
        str, Meta(description="Address or name under which other nodes reach this one; empty takes that of the route.")
    ] = ""
    peer_port: Annotated[
        int, Meta(ge=0, le=65535, description="UDP and TCP port for gossip and peer streams; 0 picks a free one.")
    ] = 7400
    tunnel_port: Annotated[
        int, Meta(ge=0, le=65535, description="TCP port for requests from other nodes' routers; 0 picks a free one.")
    ] = 7401
    etcd_client_port: Annotated[
        int, Meta(ge=0, le=65535, description="TCP port of etcd for the voters; 0 picks a free one.")
    ] = 7402
    etcd_peer_port: Annotated[
        int, Meta(ge=0, le=65535, description="TCP port of etcd for its own members; 0 picks a free one.")
    ] = 7403
