"""The one place where a change of what runs is measured: against the quotas, and for the usage events.

An operation that starts, stops or sizes an app does so inside `accounting`. What it may not do is refused in its own
transaction, so of two that race for the last of a quota one fails.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from paasd.model.quotas.arithmetic import NOTHING, Change, Demand, Scope, demand_of, refusals, sentence, task_refusals
from paasd.model.quotas.holding import Held, held_by
from paasd.model.quotas.places import Place, QuotaExceeded, limits_of
from paasd.model.quotas.usage import count_domains, count_instances, count_routes, running
from paasd.model.records import App, Instance, Limits, Organization, Process, Space, Task
from paasd.model.usage_events import Footprint, record_change
from paasd.state import ReadTx, Tx


@contextmanager
def accounting(tx: Tx, app_guid: str, instances_limit: int | None = None) -> Iterator[None]:
    """What the block changes of the app is measured at its end. Raises QuotaExceeded.

    `instances_limit` holds where the organization's quota has no limit of instances.
    """
    before = _footprints(tx, app_guid)
    yield
    after = _footprints(tx, app_guid)
    pairs = [(before.get(guid), one) for guid, one in after.items() if before.get(guid) != one]
    app = tx.get(App, app_guid)
    if app is None or not pairs:
        return
    space = tx.need(Space, app.space_guid)
    changes = [Change(_demand(was), _demand(now)) for was, now in pairs]
    check_changes(tx, space, changes)
    if instances_limit is not None and any(one.after.instances > one.before.instances for one in changes):
        _check_number(tx, tx.need(Organization, space.organization_guid), instances_limit)
    for was, now in pairs:
        record_change(tx, app, space, was, now)


def _footprints(tx: ReadTx, app_guid: str) -> dict[str, Footprint]:
    app = tx.get(App, app_guid)
    if app is None:
        return {}
    held = held_by(tx, app_guid=app_guid)
    return {
        one.guid: Footprint(process=one, state=app.state, held=held.get(one.guid, Held()))
        for one in tx.all(Process, app_guid=app_guid)
    }


def _demand(footprint: Footprint | None) -> Demand:
    if footprint is None or footprint.state != "STARTED":
        return NOTHING
    return demand_of(footprint.process, footprint.held)


def let_go(tx: Tx, instance: Instance) -> None:
    """Delete the row of an instance; one that was larger than its process is by now has counted until here."""
    if held_by(tx, guid=instance.guid):
        with accounting(tx, instance.app_guid):
            tx.delete(instance)
    else:
        tx.delete(instance)


def check_changes(tx: Tx, space: Space, changes: Sequence[Change]) -> None:
    """Refuse what the quotas of the space and its organization do not allow; the changes are in the rows already."""
    if all(change.after == NOTHING for change in changes):
        return
    of_space = _scope(tx, space)
    of_organization = _scope(tx, tx.need(Organization, space.organization_guid))
    found = refusals([scope for scope in (of_space, of_organization) if scope is not None], changes)
    if found:
        raise QuotaExceeded(sentence(found))


def _check_number(tx: Tx, organization: Organization, limit: int) -> None:
    """Refuse instances without end: each is a demand that every plan of the platform is made with."""
    if limits_of(tx, organization).total_instances is None and count_instances(tx, organization) > limit:
        raise QuotaExceeded(
            f"organization '{organization.name}' can have at most {limit} instances in all, as its quota sets no limit "
            "of its own; an administrator can give it one (total_instances)"
        )


def _scope(tx: Tx, place: Place) -> Scope | None:
    """None where there is no limit, so that most writes count nothing."""
    limits = limits_of(tx, place)
    if limits == Limits():
        return None
    level = "organization" if isinstance(place, Organization) else "space"
    return Scope(level=level, name=place.name, limits=limits, used=running(tx, place))


def check_task(tx: Tx, space: Space, task: Task) -> None:
    """Refuse a task, which is a row already, that the quotas of the space or its organization do not allow."""
    demand = Demand(
        instances=1, memory_mb=task.memory_mb, disk_mb=task.disk_mb, log_rate_limit_bytes=task.log_rate_limit_bytes
    )
    places: tuple[Place, ...] = (tx.need(Organization, space.organization_guid), space)
    scopes = [scope for place in places if (scope := _scope(tx, place)) is not None]
    found = task_refusals(scopes, demand)
    if found:
        raise QuotaExceeded(sentence(found))


def check_staging(tx: Tx, space: Space, memory_mb: int) -> None:
    """Refuse a build for which the quotas leave too little memory beside what runs and what is staged."""
    places: tuple[Place, ...] = (space, tx.need(Organization, space.organization_guid))
    for place in places:
        limit = limits_of(tx, place).total_memory_in_mb
        if limit is not None and running(tx, place).memory_mb + memory_mb > limit:
            kind = "space" if isinstance(place, Space) else "organization"
            raise QuotaExceeded(f"{kind}'s memory limit exceeded: staging requires {memory_mb}M memory")


def check_new_route(tx: Tx, space: Space, port: int | None) -> None:
    """Refuse a route, which is a row already, that is one too many for the space or its organization."""
    places: tuple[Place, ...] = (space, tx.need(Organization, space.organization_guid))
    for place in places:
        limits = limits_of(tx, place)
        where = f"{'space' if isinstance(place, Space) else 'organization'} '{place.name}'"
        if limits.total_routes is not None and count_routes(tx, place) > limits.total_routes:
            raise QuotaExceeded(f"Routes quota exceeded for {where}.")
        ports = None if port is None else limits.total_reserved_ports
        if ports is not None and count_routes(tx, place, with_port=True) > ports:
            raise QuotaExceeded(f"Reserved route ports quota exceeded for {where}.")


def check_new_domain(tx: Tx, organization_guid: str) -> None:
    """Refuse a private domain, which is a row already, that is one too many for its organization."""
    organization = tx.need(Organization, organization_guid)
    limit = limits_of(tx, organization).total_domains
    if limit is not None and count_domains(tx, organization_guid) > limit:
        text = f'The number of private domains exceeds the quota for organization "{organization.name}"'
        raise QuotaExceeded(text)
