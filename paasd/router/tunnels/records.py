"""What the router is told about nodes."""

from collections.abc import Mapping

import msgspec

from paasd.pki import KeyPair


class NodeIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What this node shows others, and whom it believes.

    `prefix` is what the SPIFFE identity of every node of this cluster starts with, `spiffe://paasd/<cluster id>/node/`;
    a node's guid and a slash follow. `authorities` are the trusted certificates in PEM, one after the other.
    """

    prefix: str
    pair: KeyPair
    authorities: bytes

    def of(self, node_guid: str) -> str:
        """What the identity of that very node starts with."""
        return f"{self.prefix}{node_guid}/"


class NodeDoor(msgspec.Struct, frozen=True, kw_only=True):
    """Where another node's tunnel port is. `address` is an IP address or a name."""

    address: str
    port: int


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """The other nodes by guid, and what of this node they may ask for: address and port by target."""

    nodes: Mapping[str, NodeDoor] = {}
    targets: Mapping[str, tuple[str, int]] = {}
