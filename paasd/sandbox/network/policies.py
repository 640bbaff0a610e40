"""Rules that are shared by many instances and change while these run, as nft text. Pure.

A *group* is a chain of allowed destinations outside the platform, such as that of a space; instances jump to it, so a
change reaches all of them in one transaction. A *caller* is an app: the set of addresses and ports at which it may call
other apps. Both are kept by the kernel, also while no daemon runs, and neither can open what `never` and `nodes` close.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, summarize_address_range
from typing import Literal

import msgspec

from paasd.errors import Unprocessable

LOG_LINES_PER_S = 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_EVERYWHERE = (IPv4Address("0.0.0.0"), IPv4Address("255.255.255.255"))

Range = tuple[IPv4Address, IPv4Address]
PortRange = tuple[int, int]


class Policies(msgspec.Struct, frozen=True):
    """Which shared rules an instance follows, by name; an empty one allows nothing."""

    group: str = ""
    caller: str = ""


class GroupRule(msgspec.Struct, frozen=True, kw_only=True):
    """Destinations of a group: first and last address of each range. ICMP type and code -1 mean any."""

    protocol: Literal["tcp", "udp", "icmp", "all"]
    destinations: tuple[Range, ...]
    ports: tuple[PortRange, ...] = ()
    icmp_type: int = -1
    icmp_code: int = -1
    log: bool = False


class Call(msgspec.Struct, frozen=True, order=True):
    """Where a caller may connect: an address that stands for an app, and ports of it."""

    address: str
    first_port: int
    last_port: int


def group_chain(name: str) -> str:
    return f"g-{_checked(name)}"


def caller_set(name: str) -> str:
    return f"v-{_checked(name)}"


def caller_chain(name: str) -> str:
    """Sends a caller's new connections to the doorway."""
    return f"c-{_checked(name)}"


def caller_door(name: str) -> str:
    """Lets a caller's packets into the doorway: each one is asked again, so a call ends with its permission."""
    return f"i-{_checked(name)}"


def shared_names(chains: Iterable[str]) -> tuple[set[str], set[str]]:
    """Groups and callers of which there are chains."""
    names = list(chains)
    return {c[2:] for c in names if c.startswith("g-")}, {c[2:] for c in names if c.startswith("c-")}


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise Unprocessable(f"not a name for shared network rules: {name!r}")
    return name


def statements(rule: GroupRule, label: str) -> list[str]:
    """The nft rules of one rule of a group; `label` is what its log lines say."""
    match = " ".join(filter(None, (_destinations(rule.destinations), _protocol(rule))))
    lines = [f"{match} accept"]
    if rule.log:
        lines.insert(0, f'{match} ct state new limit rate {LOG_LINES_PER_S}/second log prefix "{label} "')
    return lines


def _destinations(ranges: tuple[Range, ...]) -> str:
    merged = merge(ranges)
    if merged == [_EVERYWHERE]:
        return "meta nfproto ipv4"
    return f"ip daddr {{ {', '.join(_interval(first, last) for first, last in merged)} }}"


def _interval(first: IPv4Address, last: IPv4Address) -> str:
    networks = list(summarize_address_range(first, last))
    return str(networks[0]) if len(networks) == 1 else f"{first}-{last}"


def merge(ranges: Iterable[Range]) -> list[Range]:
    """The same addresses in ascending ranges that neither overlap nor touch, which is what the kernel takes."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and int(first) <= int(merged[-1][1]) + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _protocol(rule: GroupRule) -> str:
    match rule.protocol:
        case "all":
            return ""
        case "icmp":
            words = ["meta l4proto icmp"]
            if rule.icmp_type >= 0:
                words.append(f"icmp type {rule.icmp_type}")
            if rule.icmp_code >= 0:
                words.append(f"icmp code {rule.icmp_code}")
            return " ".join(words)
        case protocol:
            return f"{protocol} dport {{ {', '.join(map(_ports, _merged_ports(rule.ports)))} }}"


def _ports(ports: PortRange) -> str:
    return str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"


def _merged_ports(ports: Iterable[PortRange]) -> list[PortRange]:
    merged: list[PortRange] = []
    for low, high in sorted(ports):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def group(table: str, name: str, rules: Iterable[GroupRule]) -> str:
    """Make or replace the chain of a group, in one transaction."""
    chain = group_chain(name)
    lines = [f"add chain inet {table} {chain}", f"flush chain inet {table} {chain}"]
    for rule in rules:
        lines += [f"add rule inet {table} {chain} {line}" for line in statements(rule, f"paasd {name[:8]}")]
    return "\n".join(lines) + "\n"


def caller(table: str, name: str, calls: Iterable[Call]) -> str:
    """Make or replace what a caller may call, in one transaction."""
    known, chain, door = caller_set(name), caller_chain(name), caller_door(name)
    lines = [
        f"add set inet {table} {known} {{ type ipv4_addr . inet_service; flags interval; }}",
        f"flush set inet {table} {known}",
        f"add chain inet {table} {chain}",
        f"flush chain inet {table} {chain}",
        f"add rule inet {table} {chain} meta l4proto tcp ip daddr . th dport @{known} goto doorway",
        f"add chain inet {table} {door}",
        f"flush chain inet {table} {door}",
        f"add rule inet {table} {door} meta l4proto tcp ct original ip daddr . ct original proto-dst @{known} accept",
    ]
    elements = [f"{call.address} . {_ports(ports)}" for call in _disjoint(calls) for ports in [_span(call)]]
    if elements:
        lines.append(f"add element inet {table} {known} {{ {', '.join(elements)} }}")
    return "\n".join(lines) + "\n"


def _span(call: Call) -> PortRange:
    return call.first_port, call.last_port


def _disjoint(calls: Iterable[Call]) -> list[Call]:
    """The kernel refuses elements that overlap."""
    by_address: dict[str, list[PortRange]] = {}
    for call in calls:
        by_address.setdefault(call.address, []).append(_span(call))
    return [Call(address, *ports) for address in sorted(by_address) for ports in _merged_ports(by_address[address])]


def forget_group(table: str, name: str) -> str:
    """Take the chain of a group away. The kernel refuses while an instance follows it."""
    return f"delete chain inet {table} {group_chain(name)}\n"


def forget_caller(table: str, name: str) -> str:
    """Take a caller's chains and set away. The kernel refuses while an instance follows them."""
    return (
        f"delete chain inet {table} {caller_chain(name)}\ndelete chain inet {table} {caller_door(name)}\n"
        f"delete set inet {table} {caller_set(name)}\n"
    )


def doorway(table: str, port: int) -> str:
    """Calls go to this port of the link address, and nothing else gets in there."""
    return (
        f"flush chain inet {table} doorway\nflush chain inet {table} doors\n"
        f"add rule inet {table} doorway meta l4proto tcp redirect to :{port}\n"
        f"add rule inet {table} doors tcp dport {port} iifname vmap @callees\n"
        f"add rule inet {table} doors tcp dport {port} reject with tcp reset\n"
    )


def nodes(table: str, addresses: Iterable[str], *, keep: bool = False) -> str:
    """Other nodes: of these, and with `keep` of those from before, groups can open the web ports and nothing else."""
    lines = [] if keep else [f"flush set inet {table} nodes"]
    listed = sorted(set(addresses))
    if listed:
        lines.append(f"add element inet {table} nodes {{ {', '.join(listed)} }}")
    return "\n".join(lines) + "\n"
