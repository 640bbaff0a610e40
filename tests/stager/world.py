"""The parts of a node that staging needs, real ones, rows to stage, and a container to run what came out."""

import io
import json
import tarfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import trio

from paasd.blobs import Blobs, open_blobs
from paasd.buildpacks.launch import launch_argv, launch_environment, start_command
from paasd.config import Config, LogsConfig, StagingConfig
from paasd.logs import Logs, open_logs
from paasd.model import (
    App,
    Build,
    Droplet,
    Node,
    Organization,
    OrganizationQuota,
    Package,
    Process,
    Space,
)
from paasd.model import Limits as QuotaLimits
from paasd.model.apps import environment_context
from paasd.sandbox import Container, ContainerSpec, Limits, ProcessSpec, Sandbox, open_sandbox
from paasd.stager import Stager, open_stager
from paasd.state import Database, Tx, open_database, operation
from paasd.state.sealing import Sealer, load_root_key, open_sealer
from paasd.unsealing import LocalUnsealing

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
NODE = "node-1"
MIB = 1024 * 1024
DEFAULT = StagingConfig()
_ORDER = {"toolchain": 0, "dependencies": 1, "app": 2}


class Seed(msgspec.Struct):
    app: App
    process: Process


class SeedBuild(msgspec.Struct):
    package: Package
    build: Build


@operation("test.seed_staged_app", version=1)
def seed_app(tx: Tx, args: Seed) -> None:
    for organization in ("org", "other"):
        if tx.get(Organization, organization) is None:
            tx.insert(Organization(guid=organization, name=organization))
            for space in ("space", "second"):
                tx.insert(Space(guid=f"{organization}-{space}", name=space, organization_guid=organization))
    tx.insert(args.app)
    tx.insert(args.process)


@operation("test.seed_build", version=1)
def seed_build(tx: Tx, args: SeedBuild) -> None:
    if tx.get(Node, NODE) is None:
        tx.insert(Node(guid=NODE, name=NODE, zone="a", memory_mb=4096, disk_mb=50_000, cpus=2))
    tx.insert(args.package)
    tx.insert(args.build)


@operation("test.seed_blob_quota", version=1)
def seed_blob_quota(tx: Tx, limit_mb: int) -> None:
    tx.update(tx.need(OrganizationQuota, "default"), limits=QuotaLimits(total_blobs_in_mb=limit_mb))


@operation("test.drop_build", version=1)
def drop_build(tx: Tx, args: str) -> None:
    tx.delete(tx.need(Build, args))


class World:
    """`staging` may be entered again and again, as daemons come and go; containers end with the world."""

    def __init__(self, directory: Path, database: Database, sandbox: Sandbox, blobs: Blobs, sealer: Sealer) -> None:
        self.directory = directory
        self.database = database
        self.sandbox = sandbox
        self.blobs = blobs
        self.logs: Logs
        self._sealer = sealer

    @asynccontextmanager
    async def staging(self, config: StagingConfig = DEFAULT) -> AsyncIterator[Stager]:
        async with (
            open_logs(LogsConfig(write_delay_s=0.001), self.directory / "logs", time.time) as self.logs,
            open_stager(
                Config(staging=config),
                NODE,
                self.database,
                self.sandbox,
                self.blobs,
                self.logs,
                LocalUnsealing(self.database, self._sealer),
                self.directory,
            ) as stager,
        ):
            yield stager

    async def app(
        self,
        name: str,
        *,
        organization: str = "org",
        space: str = "space",
        environment: dict[str, str] | None = None,
        command: str | None = None,
    ) -> str:
        sealed = self._sealer.seal(json.dumps(environment or {}).encode(), environment_context(name))
        app = App(guid=name, name=name, space_guid=f"{organization}-{space}", environment=sealed)
        process = Process(guid=f"{name}-web", app_guid=name, type="web", command=command, instances=1)
        await self.database.write(seed_app, Seed(app, process))
        return name

    async def begin(
        self,
        app_guid: str,
        files: dict[str, str | bytes] | Path | bytes,
        *,
        buildpacks: list[str] | None = None,
        memory_mb: int = 1024,
        disk_mb: int = 1024,
    ) -> str:
        """Rows for a build of this node; gives its guid."""
        bits = files if isinstance(files, bytes) else archive(files)
        async with self.blobs.writer(len(bits)) as writer:
            await writer.write(bits)
            blob = await writer.commit()
        package = Package(
            guid=str(uuid.uuid4()),
            app_guid=app_guid,
            state="READY",
            blob_sha256=blob.sha256,
            size_bytes=blob.size_bytes,
        )
        build = Build(
            guid=str(uuid.uuid4()),
            app_guid=app_guid,
            package_guid=package.guid,
            deadline_at="2999-01-01T00:00:00Z",
            stack="host",
            node_guid=NODE,
            epoch=1,
            buildpacks=buildpacks or [],
            staging_memory_mb=memory_mb,
            staging_disk_mb=disk_mb,
        )
        await self.database.write(seed_build, SeedBuild(package, build))
        return build.guid

    async def ended(self, build_guid: str, timeout_s: float = 150) -> Build:
        """The build, as soon as it is STAGED or FAILED."""
        with trio.fail_after(timeout_s):
            async with self.database.watch("builds") as changes:
                while True:
                    with self.database.read() as tx:
                        build = tx.need(Build, build_guid)
                    if build.state != "STAGING":
                        return build
                    await changes.wait()
                    changes.take()

    async def stage(self, app_guid: str, files: dict[str, str | bytes] | Path | bytes, **options: object) -> Droplet:
        """Stage and give the droplet; fails with the log when the build fails."""
        build = await self.ended(await self.begin(app_guid, files, **options))  # type: ignore[arg-type]
        assert build.state == "STAGED", f"{build.error}\n" + "\n".join(self.lines(app_guid))
        with self.database.read() as tx:
            return tx.need(Droplet, build.droplet_guid or "")

    async def refused(self, app_guid: str, files: dict[str, str | bytes] | Path | bytes, **options: object) -> str:
        """Stage something that must fail; gives the error."""
        build = await self.ended(await self.begin(app_guid, files, **options))  # type: ignore[arg-type]
        assert build.state == "FAILED"
        assert build.error is not None
        return build.error

    def build_of(self, droplet: Droplet) -> Build:
        with self.database.read() as tx:
            return tx.need(Build, droplet.build_guid or "")

    def lines(self, app_guid: str) -> list[str]:
        found = self.logs.read(app_guid, limit=10_000, source_types=("STG",))
        return [line.payload.decode(errors="replace") for line in found]

    @asynccontextmanager
    async def running(self, droplet: Droplet, *, environment: dict[str, str] | None = None) -> AsyncIterator[Container]:
        """The droplet's web process in a container, as an instance runs, listening on 8080."""
        command = start_command(None, droplet.process_types, "web")
        assert command is not None
        layers = sorted(droplet.layers, key=lambda layer: _ORDER[layer.role])
        container = await self.sandbox.create(
            ContainerSpec(
                guid=f"run-{uuid.uuid4().hex[:12]}",
                layers=tuple(self.blobs.path(layer.sha256) for layer in layers),
                limits=Limits(memory_bytes=256 * MIB, disk_bytes=64 * MIB, inodes=10_000),
            )
        )
        try:
            env = launch_environment(
                app_environment=environment or {},
                vcap_application={"application_name": droplet.app_guid},
                vcap_services={},
                memory_mb=256,
                address=container.address,
            )
            await container.start(ProcessSpec(argv=tuple(launch_argv(command)), env=env))
            await self._listening(container)
            yield container
        finally:
            with trio.CancelScope(shield=True):
                await container.destroy()

    async def _listening(self, container: Container) -> None:
        with trio.move_on_after(20) as timer:
            while container.running:
                try:
                    stream = await trio.open_tcp_stream(container.address, 8080)
                except OSError:
                    await trio.sleep(0.05)
                    continue
                await stream.aclose()
                return
        output = b"".join(path.read_bytes() for path in sorted(container.spool.glob("*.seg")))
        raise AssertionError(f"{'never listened' if timer.cancelled_caught else 'ended'}: {output!r}")


@asynccontextmanager
async def open_world(directory: Path) -> AsyncIterator[World]:
    config = Config()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        sandbox = await enter(
            open_sandbox(config.sandbox, directory, network=config.network, disk=config.disk, keep=False)
        )
        database = await enter(open_database(directory, sync=False))
        sealer = await open_sealer(database, load_root_key(directory / "root-key"))
        blobs = await enter(open_blobs(directory / "blobs"))
        yield World(directory, database, sandbox, blobs, sealer)


def archive(files: dict[str, str | bytes] | Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        if isinstance(files, Path):
            tar.add(files, ".")
        else:
            for name, content in files.items():
                data = content.encode() if isinstance(content, str) else content
                info = tarfile.TarInfo(name)
                info.size = len(data)
                info.mode = 0o755 if data[:2] == b"#!" or data[:4] == b"\x7fELF" else 0o644
                tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


async def get(
    address: str, path: str = "/", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and body of one request."""
    lines = [f"GET {path} HTTP/1.1", "Host: app.example", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    stream = await trio.open_tcp_stream(address, 8080)
    async with stream:
        await stream.send_all(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = b"".join([chunk async for chunk in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    return int(first.split()[1]), found, body
