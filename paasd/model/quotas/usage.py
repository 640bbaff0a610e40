"""What an organization or a space uses, counted from the rows of the very transaction."""

import msgspec

from paasd.model.quotas.arithmetic import Usage
from paasd.model.quotas.blobs import MIB, stored_bytes
from paasd.model.quotas.holding import held_by
from paasd.model.quotas.places import Place, within
from paasd.model.records import App, Build, Domain, DropletUpload, Organization, Process, Route, Task
from paasd.model.records.tasks import ENDED
from paasd.state import Condition, Eq, Gt, In, InSelect, IsNull, Not, ReadTx


def usage(tx: ReadTx, place: Place) -> Usage:
    """Everything. The domains of a space are those of its organization, as Cloud Foundry shows them."""
    organization_guid = place.guid if isinstance(place, Organization) else place.organization_guid
    return msgspec.structs.replace(
        running(tx, place),
        routes=count_routes(tx, place),
        reserved_ports=count_routes(tx, place, with_port=True),
        domains=count_domains(tx, organization_guid),
        blobs_mb=-(-stored_bytes(tx, place) // MIB),
    )


def running(tx: ReadTx, place: Place) -> Usage:
    """Only what started apps, tasks that have not ended, and builds and unpacked droplets (their memory) use."""
    started = _of_started(place)
    held = held_by(tx, started).values()
    limited = Gt("log_rate_limit_bytes", 0)
    tasks = (Not(In("state", ENDED)), InSelect("app_guid", App, "guid", within(place)))
    builds = (Eq("state", "STAGING"), InSelect("app_guid", App, "guid", within(place)))
    unpacked = InSelect("app_guid", App, "guid", within(place))
    return Usage(
        memory_mb=tx.total(Process, ("instances", "memory_mb"), started)
        + sum(one.memory_mb for one in held)
        + tx.total(Task, ("memory_mb",), *tasks)
        + tx.total(Build, ("staging_memory_mb",), *builds)
        + tx.total(DropletUpload, ("memory_mb",), unpacked),
        disk_mb=tx.total(Process, ("instances", "disk_mb"), started)
        + sum(one.disk_mb for one in held)
        + tx.total(Task, ("disk_mb",), *tasks),
        instances=count_instances(tx, place),
        log_rate_bytes=tx.total(Process, ("instances", "log_rate_limit_bytes"), started, limited)
        + sum(one.log_rate_limit_bytes for one in held)
        + tx.total(Task, ("log_rate_limit_bytes",), limited, *tasks),
        tasks=tx.count(Task, *tasks),
    )


def count_instances(tx: ReadTx, place: Place) -> int:
    """Those that started apps want."""
    return tx.total(Process, ("instances",), _of_started(place))


def _of_started(place: Place) -> Condition:
    return InSelect("app_guid", App, "guid", Eq("state", "STARTED"), Eq("deleting", False), within(place))


def count_routes(tx: ReadTx, place: Place, *, with_port: bool = False) -> int:
    """All routes, or only those that reserve a port."""
    return tx.count(Route, within(place), *([Not(IsNull("port"))] if with_port else []))


def count_domains(tx: ReadTx, organization_guid: str) -> int:
    """Private domains that the organization owns."""
    return tx.count(Domain, organization_guid=organization_guid, deleting=False)
