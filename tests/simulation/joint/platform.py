"""A whole simulated platform: machines, daemons that come and go, etcd, and rows to begin with."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from random import Random

import msgspec
import trio

from paasd.config import (
    Config,
    GossipConfig,
    LeasesConfig,
    LivenessConfig,
    SchedulerConfig,
    StateConfig,
    SupervisorConfig,
)
from paasd.errors import Unavailable
from paasd.model import (
    App,
    Destination,
    Domain,
    Droplet,
    HealthCheck,
    Instance,
    Label,
    Node,
    Organization,
    Process,
    Route,
    Space,
)
from paasd.model.leases import SINGLETON_LABEL
from paasd.state import Database, InlineRunner, MemoryLog, Tx, open_database, operation
from tests.simulation.joint.daemon import LOG, Daemon
from tests.simulation.joint.etcd import EtcdCluster
from tests.simulation.joint.fabric import Fabric, FabricNetwork, address_of
from tests.simulation.joint.machine import Machine
from tests.virtual.running import run_virtually

CONFIG = Config(
    scheduler=SchedulerConfig(period_s=5.0, rebalance_after_s=20.0),
    liveness=LivenessConfig(flap_grace_s=1.0, flap_grace_limit_s=4.0, brake_window_s=15.0),
    leases=LeasesConfig(duration_s=8.0, margin_s=1.0),
    gossip=GossipConfig(sync_interval_s=10.0),
    state=StateConfig(snapshot_interval_s=0, log_entries=20, away_entries=100, trim_interval_s=6.0),
    supervisor=SupervisorConfig(stop_grace_s=3.0, superseded_grace_s=3.0, usage_interval_s=1000.0),
)
"""Times are shorter than in earnest, so that more happens; leases stand in the same proportion to their margin."""


class Rows(msgspec.Struct):
    """What the platform begins with."""

    nodes: list[Node]
    apps: dict[str, int]
    singles: list[str]


@operation("test.joint_rows", version=1)
def begin(tx: Tx, args: Rows) -> None:
    tx.insert(Organization(guid="org", name="org"))
    tx.insert(Space(guid="space", name="space", organization_guid="org"))
    tx.insert(Domain(guid="domain", name="apps.localhost"))
    for row in args.nodes:
        tx.insert(row)
    for name, count in {**args.apps, **dict.fromkeys(args.singles, 1)}.items():
        tx.insert(
            App(guid=name, name=name, space_guid="space", state="STARTED", droplet_guid=f"{name}-droplet", version=1)
        )
        tx.insert(Droplet(guid=f"{name}-droplet", app_guid=name, stack="host", process_types={"web": "run"}))
        tx.insert(
            Process(
                guid=f"{name}-web",
                app_guid=name,
                type="web",
                instances=count,
                memory_mb=100,
                disk_mb=100,
                health_check=HealthCheck(type="process"),
            )
        )
        tx.insert(Route(guid=f"{name}-route", domain_guid="domain", space_guid="space", host=name))
        tx.insert(Destination(guid=f"{name}-destination", route_guid=f"{name}-route", app_guid=name))
    for guid in args.singles:
        tx.insert(Label(resource_guid=guid, key=SINGLETON_LABEL, resource_type="app", value="true"))


class Shape(msgspec.Struct, frozen=True):
    """Which machines (node, zone), the voters, and what runs at first."""

    zones: tuple[tuple[str, str], ...]
    voters: tuple[str, ...]
    apps: tuple[tuple[str, int], ...]
    singles: tuple[str, ...]


class Seedling(msgspec.Struct, frozen=True):
    """A database with those rows, and the newest entry of its log."""

    state: bytes
    index: int
    entry: bytes


@cache
def seedling(shape: Shape) -> Seedling:
    """Made once for each shape, outside of a run; every node of every seed begins with a copy."""
    with tempfile.TemporaryDirectory() as folder:
        return run_virtually(0, _grow, shape, Path(folder))


async def _grow(shape: Shape, folder: Path) -> Seedling:
    log = MemoryLog(0, identity=LOG)
    names = [guid for guid, _ in shape.zones]
    nodes = [
        Node(
            guid=guid,
            name=guid,
            zone=zone,
            memory_mb=1000,
            disk_mb=90_000,
            cpus=2,
            incarnation=1,
            address=address_of(names, guid),
            peer_port=7400,
            tunnel_port=7401,
            role="control",
        )
        for guid, zone in shape.zones
    ]
    async with open_database(
        folder, log=log.client(), runner=InlineRunner(), random=Random(0), clock=lambda: 1.7e9, sync=False
    ) as database:
        await database.write(begin, Rows(nodes, dict(shape.apps), list(shape.singles)))
    return Seedling((folder / "state.db").read_bytes(), log.newest, log.entries[log.newest])


class Platform:
    """`kill` and `start` daemons, `lose` and `boot` machines; `wipe` a machine that is off."""

    def __init__(self, seed: int, shape: Shape, folder: Path, config: Config = CONFIG) -> None:
        self.shape = shape
        self.zones = dict(shape.zones)
        self.config = config
        self.fabric = Fabric(seed, self.zones)
        self.network = FabricNetwork(self.fabric)
        self.etcd = EtcdCluster(self.fabric, seed, list(shape.voters))
        self.machines = {
            guid: Machine(self.fabric, seed, guid, zone, folder / guid) for guid, zone in self.zones.items()
        }
        self.daemons: dict[str, Daemon] = {}
        self.on_end: Callable[[Daemon], None] = lambda _daemon: None
        self.nursery: trio.Nursery
        self.fabric.on_heal = self._resume

    def plant(self) -> None:
        grown = seedling(self.shape)
        for machine in self.machines.values():
            machine.directory.mkdir(parents=True)
            (machine.directory / "state.db").write_bytes(grown.state)
        self.etcd.keys[f"/paasd/{LOG}/log/{grown.index:016x}".encode()] = 1, grown.entry

    def start(self, guid: str) -> None:
        """The daemon of a machine that is up starts, unless one runs."""
        if guid not in self.daemons and guid not in self.fabric.down:
            self.fabric.note(f"start {guid}")
            daemon = Daemon(self.machines[guid], self.config, self.fabric, self.network, self.etcd, self.zones)
            self.daemons[guid] = daemon
            self.nursery.start_soon(self._run, daemon)

    async def _run(self, daemon: Daemon) -> None:
        """One that cannot start yet exits, and is started again."""
        failed = False
        try:
            await daemon.run()
        except* Unavailable as group:
            if daemon.ready.is_set():
                raise
            failed = True
            self.fabric.note(f"{daemon.guid} does not start: {group.exceptions[0]}")
        finally:
            self.on_end(daemon)
            daemon.ended.set()
            if self.daemons.get(daemon.guid) is daemon:
                del self.daemons[daemon.guid]
        if failed:
            await trio.sleep(1.0)
            self.start(daemon.guid)

    async def kill(self, guid: str) -> None:
        """The daemon alone."""
        daemon = self.daemons.get(guid)
        if daemon is not None:
            self.fabric.note(f"kill {guid}")
            daemon.scope.cancel()
            self.network.remove(guid)
            await daemon.ended.wait()

    async def lose(self, guid: str) -> None:
        """The machine, with everything on it."""
        self.fabric.note(f"lose {guid}")
        self.machines[guid].lose()
        await self.kill(guid)

    def wipe(self, guid: str) -> None:
        """It comes back with an empty disk."""
        shutil.rmtree(self.machines[guid].directory)
        self.machines[guid].directory.mkdir()

    def boot(self, guid: str) -> None:
        if guid in self.fabric.down:
            self.machines[guid].boot()
        self.start(guid)

    def pause(self, guid: str) -> None:
        self.fabric.note(f"pause {guid}")
        self.fabric.paused.add(guid)

    def _resume(self) -> None:
        for machine in self.machines.values():
            machine.resume()

    def open_daemons(self) -> list[Daemon]:
        return [daemon for daemon in self.daemons.values() if daemon.ready.is_set()]

    def busy(self) -> bool:
        """Whether the log has entries that somebody lacks."""
        newest = max(int(key.rpartition(b"/")[2], 16) for key in self.etcd.keys)
        return any(daemon.database.index < newest for daemon in self.daemons.values())

    def writer(self) -> Database:
        """A database through which something can be written."""
        for daemon in self.open_daemons():
            if daemon.guid in self.etcd.members and self.etcd.serves(daemon.guid):
                return daemon.database
        return self.open_daemons()[0].database

    async def until(self, condition: Callable[[], bool], timeout_s: float, amiss: Callable[[], str]) -> float:
        """How long it took."""
        began = trio.current_time()
        while not condition():
            assert trio.current_time() - began < timeout_s, f"after {timeout_s} s: {amiss()}"
            await trio.sleep(0.1)
        return trio.current_time() - began


@asynccontextmanager
async def open_platform(seed: int, shape: Shape, folder: Path, config: Config = CONFIG) -> AsyncIterator[Platform]:
    """All machines up and all daemons started."""
    platform = Platform(seed, shape, folder, config)
    platform.plant()
    async with trio.open_nursery() as nursery:
        platform.nursery = platform.etcd.nursery = nursery
        nursery.start_soon(platform.fabric.post.run)
        nursery.start_soon(platform.etcd.run)
        yield platform
        nursery.cancel_scope.cancel()


def rows_of(database: Database) -> list[Instance]:
    with database.read() as tx:
        return tx.all(Instance, order=("process_guid", "index", "epoch"))


def spread(zones: Sequence[str], each: int) -> Mapping[str, str]:
    return {f"{zone}{number + 1}": zone for zone in zones for number in range(each)}
