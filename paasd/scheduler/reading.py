"""Reads what a plan is made from: rows of one snapshot of the database, and facts of that moment."""

from typing import Final

from paasd.model import Annotation, App, Build, Instance, Lease, Node, PlacementFailure, Process, Task
from paasd.model.brake import read_brake
from paasd.model.leases import singleton_apps
from paasd.scheduler.desired import Snapshot
from paasd.scheduler.patience import Patience
from paasd.scheduler.sight import Sight
from paasd.scheduler.tasks import reserved_by_tasks
from paasd.state import Database, In, InSelect, ReadTx

ZONES_ANNOTATION: Final = "paasd.io/zones"
"""Patterns of the zones that an app may run in, such as `aws/*, dc1/rack4`; manifests can set it."""


def read_snapshot(database: Database, sight: Sight | None, patience: Patience, now: float) -> Snapshot:
    """Everything, as it is now; `now` is of the clock of `patience`."""
    gone = frozenset() if sight is None else sight.unreachable()
    facts = [] if sight is None else sight.instances()
    healthy = {(one.instance_guid, one.epoch) for one in facts if one.state == "RUNNING" and one.routable}
    with database.read() as tx:
        instances, nodes = tx.all(Instance), tx.all(Node)
        patience.see_nodes(now, nodes, gone)
        return Snapshot(
            apps=tx.all(App, state="STARTED", deleting=False),
            processes=tx.all(
                Process, InSelect("app_guid", App, "guid", In("state", ["STARTED"]), In("deleting", [False]))
            ),
            instances=instances,
            nodes=nodes,
            builds=tx.all(Build, state="STAGING", order=("created_at",)),
            failures=tx.all(PlacementFailure),
            running=frozenset(
                one.guid for one in instances if (one.guid, one.epoch) in healthy and one.node_guid not in gone
            ),
            unreachable=gone,
            frozen=read_brake(tx).engaged,
            singletons=singleton_apps(tx),
            leases=tx.all(Lease),
            zones=_zones(tx),
            overdue=patience.overdue(now),
            calm=patience.calm(now),
            tasks=tx.all(Task, state="PENDING", order=("created_at",)),
            taken=reserved_by_tasks(tx),
        )


def _zones(tx: ReadTx) -> dict[str, tuple[str, ...]]:
    found = tx.all(Annotation, resource_type="app", key=ZONES_ANNOTATION)
    patterns = {
        one.resource_guid: tuple(part.strip() for part in one.value.split(",") if part.strip()) for one in found
    }
    return {guid: zones for guid, zones in patterns.items() if zones}
