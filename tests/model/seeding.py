"""Rows for tests of operations, written through operations."""

from random import Random

from paasd.model import App, Build, Domain, Droplet, DropletLayer, Instance, Organization, Package, Process, Space, User
from paasd.model.apps import ChangeApp, CreateApp, SetDroplet, create_app, set_current_droplet, start_app
from paasd.model.arguments import SYSTEM
from paasd.model.builds import AssignBuild, CreateBuild, FinishBuild, assign_build, create_build, finish_build
from paasd.model.droplets import CreateDroplet, create_droplet
from paasd.model.instances import PlaceInstances, Placement, place_instances
from paasd.model.membership import Advertise, advertise_node
from paasd.model.nodes import RegisterNode, register_node
from paasd.model.packages import (
    BeginUpload,
    CreatePackage,
    FinishUpload,
    begin_upload,
    create_package,
    finish_upload,
)
from paasd.model.processes import Sizes
from paasd.model.routes import CreateRoute, Route, create_route
from paasd.model.settings import Bootstrap, bootstrap
from paasd.model.spaces import CreateSpace, create_space
from paasd.model.uploads import BeginDropletUpload, begin_droplet_upload
from paasd.model.users import CreateUser, create_user
from paasd.state import Database

NODE = "node-1"
SIZES = Sizes()


class Seed:
    """Makes what a test needs, in the order of a push."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._random = Random(7)

    def guid(self) -> str:
        return f"guid-{self._random.getrandbits(64):x}"

    async def place(self) -> tuple[Organization, Space, Domain]:
        """The first organization, its space, the shared domain."""
        await self.database.write(bootstrap, Bootstrap(apps_domain="apps.localhost"))
        with self.database.read() as tx:
            domain = tx.find(Domain, name="apps.localhost")
            assert domain is not None
            return tx.all(Organization)[0], tx.all(Space)[0], domain

    async def other_space(self, organization: Organization, name: str = "other") -> Space:
        made = CreateSpace(name=name, organization_guid=organization.guid, actor=SYSTEM)
        return await self.database.write(create_space, made)

    async def user(self, name: str = "ann") -> User:
        return await self.database.write(create_user, CreateUser(username=name, actor=SYSTEM))

    async def app(self, name: str = "dora") -> App:
        _, space, _ = await self.place()
        made = CreateApp(guid=self.guid(), name=name, space_guid=space.guid, sizes=SIZES, actor=SYSTEM)
        return await self.database.write(create_app, made)

    async def process(self) -> Process:
        app = await self.app()
        with self.database.read() as tx:
            return tx.all(Process, app_guid=app.guid)[0]

    async def route(self) -> Route:
        _, space, domain = await self.place()
        made = CreateRoute(domain_guid=domain.guid, space_guid=space.guid, host="dora", actor=SYSTEM)
        return await self.database.write(create_route, made)

    async def package(self, app: App | None = None, *, ready: bool = True) -> Package:
        app = app or await self.app()
        package = await self.database.write(create_package, CreatePackage(app_guid=app.guid, actor=SYSTEM))
        if not ready:
            return package
        await self.database.write(begin_upload, BeginUpload(package_guid=package.guid, actor=SYSTEM))
        done = FinishUpload(package_guid=package.guid, blob_sha256="a" * 64, size_bytes=5)
        return await self.database.write(finish_upload, done)

    async def node(self, guid: str = NODE, memory_mb: int = 4096) -> None:
        node = RegisterNode(guid=guid, name=guid, zone="z", memory_mb=memory_mb, disk_mb=50_000, cpus=2)
        await self.database.write(register_node, node)

    async def member(self, guid: str = NODE) -> None:
        """A node that others can reach."""
        await self.node(guid)
        where = Advertise(
            guid=guid,
            address="192.0.2.1",
            peer_port=1,
            tunnel_port=2,
            etcd_client_port=3,
            etcd_peer_port=4,
            version="1",
            schema_limit=1,
        )
        await self.database.write(advertise_node, where)

    async def build(self, package: Package | None = None, *, assigned: bool = True) -> Build:
        package = package or await self.package()
        made = CreateBuild(package_guid=package.guid, default_stack="host", actor=SYSTEM)
        build = await self.database.write(create_build, made)
        if assigned:
            await self.database.write(assign_build, AssignBuild(build_guid=build.guid, node_guid=NODE, epoch=0))
        with self.database.read() as tx:
            return tx.need(Build, build.guid)

    async def droplet(self, process_types: dict[str, str] | None = None) -> Droplet:
        build = await self.build()
        await self.database.write(
            finish_build,
            FinishBuild(
                build_guid=build.guid,
                node_guid=NODE,
                epoch=build.epoch,
                layers=[DropletLayer(role="app", sha256="b" * 64, size_bytes=9)],
                process_types=process_types or {"web": "run"},
                reuse_key="key",
            ),
        )
        with self.database.read() as tx:
            return tx.all(Droplet)[0]

    async def awaiting_droplet(self, process_types: dict[str, str] | None = None) -> Droplet:
        """One whose bits are still to come."""
        app = await self.app()
        made = CreateDroplet(app_guid=app.guid, process_types=process_types or {}, actor=SYSTEM)
        return await self.database.write(create_droplet, made)

    def bits(self, droplet: Droplet, timeout_s: float = 60) -> BeginDropletUpload:
        return BeginDropletUpload(
            droplet_guid=droplet.guid,
            node_guid=NODE,
            blob_sha256="f" * 64,
            default_stack="host",
            memory_mb=64,
            disk_mb=64,
            timeout_s=timeout_s,
            actor=SYSTEM,
        )

    async def uploaded_droplet(self, process_types: dict[str, str] | None = None, timeout_s: float = 60) -> Droplet:
        """One whose bits are there and wait to be unpacked."""
        droplet = await self.awaiting_droplet(process_types)
        await self.database.write(begin_droplet_upload, self.bits(droplet, timeout_s))
        return droplet

    async def started(self) -> App:
        droplet = await self.droplet()
        chosen = SetDroplet(app_guid=droplet.app_guid, droplet_guid=droplet.guid, sizes=SIZES, actor=SYSTEM)
        await self.database.write(set_current_droplet, chosen)
        return await self.database.write(start_app, ChangeApp(app_guid=droplet.app_guid, actor=SYSTEM))

    async def placement(self) -> PlaceInstances:
        app = await self.started()
        await self.node()
        with self.database.read() as tx:
            process = tx.all(Process, app_guid=app.guid)[0]
        return PlaceInstances(
            placements=[Placement(process_guid=process.guid, index=0, app_version=app.version, node_guid=NODE)]
        )

    async def instance(self) -> Instance:
        await self.database.write(place_instances, await self.placement())
        with self.database.read() as tx:
            return tx.all(Instance)[0]

    def successor(self, elder: Instance) -> PlaceInstances:
        """The placement of what is to take an instance's place, as when it moves."""
        placement = Placement(
            process_guid=elder.process_guid,
            index=elder.index,
            app_version=elder.app_version,
            node_guid=NODE,
            epoch=elder.epoch + 1,
            replaces=elder.guid,
        )
        return PlaceInstances(placements=[placement])
