"""Platform-wide settings and what a platform has from its first start."""

import msgspec

from paasd.model.arguments import SYSTEM, Actor, Arguments
from paasd.model.events import record_event
from paasd.model.organizations import CreateOrganization, create_organization
from paasd.model.quotas.applying import record_quota_event
from paasd.model.records import Domain, Limits, Organization, OrganizationQuota, Setting
from paasd.model.records.quotas import DEFAULT_QUOTA
from paasd.model.spaces import CreateSpace, create_space
from paasd.state import ReadTx, Tx, operation

INTERNAL_DOMAIN = "apps.internal"
BOOTSTRAPPED = "bootstrapped"


class PutSetting(Arguments):
    """Arguments of `put_setting`."""

    name: str
    value: str
    actor: Actor = SYSTEM


@operation("setting.put", version=1)
def put_setting(tx: Tx, args: PutSetting) -> Setting:
    """Insert or replace; the event names it and does not show the value, which may be the hash of a secret."""
    known = tx.get(Setting, args.name)
    if known is not None and known.value == args.value:
        return known
    record_event(
        tx,
        "platform.setting.update",
        args.actor,
        target_type="setting",
        target_guid=args.name,
        target_name=args.name,
        data={"created": known is None},
    )
    return set_setting(tx, args.name, args.value)


def set_setting(tx: Tx, name: str, value: str) -> Setting:
    """Insert or replace, as part of an operation that records what it means."""
    known = tx.get(Setting, name)
    if known is None:
        return tx.insert(Setting(name=name, value=value))
    return known if known.value == value else tx.update(known, value=value)


def read_setting(tx: ReadTx, name: str, default: str = "") -> str:
    """The value, or `default` when it was never set."""
    found = tx.get(Setting, name)
    return default if found is None else found.value


class Bootstrap(Arguments):
    """Arguments of `bootstrap`; an empty organization makes none. `limits` are for the quota of new organizations."""

    apps_domain: str
    organization: str = "main"
    space: str = "dev"
    limits: Limits = Limits()


@operation("platform.bootstrap", version=1)
def bootstrap(tx: Tx, args: Bootstrap) -> bool:
    """The shared domains at every start; the first organization and space only once. True the first time."""
    for name, internal in ((args.apps_domain, False), (INTERNAL_DOMAIN, True)):
        if not tx.exists(Domain, name=name):
            domain = tx.insert(Domain(name=name.lower(), internal=internal))
            record_event(
                tx, "audit.domain.create", SYSTEM, target_type="domain", target_guid=domain.guid, target_name=name
            )
    if read_setting(tx, BOOTSTRAPPED):
        return False
    set_setting(tx, BOOTSTRAPPED, tx.now)
    quota = tx.get(OrganizationQuota, DEFAULT_QUOTA)
    if quota is not None and quota.limits == Limits() != args.limits:
        quota = tx.update(quota, limits=args.limits)
        record_quota_event(tx, "update", SYSTEM, quota, {"limits": msgspec.to_builtins(quota.limits)})
    if args.organization and not tx.exists(Organization):
        organization = create_organization(tx, CreateOrganization(name=args.organization, actor=SYSTEM))
        create_space(tx, CreateSpace(name=args.space, organization_guid=organization.guid, actor=SYSTEM))
    return True
