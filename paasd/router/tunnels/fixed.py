"""The part of a tunnel that stands in Envoy's start-up file: listeners inside Envoy that cost nothing until used.

Theory of operation. The endpoint of an instance on another node is no address but the internal listener `hop`, with the
target and the node's cluster as metadata. The hop opens a tunnel: CONNECT `<instance guid>.<epoch>` on an HTTP/2
connection to that node. The node's Envoy looks the target up among the clusters that it was told of and connects to
the instance; bytes flow. So everything that happens to a request, retries and sessions and logs, happens once, at the
edge.

An HTTP request is written into the hop before the tunnel stands, and when a tunnel just ends, nobody can tell whether
an app has seen the request. Therefore a tunnel that leads nowhere does not end: it *answers*, in the protocol spoken
inside, that the request may go elsewhere, and the edge's retry policy knows that answer. The owning node answers so for
targets that it does not have and for instances that refuse the connection (`refusals`). For a node that does not
answer at all the listener `gone` on this side does; it is the second priority of the node's cluster, which Envoy
takes as soon as the node fails its health check. Nobody has to wait for a connection to time out.

A connection from app to app goes another way, the `line`: a TLS connection for each to the same port, told from tunnels
by what it speaks, its target being the server name that it asks for. A CONNECT will not do: when an app ends, Envoy
resets the stream of the tunnel, and with it what the other side has not taken yet.
"""

from typing import Any

from paasd.router.tunnels.names import GONE, GONE_HEADER, HOP, LINE, METADATA, PROTOCOL_HEADER, REFUSED_HEADER
from paasd.router.xds.typed import EXTENSIONS

_TEXT = "502 Bad Gateway: Registered endpoint failed to handle the request.\n"
# What the client gets when there is nobody else to ask is what Envoy says of an instance of its own node.
_HTTP1 = (
    "HTTP/1.1 502 Bad Gateway\r\n"
    f"{GONE_HEADER}: 1\r\n"
    "X-Cf-RouterError: endpoint_failure\r\n"
    "content-type: text/plain\r\n"
    f"content-length: {len(_TEXT)}\r\n"
    "connection: close\r\n\r\n" + _TEXT
)
# Frames: SETTINGS, then GOAWAY after stream 0, which says that no request was looked at.
_HTTP2 = "\0\0\0\4\0\0\0\0\0" + "\0\0\10\7\0\0\0\0\0" + "\0\0\0\0" + "\0\0\0\0"
REFUSALS = (("h1", _HTTP1), ("h2", _HTTP2))
# The client's own connection is what the limit on connections is about.
_INSIDE: dict[str, Any] = {"internal_listener": {}, "ignore_global_conn_limit": True}
BOOTSTRAP_EXTENSION = {
    "name": "envoy.bootstrap.internal_listener",
    "typed_config": {"@type": EXTENSIONS + "bootstrap.internal_listener.v3.InternalListener"},
}


def protocol_header(protocol: str) -> dict[str, Any]:
    """Matches a CONNECT for what is spoken inside."""
    return {"name": PROTOCOL_HEADER, "string_match": {"exact": protocol}}


def tunnel_server(name: str, routes: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A filter that takes CONNECT over HTTP/2."""
    router = {"@type": EXTENSIONS + "filters.http.router.v3.Router", "suppress_envoy_headers": True}
    return {
        "@type": EXTENSIONS + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "HTTP2",
        "route_config": {"name": name, "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
        "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        "http2_protocol_options": {
            "allow_connect": True,
            "initial_stream_window_size": 256 * 1024,
            "initial_connection_window_size": 4 * 1024 * 1024,
        },
        "stream_idle_timeout": "0s",
        **fields,
    }


def hop_listener() -> dict[str, Any]:
    """Takes connections to instances elsewhere, each with its target and node as metadata."""
    header = {"key": PROTOCOL_HEADER, "value": f"%DYNAMIC_METADATA({METADATA}:protocol)%"}
    tunneling = {
        "hostname": f"%DYNAMIC_METADATA({METADATA}:target)%",
        "headers_to_add": [{"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    }
    # A node that has just died refuses at once; the pauses last until its check has found it dead, too.
    return _onwards(HOP, [_NODE], max_connect_attempts=12, tunneling_config=tunneling)


def line_listener() -> dict[str, Any]:
    """As the hop, for connections from app to app."""
    target = choice("envoy.network.upstream_server_name", f"%DYNAMIC_METADATA({METADATA}:target)%")
    return _onwards(LINE, [_NODE, target], max_connect_attempts=4)


def choice(key: str, text: str) -> dict[str, Any]:
    """What a connection is to have under a key that Envoy's filters look at."""
    return {"object_key": key, "format_string": {"text_format_source": {"inline_string": text}}}


def chosen(*choices: dict[str, Any]) -> dict[str, Any]:
    """The filter that makes such choices."""
    return {"@type": EXTENSIONS + "filters.network.set_filter_state.v3.Config", "on_new_connection": list(choices)}


_NODE = choice("envoy.tcp_proxy.cluster", f"%DYNAMIC_METADATA({METADATA}:node)%")


def _onwards(name: str, choices: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    proxy = {
        "@type": EXTENSIONS + "filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name,
        "cluster": "|none|",
        "idle_timeout": "0s",
        "backoff_options": {"base_interval": "0.02s", "max_interval": "0.2s"},
        **fields,
    }
    filters = [{"name": "choose", "typed_config": chosen(*choices)}, {"name": "proxy", "typed_config": proxy}]
    return {"name": name, **_INSIDE, "filter_chains": [{"filters": filters}]}


def gone_listener() -> dict[str, Any]:
    """Answers for a node that does not."""
    routes = [
        {
            "match": {"connect_matcher": {}, "headers": [protocol_header(protocol)]},
            "direct_response": {"status": 200, "body": {"inline_string": body}},
        }
        for protocol, body in REFUSALS
    ]
    server = {"name": "http", "typed_config": tunnel_server(GONE, routes)}
    return {"name": GONE, **_INSIDE, "filter_chains": [{"filters": [server]}]}


def refusals() -> dict[str, Any]:
    """Local replies of the owning side to well-formed targets; a CONNECT to anything else is a plain 404."""

    def mapper(protocol: str, body: str) -> dict[str, Any]:
        # No such target, no connection to the instance, too many connections: in all of them it saw nothing.
        flags = {"response_flag_filter": {"flags": ["NC", "UF", "UO", "UH"]}}
        both = {"and_filter": {"filters": [flags, {"header_filter": {"header": protocol_header(protocol)}}]}}
        header = {"header": {"key": REFUSED_HEADER, "value": "%RESPONSE_CODE%"}}
        return {
            "filter": both,
            "status_code": 200,
            "headers_to_add": [header],
            "body_format_override": {"text_format_source": {"inline_string": body}},
        }

    return {"mappers": [mapper(protocol, body) for protocol, body in REFUSALS]}
