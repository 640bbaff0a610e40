"""A platform without nodes' hands: real database, blobs, logs and sealer; tests act as the stager and supervisor."""

import io
import tarfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from paasd.actions import Context, apps, builds, organizations, packages, roles, spaces, users
from paasd.actions.stats import InstanceStats, stats_of
from paasd.auth import Caller, system_caller
from paasd.blobs import open_blobs
from paasd.config import Config
from paasd.logs import open_logs
from paasd.model import App, Build, Droplet, DropletLayer, Organization, Process, Space
from paasd.model.builds import FinishBuild, finish_build
from paasd.model.nodes import RegisterNode, register_node
from paasd.model.settings import Bootstrap, bootstrap
from paasd.observed import Observed
from paasd.scheduler.scheduler import Scheduler
from paasd.state.sealing import load_root_key, open_sealer
from tests.fresh import open_fresh

NODE = "11111111-1111-4111-8111-111111111111"


def process_stats(context: Context, process_guid: str) -> list[InstanceStats]:
    """Every wanted index of a process."""
    with context.database.read() as tx:
        return stats_of(context, tx, [tx.need(Process, process_guid)])[process_guid]


class World:
    """A context, an administrator, one organization with one space."""

    def __init__(self, context: Context, organization: Organization, space: Space) -> None:
        self.context = context
        self.admin = system_caller("admin")
        self.organization = organization
        self.space = space
        self.scheduler = Scheduler(context.config, context.database, context.clock)
        self.users = 0

    async def user(self, *types: str, space: Space | None = None) -> Caller:
        """A new user with these roles in the space or its organization."""
        self.users += 1
        space = space or self.space
        name = f"user-{self.users}"
        user = await users.create_account(self.context, self.admin, username=name)
        wanted = list(types)
        if any(one.startswith("space_") for one in types) and "organization_user" not in types:
            wanted.insert(0, "organization_user")
        for one in wanted:
            place = (
                {"space_guid": space.guid}
                if one.startswith("space_")
                else {"organization_guid": space.organization_guid}
            )
            await roles.create(self.context, self.admin, type=one, user_guid=user.guid, **place)
        return Caller(user_guid=user.guid, username=name)

    async def other_space(self, name: str = "other") -> Space:
        """A space of another organization."""
        organization = await organizations.create(self.context, self.admin, name=f"{name}-org")
        return await spaces.create(self.context, self.admin, name=name, organization_guid=organization.guid)

    async def app(self, name: str = "dora", space: Space | None = None) -> App:
        return await apps.create(self.context, self.admin, name=name, space_guid=(space or self.space).guid)

    async def staged(self, app: App, process_types: dict[str, str] | None = None) -> Droplet:
        """A droplet of the app, as a stager would have made it."""
        package = await packages.create(self.context, self.admin, app_guid=app.guid)
        await packages.upload(self.context, self.admin, package.guid, chunks(archive({"Procfile": b"web: run"})))
        build = await builds.create(self.context, self.admin, package_guid=package.guid)
        await self.scheduler.reconcile()
        return await self.finish(build, process_types)

    async def finish(self, build: Build, process_types: dict[str, str] | None = None) -> Droplet:
        """Act as the stager: end a build with success."""
        with self.context.database.read() as tx:
            build = tx.need(Build, build.guid)
        done = await self.context.database.write(
            finish_build,
            FinishBuild(
                build_guid=build.guid,
                node_guid=build.node_guid or "",
                epoch=build.epoch,
                layers=[DropletLayer(role="app", sha256="0" * 64, size_bytes=10)],
                process_types=process_types or {"web": "run"},
            ),
        )
        assert done
        with self.context.database.read() as tx:
            return tx.need(Droplet, tx.need(Build, build.guid).droplet_guid or "")

    async def running(self, name: str = "dora") -> App:
        """A started app with its instances placed."""
        app = await self.app(name)
        droplet = await self.staged(app)
        await apps.set_current_droplet(self.context, self.admin, app.guid, droplet.guid)
        app = await apps.start(self.context, self.admin, app.guid)
        await self.scheduler.reconcile()
        return app


def archive(files: dict[str, bytes]) -> bytes:
    """A tar.gz of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


async def chunks(data: bytes, size: int = 4096) -> AsyncIterator[bytes]:
    """The bytes as they would come from a socket."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


@asynccontextmanager
async def open_world(directory: Path, *, memory_mb: int = 4096, config: Config | None = None) -> AsyncIterator[World]:
    """The world in `directory`, with one node of `memory_mb`."""
    config = config or Config()
    async with (
        open_fresh(directory / "state") as database,
        open_blobs(directory / "blobs") as blobs,
        open_logs(config.logs, directory / "logs", time.time) as logs,
    ):
        sealer = await open_sealer(database, load_root_key(directory / "root.key"))
        context = Context(
            config=config,
            database=database,
            blobs=blobs,
            observed=Observed(),
            logs=logs,
            sealer=sealer,
            node_guid=NODE,
            clock=time.time,
        )
        await database.write(bootstrap, Bootstrap(apps_domain=config.domains.apps, organization="main", space="dev"))
        node = RegisterNode(guid=NODE, name="one", zone="local/a", memory_mb=memory_mb, disk_mb=100_000, cpus=4)
        await database.write(register_node, node)
        with database.read() as tx:
            organization, space = tx.all(Organization)[0], tx.all(Space)[0]
        yield World(context, organization, space)
