"""What a node that was alone makes of itself when it becomes the first of a cluster: authorities, a key, ports."""

import secrets
import socket
import uuid
from datetime import datetime

from paasd import pki
from paasd.config import ClusterConfig
from paasd.errors import PaasdError
from paasd.membership.doors import gossip_context
from paasd.membership.files import Ports
from paasd.model import Authority, GossipKey
from paasd.model.membership import OpenCluster, authority_context
from paasd.model.rotation import NODES, PUBLIC
from paasd.pki import KeyPair
from paasd.state.sealing import Sealer

GOSSIP_KEY_BYTES = 32


def first_secrets(sealer: Sealer, node_guid: str, public: KeyPair, now: datetime) -> OpenCluster:
    """Arguments of the operation. The domains' authority stays the one that clients know already."""
    return OpenCluster(
        cluster_id=str(uuid.uuid4()),
        node_guid=node_guid,
        authority=authority_row(sealer, NODES, pki.make_authority(NODES, now), "SIGNING"),
        public=authority_row(sealer, PUBLIC, public, "SIGNING"),
        gossip_key=gossip_key_row(sealer, "SENDING"),
    )


def authority_row(sealer: Sealer, purpose: str, pair: KeyPair, state: str) -> Authority:
    """A row for an authority, its key sealed."""
    guid = str(uuid.uuid4())
    return Authority(
        guid=guid,
        purpose=purpose,
        certificate=pair.certificate.decode(),
        sealed_key=sealer.seal(pair.key, authority_context(guid)),
        state=state,
    )


def gossip_key_row(sealer: Sealer, state: str) -> GossipKey:
    """A row for a new key of the ring, sealed."""
    key_id = uuid.uuid4().hex[:8]
    return GossipKey(
        id=key_id, sealed=sealer.seal(secrets.token_bytes(GOSSIP_KEY_BYTES), gossip_context(key_id)), state=state
    )


def choose_ports(config: ClusterConfig) -> Ports:
    """The configured ports; where the configuration leaves the choice open, one that is free now."""
    return Ports(
        peer=config.peer_port or _free_port(config.listen),
        tunnel=config.tunnel_port or _free_port(config.listen),
        etcd_client=config.etcd_client_port or _free_port(config.listen),
        etcd_peer=config.etcd_peer_port or _free_port(config.listen),
    )


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def default_address() -> str:
    """The address of the default route; asking the kernel sends nothing. Raises PaasdError without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError as error:
            raise PaasdError(
                "this machine has no default route; set [cluster] address to what other nodes reach"
            ) from error
        return str(probe.getsockname()[0])
