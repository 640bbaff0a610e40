"""Requests between nodes: HTTP/2 CONNECT over mutual TLS, from the Envoy that was asked to that of the instance's node.

`names` says how things are called on both sides, `fixed` is the part of Envoy's configuration that is always there,
`resources` what is published once the node is one of several, `records` what the router is told. See `fixed` for the
theory of operation.
"""

from paasd.router.tunnels.names import api_target, target_of
from paasd.router.tunnels.records import Links, NodeDoor, NodeIdentity

__all__ = ["Links", "NodeDoor", "NodeIdentity", "api_target", "target_of"]
