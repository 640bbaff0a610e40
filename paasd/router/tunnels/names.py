"""How the two sides of a tunnel call things. Pure.

Every name of a cluster here ends with a mark that no Host header can end with and still meet a registered domain, so
that no client's request reaches one of them by spelling it.
"""

MARK = "|"
HOP = "hop"
"""The internal listener that turns a connection to an instance elsewhere into a tunnel."""
LINE = "line"
"""The internal listener that takes a connection from app to app to another node, by a TLS connection of its own."""
LINE_PROTOCOL = "paasd-line"
"""What such a connection says it speaks (ALPN); its target is the name of the server that it asks for (SNI)."""
GONE = "gone"
"""The internal listener that stands in for a node that does not answer."""
GONE_HEADER = "x-paasd-gone"
"""On an answer that no app gave: nothing of the request was sent to one, so another may be asked."""
REFUSED_HEADER = "x-paasd-refused"
"""On the answer to a CONNECT that leads nowhere, for whoever reads it; Envoy's tunnel takes only a 200 as an answer."""
PROTOCOL_HEADER = "x-paasd-protocol"
"""On a CONNECT: `h1` or `h2`, what is spoken inside, so that a refusal can be said in it."""
TARGET_HEADER = "x-paasd-target"
AUTHORITIES_SECRET = "authorities"
"""The certificates that those of other nodes are checked against."""
NODES_SECRET = "nodes"
"""The same, and which nodes there are: what somebody who comes to the tunnel port must show."""
NODE_SECRET = "node"
"""This node's own certificate."""
TUNNEL_LISTENER = "tunnel"
STATS_PREFIX = "node."
METADATA = "tunnel"
"""Endpoint metadata that goes with a connection into the hop or the line."""
# Well-formed targets: `<instance guid>.<epoch>`, that with `.<port>`, and `api.<node guid>`. Nothing with a colon.
TARGET_PATTERN = r"[0-9A-Za-z_-]+(\.[0-9]+){1,2}|api\.[0-9A-Za-z_-]+"


def target_of(instance_guid: str, epoch: int, port: int | None = None) -> str:
    """What a tunnel asks for: one run of one instance. `port` only when it is not the instance's usual one."""
    return f"{instance_guid}.{epoch}" if port is None else f"{instance_guid}.{epoch}.{port}"


def api_target(node_guid: str) -> str:
    """The API of a control node."""
    return f"api.{node_guid}"


def target_cluster(target: str) -> str:
    """The cluster of something that runs on this node and that other nodes may ask for."""
    return f"tunnel|{target}{MARK}"


def line_cluster(node_guid: str) -> str:
    """The same port, for connections that are no tunnels."""
    return f"line|{node_guid}{MARK}"


def node_cluster(node_guid: str) -> str:
    """The cluster of another node's tunnel port."""
    return f"node|{node_guid}{MARK}"
