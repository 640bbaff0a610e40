"""Rules of security groups as the network takes them. Pure."""

from collections.abc import Iterable
from typing import Any

from paasd.model.security_rules import check_rules, destination_ranges, port_ranges
from paasd.sandbox import GroupRule


def group_rules(rules: Iterable[dict[str, Any]]) -> tuple[GroupRule, ...]:
    """Those that can be read: a row of another release may hold one that cannot, and that opens nothing."""
    return tuple(_rule(rule) for rule in rules if not check_rules([rule]))


def _rule(rule: dict[str, Any]) -> GroupRule:
    return GroupRule(
        protocol=rule["protocol"],
        destinations=destination_ranges(rule["destination"]),
        ports=port_ranges(rule["ports"]) if rule["protocol"] in ("tcp", "udp") else (),
        icmp_type=rule.get("type", -1) if rule["protocol"] == "icmp" else -1,
        icmp_code=rule.get("code", -1) if rule["protocol"] == "icmp" else -1,
        log=bool(rule.get("log")),
    )
