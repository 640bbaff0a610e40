"""The control protocol towards Envoy: delta discovery and access log streams over one Unix socket.

`delta` decides what to send and is pure; `messages` holds the wire format; `grpc` carries both over HTTP/2.
"""

from paasd.router.xds.delta import Changes, ResourceStore
from paasd.router.xds.service import DiscoveryService, listen, serve_discovery

__all__ = ["Changes", "DiscoveryService", "ResourceStore", "listen", "serve_discovery"]
