"""Which other apps the instances of an app may call, and under what names and addresses. Pure.

Every process of an app that a policy leads to, and that has an internal route, gets an address on each node whose
instances may call it. The address stands for the app there, whichever instances it has and wherever they are.
"""

from collections.abc import Callable, Mapping

import msgspec

from paasd.model import App, Destination, Domain, NetworkPolicy, Route
from paasd.sandbox import Call
from paasd.state import Eq, InSelect, ReadTx

Callee = tuple[str, str]
"""App and process type."""
Door = tuple[str, int]
"""Address and port."""


class Internal(msgspec.Struct, frozen=True):
    """An internal name, and the process that answers to it."""

    name: str
    callee: Callee


class Plan(msgspec.Struct, frozen=True):
    """Of one calling app: what gets through, what its names resolve to, and what stands behind."""

    calls: tuple[Call, ...] = ()
    names: Mapping[str, tuple[str, ...]] = {}
    doors: Mapping[Door, Callee] = {}


def plan(
    policies: list[NetworkPolicy], names: Mapping[str, list[Internal]], address_of: Callable[[Callee], str]
) -> Plan:
    """`names` are those of each app that a policy leads to. A name of several apps leads to those that are allowed."""
    calls: set[Call] = set()
    answers: dict[str, list[str]] = {}
    doors: dict[Door, Callee] = {}
    for policy in policies:
        for internal in names.get(policy.destination_guid, ()):
            address = address_of(internal.callee)
            calls.add(Call(address, policy.start_port, policy.end_port))
            for port in range(policy.start_port, policy.end_port + 1):
                doors[address, port] = internal.callee
            known = answers.setdefault(internal.name, [])
            if address not in known:
                known.append(address)
    return Plan(tuple(sorted(calls)), {name: tuple(found) for name, found in sorted(answers.items())}, doors)


def policies_of(tx: ReadTx, caller: str) -> list[NetworkPolicy]:
    """Those by which an app calls others."""
    return tx.all(NetworkPolicy, source_guid=caller, protocol="tcp", order=("created_at",))


def internal_names(tx: ReadTx, app_guid: str) -> list[Internal]:
    """Under which names an app is called: its routes on internal domains."""
    app = tx.get(App, app_guid)
    if app is None or app.deleting:
        return []
    found = []
    domains = {domain.guid: domain for domain in tx.all(Domain, internal=True, deleting=False)}
    mapped = InSelect("guid", Destination, "route_guid", Eq("app_guid", app_guid))
    routes = {route.guid: route for route in tx.all(Route, mapped) if route.domain_guid in domains}
    for one in tx.all(Destination, app_guid=app_guid, order=("created_at",)):
        route = routes.get(one.route_guid)
        if route is not None:
            name = ".".join(filter(None, (route.host, domains[route.domain_guid].name))).lower()
            found.append(Internal(name, (app_guid, one.process_type)))
    return found
