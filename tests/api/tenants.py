"""An organization with people in it, and apps that count as started without a node that runs them."""

import httpx

from paasd.model import App, Droplet, DropletLayer, DropletSidecar, Instance, Process
from paasd.model.apps import ChangeApp, CreateApp, SetDroplet, create_app, set_current_droplet, start_app
from paasd.model.arguments import SYSTEM, Arguments
from paasd.model.instances import PlaceInstances, Placement, place_instances
from paasd.model.nodes import RegisterNode, register_node
from paasd.model.organizations import CreateOrganization, create_organization
from paasd.model.roles import CreateRole, create_role
from paasd.model.spaces import CreateSpace, create_space
from paasd.state import Tx, operation
from tests.api.serving import Served

PEOPLE = {
    "manager": ("organization_manager", None),
    "billing": ("organization_billing_manager", None),
    "auditor": ("organization_auditor", None),
    "developer": (None, "space_developer"),
    "supporter": (None, "space_supporter"),
}


class Tenant:
    """Guids, and a client for each kind of person."""

    def __init__(self, name: str, organization: str, space: str, tokens: dict[str, str], served: Served) -> None:
        self.name = name
        self.organization = organization
        self.space = space
        self._tokens = tokens
        self._served = served

    def client(self, kind: str) -> httpx.AsyncClient:
        """A client signed in as the manager, the developer, ..."""
        return self._served.client(self._tokens[kind])

    async def started_app(self, served: Served, name: str) -> str:
        """A started app of one web instance; its guid."""
        database, sizes = served.context.database, served.context.sizes
        guid = f"{self.name}-{name}"
        made = CreateApp(guid=guid, name=name, space_guid=self.space, sizes=sizes, actor=SYSTEM)
        await database.write(create_app, made)
        droplet = await database.write(put_droplet, PutDroplet(app_guid=guid))
        chosen = SetDroplet(app_guid=guid, droplet_guid=droplet.guid, sizes=sizes, actor=SYSTEM)
        await database.write(set_current_droplet, chosen)
        await database.write(start_app, ChangeApp(app_guid=guid, actor=SYSTEM))
        return guid

    async def instance(self, served: Served, app_guid: str) -> Instance:
        """An instance of the app, placed on this node."""
        database = served.context.database
        node = RegisterNode(guid="node", name="node", zone="z", memory_mb=4096, disk_mb=50_000, cpus=2)
        await database.write(register_node, node)
        with database.read() as tx:
            app, process = tx.need(App, app_guid), tx.all(Process, app_guid=app_guid)[0]
        wanted = Placement(process_guid=process.guid, index=0, app_version=app.version, node_guid="node")
        await database.write(place_instances, PlaceInstances(placements=[wanted]))
        with database.read() as tx:
            return tx.all(Instance, app_guid=app_guid)[0]


class PutDroplet(Arguments):
    """Arguments of `put_droplet`."""

    app_guid: str
    process_types: dict[str, str] = {}
    sidecars: list[DropletSidecar] = []


@operation("test.put_droplet", version=1)
def put_droplet(tx: Tx, args: PutDroplet) -> Droplet:
    """A droplet that nothing was staged for."""
    layer = DropletLayer(role="app", sha256="b" * 64, size_bytes=9)
    types = args.process_types or {"web": "run"}
    return tx.insert(Droplet(app_guid=args.app_guid, layers=[layer], process_types=types, sidecars=args.sidecars))


async def make_tenant(served: Served, name: str, *kinds: str) -> Tenant:
    """An organization of that name with a space `dev` and one person of each kind (or of `kinds`), `KIND@NAME`."""
    database = served.context.database
    organization = await database.write(create_organization, CreateOrganization(name=name, actor=SYSTEM))
    made = CreateSpace(name="dev", organization_guid=organization.guid, actor=SYSTEM)
    space = await database.write(create_space, made)
    tokens: dict[str, str] = {}
    for kind, (of_organization, of_space) in PEOPLE.items():
        user = await served.make_user(f"{kind}@{name}")
        member = CreateRole(
            type=of_organization or "organization_user",
            user_guid=user,
            organization_guid=organization.guid,
            actor=SYSTEM,
        )
        await database.write(create_role, member)
        if of_space is not None:
            wanted = CreateRole(type=of_space, user_guid=user, space_guid=space.guid, actor=SYSTEM)
            await database.write(create_role, wanted)
        if kind in (kinds or PEOPLE):
            tokens[kind] = (await served.login(f"{kind}@{name}"))["access_token"]
    return Tenant(name, organization.guid, space.guid, tokens, served)
