"""What an audit event tells of long lists of rules: an event is short, and nobody may hide a wide rule behind others.

So the widest ones come first, what is left out is said to be no wider than the last of them, and the whole is summed
up: how many addresses all rules reach together, however finely somebody divides them, and a hash to compare with. Pure.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from paasd.model.security_rules import Range, destination_ranges, port_ranges

LISTED_BYTES: Final = 1400
"""JSON of one list; two of them fit into an event."""
_DESTINATION_BYTES: Final = 300
_DESCRIPTION_BYTES: Final = 60
_PORTS: Final = 65535

Rule = dict[str, Any]


def fits(rules: list[Rule]) -> bool:
    """Whether a list may stand in an event as it is."""
    return len(msgspec.json.encode(rules)) <= LISTED_BYTES


def listed(rules: list[Rule]) -> list[Any]:
    """The list as it is, or its widest rules and what the others are at most."""
    if fits(rules):
        return rules
    widest = sorted(rules, key=_width, reverse=True)
    found: list[Any] = []
    room = LISTED_BYTES
    for rule in widest:
        short = _short(rule)
        room -= len(msgspec.json.encode(short)) + 1
        if found and room < 0:
            addresses, ports = _width(rule)
            left = len(widest) - len(found)
            return [*found, f"... and {left} more, each with at most {addresses} addresses (x {ports} ports)"]
        found.append(short)
    return found


def summed_up(rules: list[Rule]) -> dict[str, Any]:
    """How many rules, how many addresses they reach together, and the hash of the whole list."""
    return {
        "rules": len(rules),
        "addresses": _together(one for rule in rules for one in destination_ranges(rule["destination"])),
        "sha256": hashlib.sha256(msgspec.json.encode(rules, order="sorted")).hexdigest(),
    }


def _width(rule: Rule) -> tuple[int, int]:
    """Addresses and ports."""
    addresses = _together(destination_ranges(rule["destination"]))
    ports = rule.get("ports")
    return addresses, _PORTS if ports is None else sum(last - first + 1 for first, last in port_ranges(ports))


def _together(ranges: Iterable[Range]) -> int:
    """Addresses in any of the ranges, each counted once."""
    total, end = 0, -1
    for first, last in sorted((int(first), int(last)) for first, last in ranges):
        total += max(0, last - max(first, end + 1) + 1)
        end = max(end, last)
    return total


def _short(rule: Rule) -> Rule:
    """The widest destinations of a rule first, and no long texts."""
    short = {name: _cut(value, _DESCRIPTION_BYTES) for name, value in rule.items()}
    destination = str(rule["destination"])
    if len(destination) <= _DESTINATION_BYTES:
        return short | {"destination": destination}
    parts = sorted(destination.split(","), key=lambda part: _together(destination_ranges(part)), reverse=True)
    kept = parts[: _DESTINATION_BYTES // max(len(part) + 1 for part in parts)]
    return short | {"destination": f"{','.join(kept)},... and {len(parts) - len(kept)} more that are no wider"}


def _cut(value: Any, limit: int) -> Any:
    return value[:limit] + "..." if isinstance(value, str) and len(value) > limit else value
