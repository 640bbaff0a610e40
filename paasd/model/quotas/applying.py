"""Which quota applies where: every organization has one, a space may have one of its organization."""

from collections.abc import Container, Sequence
from typing import Any, Final

import msgspec

from paasd.errors import Unprocessable
from paasd.model.arguments import Actor, Arguments
from paasd.model.auditing import difference
from paasd.model.events import record_event
from paasd.model.quotas.arithmetic import UNLIMITED
from paasd.model.quotas.places import Place, within
from paasd.model.records import App, Limits, Organization, OrganizationQuota, Process, Space, SpaceQuota
from paasd.state import In, InSelect, ReadTx, Tx, operation

EXCEEDS: Final = "Current usage exceeds new quota values."
LISTED: Final = 2
NO_SPACES: Final = "Spaces with guids {} do not exist, or you do not have access to them."


class ApplyQuota(Arguments):
    """Arguments of `apply_organization_quota` and `apply_space_quota`: to what it is to apply from now on."""

    quota_guid: str
    guids: list[str]
    actor: Actor


@operation("organization_quota.apply", version=1)
def apply_organization_quota(tx: Tx, args: ApplyQuota) -> list[str]:
    """The guids of all organizations that have it now. Raises NotFound, Unprocessable."""
    quota = tx.need(OrganizationQuota, args.quota_guid)
    apply_to_organizations(tx, quota, args.guids, args.actor, "Organizations with guids {} do not exist")
    return [row.guid for row in tx.all(Organization, quota_guid=quota.guid, deleting=False, order=("created_at",))]


@operation("space_quota.apply", version=1)
def apply_space_quota(tx: Tx, args: ApplyQuota) -> list[str]:
    """The guids of all spaces that have it now. Raises NotFound, Unprocessable."""
    quota = tx.need(SpaceQuota, args.quota_guid)
    apply_to_spaces(tx, quota, args.guids, args.actor)
    return [row.guid for row in tx.all(Space, quota_guid=quota.guid, deleting=False, order=("created_at",))]


class RemoveSpaceQuota(Arguments):
    """Arguments of `remove_space_quota`."""

    quota_guid: str
    space_guid: str
    actor: Actor


@operation("space_quota.remove", version=1)
def remove_space_quota(tx: Tx, args: RemoveSpaceQuota) -> None:
    """Raises NotFound for the quota, Unprocessable for a space to which it does not apply."""
    quota = tx.need(SpaceQuota, args.quota_guid)
    space = tx.get(Space, args.space_guid)
    if space is None or space.deleting or space.quota_guid != quota.guid:
        raise Unprocessable(
            f"Unable to remove quota from space with guid '{args.space_guid}'. "
            "Ensure the space quota is applied to this space."
        )
    told = {"space_guid": space.guid, **difference(space, tx.update(space, quota_guid=None))}
    record_quota_event(tx, "remove", args.actor, quota, told, space)


def apply_to_organizations(tx: Tx, quota: OrganizationQuota, guids: Sequence[str], actor: Actor, missing: str) -> None:
    """`missing` is what is said of guids that there are none of."""
    found = {row.guid: row for row in tx.all(Organization, In("guid", guids), deleting=False)}
    check_found(guids, found, missing)
    _check_unlimited_logs(tx, quota.limits, found.values(), "org(s)")
    for guid in dict.fromkeys(guids):
        if found[guid].quota_guid != quota.guid:
            told = {"organization_guid": guid, **_moved(tx, found[guid], quota)}
            record_quota_event(tx, "apply", actor, quota, told, found[guid])


def apply_to_spaces(tx: Tx, quota: SpaceQuota, guids: Sequence[str], actor: Actor) -> None:
    """Only to spaces of the organization that the quota belongs to."""
    found = {row.guid: row for row in tx.all(Space, In("guid", guids), deleting=False)}
    check_found(guids, found, NO_SPACES)
    if any(row.organization_guid != quota.organization_guid for row in found.values()):
        raise Unprocessable("Space quotas cannot be applied outside of their owning organization.")
    _check_unlimited_logs(tx, quota.limits, found.values(), "space(s)")
    for guid in dict.fromkeys(guids):
        if found[guid].quota_guid != quota.guid:
            told = {"space_guid": guid, **_moved(tx, found[guid], quota)}
            record_quota_event(tx, "apply", actor, quota, told, found[guid])


def _moved(tx: Tx, place: Place, quota: OrganizationQuota | SpaceQuota) -> dict[str, Any]:
    """Let the quota apply; which one applied before."""
    return difference(place, tx.update(place, quota_guid=quota.guid))


def check_found(guids: Sequence[str], found: Container[str], text: str) -> None:
    """Raise Unprocessable with `text` around those of `guids` that were not found."""
    missing = [guid for guid in guids if guid not in found]
    if missing:
        raise Unprocessable(text.format(msgspec.json.encode(missing).decode().replace('","', '", "')))


def _check_unlimited_logs(tx: ReadTx, limits: Limits, places: Any, kind: str) -> None:
    if limits.log_rate_limit_in_bytes_per_second is not None and _with_unlimited_logs(tx, places):
        raise Unprocessable(
            f"{EXCEEDS} The {kind} being assigned this quota contain apps running with an unlimited log rate limit."
        )


def check_log_rates(tx: ReadTx, before: Limits, after: Limits, places: Sequence[Place]) -> None:
    """Refuse a new log rate limit where something may write without one: it could not be counted."""
    limit = after.log_rate_limit_in_bytes_per_second
    if limit is None or limit == before.log_rate_limit_in_bytes_per_second:
        return
    names = _with_unlimited_logs(tx, places)
    if not names:
        return
    kind = "space" if isinstance(places[0], Space) else "org"
    listed = "', '".join(names[:LISTED])
    if len(names) == 1:
        who = f"{kind} '{listed}' which contains"
    elif len(names) <= LISTED:
        who = f"{kind}s '{listed}' which contain"
    else:
        who = f"{kind}s '{listed}' and {len(names) - LISTED} other {kind}s which contain"
    raise Unprocessable(f"{EXCEEDS} This quota is applied to {who} apps running with an unlimited log rate limit.")


def _with_unlimited_logs(tx: ReadTx, places: Any) -> list[str]:
    """Names of those with a process, started or not, that has no log rate limit."""
    return [
        place.name
        for place in places
        if tx.exists(Process, InSelect("app_guid", App, "guid", within(place)), log_rate_limit_bytes=UNLIMITED)
    ]


def quota_kind(quota: OrganizationQuota | SpaceQuota) -> str:
    """`organization_quota` or `space_quota`, as events and jobs name it."""
    return "space_quota" if isinstance(quota, SpaceQuota) else "organization_quota"


def record_quota_event(
    tx: Tx,
    verb: str,
    actor: Actor,
    quota: OrganizationQuota | SpaceQuota,
    data: dict[str, Any] | None = None,
    place: Place | None = None,
) -> None:
    """An event of the quota; one that is about a `place` shows up there too."""
    kind = quota_kind(quota)
    organization_guid = quota.organization_guid if isinstance(quota, SpaceQuota) else None
    record_event(
        tx,
        f"audit.{kind}.{verb}",
        actor,
        target_type=kind,
        target_guid=quota.guid,
        target_name=quota.name,
        space_guid=place.guid if isinstance(place, Space) else None,
        organization_guid=place.guid if isinstance(place, Organization) else organization_guid,
        data=data,
    )
