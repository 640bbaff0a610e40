"""Network policies: which app may connect to which ports of which other. What no policy allows is closed."""

from collections.abc import Sequence
from typing import Final

from paasd.errors import Forbidden, Unprocessable
from paasd.model.arguments import Actor, Arguments
from paasd.model.events import record_app_event
from paasd.model.records import App, NetworkPolicy
from paasd.state import ReadTx, Tx, operation

POLICIES_LIMIT: Final = 200  # of one source, as in Cloud Foundry; also of one call
PORTS_LIMIT: Final = 128  # of one destination, all policies together: each is a way through the tunnels of each node
INACCESSIBLE: Final = "one or more applications cannot be found or accessed"
EXCEEDED: Final = "policy quota exceeded"


class PolicySpec(Arguments):
    """One policy; the ports are the ends of a range."""

    source_guid: str
    destination_guid: str
    protocol: str
    start_port: int
    end_port: int

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        return self.source_guid, self.destination_guid, self.protocol, self.start_port, self.end_port


class ChangePolicies(Arguments):
    """Arguments of `add_policies` and `remove_policies`."""

    policies: list[PolicySpec]
    actor: Actor


def check_policies(policies: Sequence[PolicySpec]) -> None:
    """Raise Unprocessable, in Cloud Foundry's words where it has some, for what cannot be a policy."""
    if not policies:
        raise Unprocessable("missing policies")
    if len(policies) > POLICIES_LIMIT:
        raise Unprocessable(f"at most {POLICIES_LIMIT} policies can be sent in one call")
    for one in policies:
        if not one.source_guid:
            raise Unprocessable("missing source id")
        if not one.destination_guid:
            raise Unprocessable("missing destination id")
        if one.protocol == "udp":
            raise Unprocessable("udp is not supported between apps; use tcp")
        if one.protocol != "tcp":
            raise Unprocessable("invalid destination protocol, specify either udp or tcp")
        if one.start_port > one.end_port:
            raise Unprocessable(
                f"invalid port range {one.start_port}-{one.end_port}, start must be less than or equal to end"
            )
        if one.start_port < 0:
            raise Unprocessable(f"invalid start port {one.start_port}, must be in range 1-65535")
        if one.start_port == 0:
            raise Unprocessable("missing start port")
        if one.end_port > 65535:
            raise Unprocessable(f"invalid end port {one.end_port}, must be in range 1-65535")
        if one.end_port - one.start_port >= PORTS_LIMIT:
            raise Unprocessable(
                f"port range {one.start_port}-{one.end_port} is too wide: policies can open at most {PORTS_LIMIT} "
                "ports of an app"
            )


@operation("network_policy.add", version=1)
def add_policies(tx: Tx, args: ChangePolicies) -> None:
    """Those that are there already stay. Raises Unprocessable, Forbidden (an app is gone, or there are too many)."""
    check_policies(args.policies)
    apps = _apps(tx, args.policies)
    for one in args.policies:
        if tx.get(NetworkPolicy, *one.key) is not None:
            continue
        if tx.count(NetworkPolicy, source_guid=one.source_guid) >= POLICIES_LIMIT:
            raise Forbidden(EXCEEDED)
        tx.insert(
            NetworkPolicy(
                source_guid=one.source_guid,
                destination_guid=one.destination_guid,
                protocol=one.protocol,
                start_port=one.start_port,
                end_port=one.end_port,
            )
        )
        if len(open_ports(tx, one.destination_guid)) > PORTS_LIMIT:
            raise Unprocessable(f"policies can open at most {PORTS_LIMIT} ports of an app, and would open more")
        record_app_event(tx, "audit.app.network-policy.create", args.actor, apps[one.source_guid], _shown(one))


@operation("network_policy.remove", version=1)
def remove_policies(tx: Tx, args: ChangePolicies) -> None:
    """Those that are not there are passed over. Raises Unprocessable, Forbidden (an app is gone)."""
    check_policies(args.policies)
    apps = _apps(tx, args.policies)
    for one in args.policies:
        found = tx.get(NetworkPolicy, *one.key)
        if found is not None:
            tx.delete(found)
            record_app_event(tx, "audit.app.network-policy.delete", args.actor, apps[one.source_guid], _shown(one))


def _apps(tx: Tx, policies: Sequence[PolicySpec]) -> dict[str, App]:
    found = {}
    for guid in {guid for one in policies for guid in (one.source_guid, one.destination_guid)}:
        app = tx.get(App, guid)
        if app is None or app.deleting:
            raise Forbidden(INACCESSIBLE)
        found[guid] = app
    return found


def _shown(one: PolicySpec) -> dict[str, object]:
    ports = {"start": one.start_port, "end": one.end_port}
    return {"destination_guid": one.destination_guid, "protocol": one.protocol, "ports": ports}


class CleanPolicies(Arguments):
    """Arguments of `clean_policies`."""


@operation("network_policy.clean", version=1)
def clean_policies(tx: Tx, args: CleanPolicies) -> list[NetworkPolicy]:
    """Remove, and return, policies of apps that are gone. They go with their apps, so there should be none."""
    stale = [
        one
        for one in tx.all(NetworkPolicy)
        if tx.get(App, one.source_guid) is None or tx.get(App, one.destination_guid) is None
    ][:POLICIES_LIMIT]
    for one in stale:
        tx.delete(one)
    return stale


def forget_app(tx: Tx, app_guid: str) -> None:
    """Take the policies of an app away, to and from it."""
    tx.delete_all(NetworkPolicy, source_guid=app_guid)
    tx.delete_all(NetworkPolicy, destination_guid=app_guid)


def open_ports(tx: ReadTx, destination_guid: str) -> frozenset[int]:
    """Every port of an app that some policy opens to somebody."""
    return ports_of(tx.all(NetworkPolicy, destination_guid=destination_guid, protocol="tcp"))


def ports_of(policies: Sequence[NetworkPolicy]) -> frozenset[int]:
    return frozenset(port for one in policies for port in range(one.start_port, one.end_port + 1))
