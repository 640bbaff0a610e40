"""What an instance may reach: rules as data, and the nft statements that they become. Pure."""

import ipaddress
import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from paasd.errors import Unprocessable

Protocol = Literal["tcp", "udp", "icmp", "all"]

PUBLIC = "public"
# Ranges that "public" leaves out. Documentation ranges (192.0.2.0/24 and its like) stay in: labs and CI route them.
NOT_PUBLIC = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
)
# No rule opens these: loopback, multicast, and metadata services of clouds, of which Alibaba's, Oracle's and Azure's
# have addresses of their own. Azure's is a resolver as well, which the host asks for its instances.
NEVER = (
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "100.100.100.200/32",
    "192.0.0.192/32",
    "168.63.129.16/32",
    "224.0.0.0/3",
)

_HOST_NAME = re.compile(
    r"(?=.{1,253}$)(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
)


class EgressRule(msgspec.Struct, frozen=True):
    """One allowed destination.

    `destination`: an IPv4 CIDR, "public" (everything outside private, link-local and multicast ranges), or a host name
    (`*.example.org` for all names below), opened for the addresses that the resolver answers to this instance.
    `ports`: ranges, both ends included; empty allows all; only for tcp and udp.
    """

    destination: str
    protocol: Protocol = "all"
    ports: tuple[tuple[int, int], ...] = ()


PUBLIC_EGRESS: tuple[EgressRule, ...] = (EgressRule(PUBLIC),)


def is_host_name(destination: str) -> bool:
    return _HOST_NAME.fullmatch(destination.lower()) is not None


def host_names(rules: Iterable[EgressRule]) -> tuple[tuple[int, str], ...]:
    """(position, lower-case name) of the rules that name a host."""
    return tuple((i, rule.destination.lower()) for i, rule in enumerate(rules) if is_host_name(rule.destination))


def name_matches(pattern: str, name: str) -> bool:
    """Whether a queried name falls under a rule's host name."""
    name = name.lower().rstrip(".")
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return name == pattern


def statements(rule: EgressRule, host_set: str) -> list[str]:
    """The nft rules that accept what `rule` names. Raises Unprocessable for a rule that cannot be read."""
    where = _destination(rule.destination, host_set)
    match rule.protocol:
        case "all":
            if rule.ports:
                raise Unprocessable("an egress rule for all protocols cannot name ports: choose tcp or udp")
            return [f"{where} accept"]
        case "icmp":
            if rule.ports:
                raise Unprocessable("an egress rule for icmp cannot name ports")
            return [f"{where} meta l4proto icmp accept"]
        case "tcp" | "udp" as protocol:
            return [f"{where} {protocol} dport {_ports(rule.ports)} accept"]
    raise Unprocessable(f"unknown protocol {rule.protocol!r} in an egress rule: use tcp, udp, icmp or all")


def _destination(destination: str, host_set: str) -> str:
    if destination == PUBLIC:
        return "ip daddr != @private"
    if is_host_name(destination):
        return f"ip daddr @{host_set}"
    try:
        network = ipaddress.IPv4Network(destination)
    except ValueError as error:
        raise Unprocessable(
            f"egress destination {destination!r} is not an IPv4 range, a host name or 'public': {error}"
        ) from error
    return "meta nfproto ipv4" if network.prefixlen == 0 else f"ip daddr {network}"


def _ports(ports: tuple[tuple[int, int], ...]) -> str:
    if not ports:
        return "0-65535"
    for low, high in ports:
        if not 0 <= low <= high <= 65535:
            raise Unprocessable(f"egress port range {low}-{high} is not within 0-65535, low end first")
    # One interval set: overlapping ranges would be refused by the kernel, so they are merged first.
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ports):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return "{ " + ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in merged) + " }"
