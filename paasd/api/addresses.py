"""From where a request comes: by the word of the router, and of the proxies in front of it that are believed."""

import ipaddress
import re
from typing import Any

WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?|([0-9.]+):\d+")
"""Some load balancers write the port of the client as well; each of its connections has another."""


def client_address(request: Any, trusted_hops: int) -> str:
    """The client's address, else that of the peer; `unix` for the socket.

    Each proxy appends whom it saw, the router last. So the last entry is the router's own word, and the one before it
    that of the nearest proxy; entries further to the left than the proxies are many may be anybody's.
    """
    entries = [one.strip() for one in ",".join(request.headers.getlist("X-Forwarded-For")).split(",") if one.strip()]
    if not entries:
        return request.remote_addr or "unix"
    said = entries[max(0, len(entries) - 1 - trusted_hops)]
    found = WITH_PORT.fullmatch(said)
    said = (found[1] or found[2]) if found else said
    try:
        ipaddress.ip_address(said)
    except ValueError:
        return entries[-1]
    return said
