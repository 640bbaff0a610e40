"""The parts of a node that a supervisor needs, real ones, and rows to run."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from paasd.blobs import Blobs, open_blobs
from paasd.config import Config, LogsConfig, SupervisorConfig
from paasd.logs import Logs, open_logs
from paasd.model import App, Droplet, HealthCheck, Instance, Lease, Node, Organization, Process, Sidecar, Space
from paasd.model.apps import environment_context
from paasd.model.arguments import Metadata
from paasd.model.instances import RemoveInstances, remove_instances
from paasd.model.leases import SINGLETON_LABEL, instance_slot
from paasd.model.metadata import merge_metadata
from paasd.observed import InstanceFact, Observed
from paasd.sandbox import Sandbox, open_sandbox
from paasd.state import Database, Tx, open_database, operation
from paasd.state.sealing import Sealer, load_root_key, open_sealer
from paasd.supervisor import Supervisor, open_supervisor
from paasd.unsealing import LocalUnsealing, Unsealing

T = TypeVar("T")
NODE = "node-1"
SERVER = "exec python3 -u -m http.server 8080"
PORT_CHECK = HealthCheck()
PROCESS_CHECK = HealthCheck(type="process")
QUICK = SupervisorConfig(
    drain_s=0.1,
    stop_grace_s=1.0,
    backoff_s=0.5,
    usage_interval_s=0.5,
    start_timeout_s=20.0,
    liveness_interval_s=1.0,
    pids=128,
)


class Seed(msgspec.Struct):
    """An app with one process type and its instances."""

    app: App
    process: Process
    droplet: Droplet
    instances: list[Instance]
    sidecars: list[Sidecar]


@operation("test.seed_app", version=1)
def seed_app(tx: Tx, args: Seed) -> None:
    if tx.get(Node, NODE) is None:
        tx.insert(Node(guid=NODE, name="n", zone="z", memory_mb=8192, disk_mb=8192, cpus=2))
        tx.insert(Organization(guid="org", name="org"))
        tx.insert(Space(guid="space", name="space", organization_guid="org"))
    tx.insert(args.app)
    tx.insert(args.droplet)
    tx.insert(args.process)
    for row in (*args.sidecars, *args.instances):
        tx.insert(row)


class Bump(msgspec.Struct):
    guid: str


class LabelApp(msgspec.Struct):
    app_guid: str
    value: str


@operation("test.label_singleton", version=1)
def label_singleton(tx: Tx, args: LabelApp) -> None:
    merge_metadata(tx, "app", args.app_guid, Metadata(labels={SINGLETON_LABEL: args.value or None}))


@operation("test.bump_epoch", version=1)
def bump_epoch(tx: Tx, args: Bump) -> None:
    """As when an instance is placed anew under the same guid."""
    row = tx.need(Instance, args.guid)
    tx.update(row, epoch=row.epoch + 1)


class World:
    """`supervised` may be entered again and again, as daemons come and go; containers end with the world."""

    def __init__(self, directory: Path, database: Database, sandbox: Sandbox, blobs: Blobs, sealer: Sealer) -> None:
        self.directory = directory
        self.database = database
        self.sandbox = sandbox
        self.observed = Observed()
        self.logs: Logs
        self._blobs = blobs
        self._sealer = sealer

    @asynccontextmanager
    async def supervised(
        self, config: SupervisorConfig = QUICK, *, unsealing: Unsealing | None = None
    ) -> AsyncIterator[Supervisor]:
        self.observed = Observed()
        logs_config = LogsConfig(write_delay_s=0.001)
        async with (
            open_logs(logs_config, self.directory / "logs", time.time) as self.logs,
            open_supervisor(
                config,
                directory=self.directory / "supervisor",
                node_guid=NODE,
                database=self.database,
                observed=self.observed,
                sandbox=self.sandbox,
                blobs=self._blobs,
                logs=self.logs,
                unsealing=unsealing or LocalUnsealing(self.database, self._sealer),
                default_stack="host",
                api_url="https://api.system.localhost",
            ) as supervisor,
        ):
            yield supervisor

    async def run_app(
        self,
        name: str,
        command: str,
        *,
        instances: int = 1,
        health: HealthCheck = PORT_CHECK,
        readiness: HealthCheck = PROCESS_CHECK,
        memory_mb: int = 128,
        environment: object = None,
        sidecars: dict[str, str] | None = None,
        epoch: int = 1,
    ) -> list[str]:
        """Rows for an app; the guids of its instances are `<name>-<index>`."""
        sealed = self._sealer.seal(json.dumps(environment or {}).encode(), environment_context(name))
        rows = [
            Instance(
                guid=f"{name}-{index}",
                app_guid=name,
                process_guid=f"{name}-web",
                process_type="web",
                index=index,
                app_version=1,
                droplet_guid=f"{name}-droplet",
                node_guid=NODE,
                epoch=epoch,
                memory_mb=memory_mb,
                disk_mb=64,
            )
            for index in range(instances)
        ]
        process = Process(
            guid=f"{name}-web",
            app_guid=name,
            type="web",
            command=command,
            instances=instances,
            health_check=health,
            readiness_health_check=readiness,
        )
        droplet = Droplet(guid=f"{name}-droplet", app_guid=name, stack="host")
        app = App(guid=name, name=name, space_guid="space", state="STARTED", environment=sealed, version=1)
        beside = [
            Sidecar(app_guid=name, name=key, command=run, process_types=["web"])
            for key, run in (sidecars or {}).items()
        ]
        await self.database.write(seed_app, Seed(app, process, droplet, rows, beside))
        return [row.guid for row in rows]

    async def remove(self, *guids: str) -> None:
        await self.database.write(remove_instances, RemoveInstances(guids=list(guids)))

    async def label(self, app_guid: str, value: str = "true") -> None:
        """Make the app a singleton, or with an empty value none any more."""
        await self.database.write(label_singleton, LabelApp(app_guid, value))

    def lease(self, app_guid: str) -> Lease | None:
        with self.database.read() as tx:
            return tx.get(Lease, instance_slot(f"{app_guid}-web", 0))

    async def bump(self, guid: str) -> None:
        await self.database.write(bump_epoch, Bump(guid))

    async def until(
        self, guid: str, wanted: Callable[[InstanceFact | None], bool], timeout_s: float = 20
    ) -> InstanceFact:
        """The fact, as soon as it is as wanted."""
        with trio.fail_after(timeout_s):
            async with self.observed.watch() as watch:
                while not wanted(fact := self.observed.get(guid)):
                    await watch.wait()
        return fact  # type: ignore[return-value]

    async def running(self, guid: str) -> InstanceFact:
        return await self.until(guid, lambda fact: fact is not None and fact.state == "RUNNING" and fact.routable)

    async def gone(self, guid: str) -> None:
        await self.until(guid, lambda fact: fact is None)

    def lines(self, app_guid: str, source_type: str = "APP") -> list[str]:
        found = self.logs.read(app_guid, limit=10_000, source_types=(source_type,))
        return [line.payload.decode(errors="replace") for line in found]

    async def line(self, app_guid: str, text: str, source_type: str = "APP", timeout_s: float = 40) -> str:
        """The first line that contains `text`, as soon as it is there."""
        return await eventually(
            lambda: next((line for line in self.lines(app_guid, source_type) if text in line), None), timeout_s
        )


async def eventually(look: Callable[[], T | None], timeout_s: float = 40) -> T:
    with trio.fail_after(timeout_s):
        while (found := look()) is None:
            await trio.sleep(0.02)
    return found


async def get(address: str, path: str = "/") -> bytes:
    stream = await trio.open_tcp_stream(address, 8080)
    async with stream:
        await stream.send_all(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return b"".join([chunk async for chunk in stream])


@asynccontextmanager
async def open_world(directory: Path, *, keep: bool = False) -> AsyncIterator[World]:
    config = Config()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        sandbox = await enter(
            open_sandbox(config.sandbox, directory, network=config.network, disk=config.disk, keep=keep)
        )
        database = await enter(open_database(directory, sync=False))
        sealer = await open_sealer(database, load_root_key(directory / "root-key"))
        blobs = await enter(open_blobs(directory / "blobs"))
        yield World(directory, database, sandbox, blobs, sealer)
