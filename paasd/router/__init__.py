"""The data path: HTTP and HTTPS requests to the instances of apps, by host and path, through Envoy.

`open_router` runs Envoy and serves it a `RouteTable` over delta discovery; `open_route_feed` keeps that table equal to
the database and the observed instances. Every request comes back as an `AccessEntry`. `open_certificates` makes the
node's authority and wildcard certificates. Envoy outlives the daemon and never waits for it. A node that is one of
several shows a `NodeIdentity` and takes requests for its instances from other nodes' Envoys (`tunnels/`).
"""

from paasd.pki import KeyPair
from paasd.router.accesslog import rtr_line
from paasd.router.certificates import Certificates, open_certificates
from paasd.router.confirming import leave_routers, reach_routers, serve_confirming
from paasd.router.feed import RouteFeed, open_route_feed
from paasd.router.records import AccessEntry, Endpoint, RouteEntry, RouteTable
from paasd.router.router import Router, open_router, stop_left_over
from paasd.router.routes import build_table
from paasd.router.tunnels import Links, NodeDoor, NodeIdentity

__all__ = [
    "AccessEntry",
    "Certificates",
    "Endpoint",
    "KeyPair",
    "Links",
    "NodeDoor",
    "NodeIdentity",
    "RouteEntry",
    "RouteFeed",
    "RouteTable",
    "Router",
    "build_table",
    "leave_routers",
    "open_certificates",
    "open_route_feed",
    "open_router",
    "reach_routers",
    "rtr_line",
    "serve_confirming",
    "stop_left_over",
]
