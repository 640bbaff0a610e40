"""How nodes talk to each other: calls and streams by kind, between nodes that know each other by certificate.

A part says `peers.serve("blob.have", handler)` on every node, and `await peers.call(node, "blob.have", body)` on one.
Bodies are the part's own msgspec structs, packed; this folder knows no kind. `open_peers` speaks TLS with a certificate
on both sides; `MemoryNetwork` is the same in one process, under virtual time and with faults, for simulations.
"""

from paasd.peer.identity import Identity, node_uri
from paasd.peer.interface import Handler, NoMember, Peer, PeerRefused, Peers, PeerStream, PeerUnreachable, StreamHandler
from paasd.peer.memory import MemoryNetwork, MemoryPeers
from paasd.peer.peers import TlsPeers, open_peers

__all__ = [
    "Handler",
    "Identity",
    "MemoryNetwork",
    "MemoryPeers",
    "NoMember",
    "Peer",
    "PeerRefused",
    "PeerStream",
    "PeerUnreachable",
    "Peers",
    "StreamHandler",
    "TlsPeers",
    "node_uri",
    "open_peers",
]
