"""Rules of security groups: whether they can be read, in Cloud Foundry's words, and what they mean. Pure."""

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Any, Final

import msgspec

FIELDS: Final = ("code", "description", "destination", "log", "ports", "protocol", "type")
PROTOCOLS: Final = ("tcp", "udp", "icmp", "icmpv6", "all")
DESTINATIONS_LIMIT: Final = 6000  # of one rule
RULES_LIMIT: Final = 1000  # of one group
LENGTH_LIMIT: Final = 100_000  # characters of all rules of a group, as JSON: they are one row
_PORT_RANGE: Final = re.compile(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*")
_PORT: Final = re.compile(r"\s*(\d{1,5})\s*")

Range = tuple[IPv4Address, IPv4Address]
PortRange = tuple[int, int]


def check_rules(rules: Any) -> list[str]:
    """What is wrong with the rules of a group; empty when they can be used."""
    if not isinstance(rules, list):
        return ["Rules must be an array"]
    if len(rules) > RULES_LIMIT:
        return [f"Rules must not be more than {RULES_LIMIT}"]
    if len(msgspec.json.encode(rules)) > LENGTH_LIMIT:
        return [f"Rules length must not exceed {LENGTH_LIMIT} characters"]
    return [f"Rules[{index}]: {text}" for index, rule in enumerate(rules) for text in _check(rule)]


def _check(rule: Any) -> Iterable[str]:
    if not isinstance(rule, dict):
        yield "must be an object"
        return
    unknown = [key for key in rule if key not in FIELDS]
    if unknown:
        yield f"unknown field(s): {_listed(unknown)}"
    protocol = rule.get("protocol")
    if protocol not in PROTOCOLS:
        yield "protocol must be 'tcp', 'udp', 'icmp', 'icmpv6' or 'all'"
    yield from _check_destination(rule.get("destination"))
    if rule.get("description") is not None and not isinstance(rule["description"], str):
        yield "description must be a string"
    if rule.get("log") is not None and not isinstance(rule["log"], bool):
        yield "log must be a boolean"
    match protocol:
        case "tcp" | "udp":
            yield from _check_ports(rule.get("ports"))
        case "icmp":
            yield from _check_icmp(rule)
        case "icmpv6":
            yield "icmpv6 cannot be used if enable_ipv6 is false"
        case "all" if rule.get("ports") is not None:
            yield "ports are not allowed for protocols of type all"


def _check_destination(destination: Any) -> Iterable[str]:
    if destination is None:
        yield (
            "nil destination; destination must be a comma-delimited list of valid CIDRs, IP addresses, or IP address "
            "ranges"
        )
        return
    if not isinstance(destination, str):
        yield "destination must be a string"
        return
    if re.search(r"\s", destination):
        yield "destination must not contain whitespace"
        return
    parts = destination.split(",")
    if len(parts) > DESTINATIONS_LIMIT:
        yield f"maximum destinations per rule exceeded - must be under {DESTINATIONS_LIMIT}"
        return
    for part in parts:
        yield from _check_part(part)


def _check_part(part: str) -> Iterable[str]:
    if not part:
        yield "empty destination specified in comma-delimited list"
        return
    if any(re.match(r"0\d", octet) for end in part.split("-") for octet in end.split("/")[0].split(".")):
        yield "destination octets cannot contain leading zeros"
    elif part.count("-") > 1 or (part.count("-") == 0 and _network(part) is None):
        yield "destination must contain valid CIDR(s), IP address(es), or IP address range(s)"
    elif "-" in part:
        first, last = (_address(end) for end in part.split("-"))
        if first is None or last is None:
            yield "destination IP address range is invalid"
        elif first > last:
            yield (
                "beginning of IP address range is numerically greater than the end of its range "
                "(range endpoints are inverted)"
            )


def _check_ports(ports: Any) -> Iterable[str]:
    if ports is None:
        yield "ports are required for protocols of type TCP and UDP"
    if not isinstance(ports, str) or not port_ranges(ports):
        yield (
            "ports must be a valid single port, comma separated list of ports, or range or ports, formatted as a string"
        )


def _check_icmp(rule: dict[str, Any]) -> Iterable[str]:
    for field in ("code", "type"):
        value = rule.get(field)
        if value is None:
            yield f"{field} is required for protocols of type ICMP"
        if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= 255:
            yield f"{field} must be an integer between -1 and 255 (inclusive)"


def _listed(names: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def _network(text: str) -> IPv4Network | None:
    try:
        return IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        return None


def port_ranges(ports: str) -> tuple[PortRange, ...]:
    """`80`, `80,443` or `8080-8090` as ranges; () when it is none of these."""
    if match := _PORT_RANGE.fullmatch(ports):
        low, high = int(match[1]), int(match[2])
        return ((low, high),) if 0 < low < high < 65536 else ()
    found = []
    for part in ports.split(","):
        match = _PORT.fullmatch(part)
        if match is None or not 0 < int(match[1]) < 65536:
            return ()
        found.append((int(match[1]), int(match[1])))
    return tuple(found)


def destination_ranges(destination: str) -> tuple[Range, ...]:
    """The addresses of a destination that `check_rules` accepts."""
    found: list[Range] = []
    for part in destination.split(","):
        if "-" in part:
            first, last = part.split("-")
            found.append((IPv4Address(first), IPv4Address(last)))
        else:
            network = IPv4Network(part, strict=False)
            found.append((network[0], network[-1]))
    return tuple(found)


def check_globally_enabled(value: Any) -> list[str]:
    """What is wrong with `globally_enabled`."""
    if value is None:
        return []
    if not isinstance(value, dict):
        return ["Globally enabled must be an object"]
    if set(value) - {"running", "staging"}:
        return ["Globally enabled only allows keys 'running' or 'staging'"]
    if not all(isinstance(one, bool) for one in value.values()):
        return ["Globally enabled values must be booleans"]
    return []
