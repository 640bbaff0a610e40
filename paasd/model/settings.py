"""Platform-wide settings and what a platform has from its first start."""

from paasd.model.arguments import SYSTEM, Arguments
from paasd.model.organizations import CreateOrganization, create_organization
from paasd.model.records import Domain, Organization, Setting
from paasd.model.spaces import CreateSpace, create_space
from paasd.state import ReadTx, Tx, operation

INTERNAL_DOMAIN = "apps.internal"
BOOTSTRAPPED = "bootstrapped"


class PutSetting(Arguments):
    """Arguments of `put_setting`."""

    name: str
    value: str


@operation("setting.put", version=1)
def put_setting(tx: Tx, args: PutSetting) -> Setting:
    """Insert or replace."""
    known = tx.get(Setting, args.name)
    if known is None:
        return tx.insert(Setting(name=args.name, value=args.value))
    return known if known.value == args.value else tx.update(known, value=args.value)


def read_setting(tx: ReadTx, name: str, default: str = "") -> str:
    """The value, or `default` when it was never set."""
    found = tx.get(Setting, name)
    return default if found is None else found.value


class Bootstrap(Arguments):
    """Arguments of `bootstrap`; an empty organization makes none."""

    apps_domain: str
    organization: str = "main"
    space: str = "dev"


@operation("platform.bootstrap", version=1)
def bootstrap(tx: Tx, args: Bootstrap) -> bool:
    """The shared domains at every start; the first organization and space only once. True the first time."""
    for name, internal in ((args.apps_domain, False), (INTERNAL_DOMAIN, True)):
        if not tx.exists(Domain, name=name):
            tx.insert(Domain(name=name, internal=internal))
    if read_setting(tx, BOOTSTRAPPED):
        return False
    put_setting(tx, PutSetting(name=BOOTSTRAPPED, value=tx.now))
    if args.organization and not tx.exists(Organization):
        organization = create_organization(tx, CreateOrganization(name=args.organization, actor=SYSTEM))
        create_space(tx, CreateSpace(name=args.space, organization_guid=organization.guid, actor=SYSTEM))
    return True
