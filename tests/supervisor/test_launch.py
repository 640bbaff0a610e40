"""What an instance is started with, from rows in a real database."""

import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
import trio

from paasd.blobs import open_blobs
from paasd.config import SupervisorConfig
from paasd.errors import NotFound, PaasdError
from paasd.model import App, Destination, Domain, Droplet, DropletLayer, HealthCheck, Instance, Process, Route, Sidecar
from paasd.model.apps import ChangeApp, SetDroplet, SetEnvironment, restart_app, set_current_droplet, set_environment
from paasd.model.arguments import SYSTEM
from paasd.model.processes import Sizes, UpdateProcess, update_process
from paasd.model.sidecars import UpdateSidecar, update_sidecar
from paasd.model.vcap import application_uris
from paasd.state import Database, Tx, open_database, operation
from paasd.supervisor.launch import Identity, Plan, identity_of, web_concurrency
from paasd.supervisor.planning import Planner
from paasd.supervisor.sidecars import with_sidecars
from paasd.unsealing import LocalUnsealing

from .world import NODE, Seed, seed_app

INSTANCE = Instance(
    guid="i",
    app_guid="app",
    process_guid="p",
    process_type="worker",
    index=3,
    app_version=1,
    droplet_guid="d",
    node_guid=NODE,
    memory_mb=512,
    disk_mb=64,
    log_rate_limit_bytes=1000,
)


class MapRoutes(msgspec.Struct):
    app_guid: str
    routes: dict[str, tuple[str, str]]


@operation("test.map_routes", version=1)
def map_routes(tx: Tx, args: MapRoutes) -> None:
    tx.insert(Domain(guid="domain", name="apps.example"))
    for guid, (host, path) in args.routes.items():
        tx.insert(Route(guid=guid, domain_guid="domain", space_guid="space", host=host, path=path))
        tx.insert(Destination(route_guid=guid, app_guid=args.app_guid))


class Plain:
    """Seals nothing."""

    def open(self, sealed: str, context: str) -> bytes:
        assert context == "app environment app"
        return sealed.encode()


async def store_layers(directory: Path) -> dict[str, str]:
    async with open_blobs(directory) as blobs:
        found = {}
        for role in ("toolchain", "dependencies", "app"):
            async with blobs.writer(100) as writer:
                await writer.write(role.encode())
                found[role] = (await writer.commit()).sha256
        return found


@asynccontextmanager
async def seeded(directory: Path, command: str | None, roles: list[str]) -> AsyncIterator[tuple[Database, Path]]:
    layers = await store_layers(directory / "blobs")
    app = App(guid="app", name="shop", space_guid="space", environment='{"A": "1"}', state="STARTED")
    process = Process(guid="p", app_guid="app", type="worker", command=command, instances=1)
    droplet = Droplet(
        guid="d",
        app_guid="app",
        layers=[DropletLayer(role=role, sha256=layers[role], size_bytes=1) for role in roles],
        process_types={"web": "serve"} if roles else {},
    )
    sidecars = [
        Sidecar(app_guid="app", name="beside", command="help", process_types=["worker"]),
        Sidecar(app_guid="app", name="elsewhere", command="no", process_types=["web"]),
    ]
    async with open_database(directory, sync=False) as database:
        await database.write(seed_app, Seed(app, process, droplet, [INSTANCE], sidecars))
        yield database, directory / "blobs"


async def plan(database: Database, blobs_directory: Path, guid: str = "i", **settings: float) -> Plan:
    async with open_blobs(blobs_directory) as blobs:
        planner = Planner(
            config=SupervisorConfig(**settings),  # type: ignore[arg-type]
            database=database,
            blobs=blobs,
            unsealing=LocalUnsealing(database, Plain()),
            default_stack="host",
            api_url="https://api.x",
        )
        return await planner.plan(guid)


async def test_layers_are_mounted_toolchain_first_and_app_last_whatever_the_row_says(tmp_path: Path) -> None:
    async with seeded(tmp_path, "run", ["app", "toolchain", "dependencies"]) as (database, blobs):
        made = await plan(database, blobs)
        bounded = await plan(database, blobs, cores_limit=0.5)
    assert (made.limits.cpu_cores, bounded.limits.cpu_cores) == (None, 0.5)
    assert [path.read_text() for path in made.layers] == ["toolchain", "dependencies", "app"]
    assert made.stack == "host"
    assert made.limits.memory_bytes == 512 * 1024 * 1024
    assert made.limits.cpu_weight == 50
    assert made.sidecars == (("beside", "help"),)
    spec = made.container("c", started_at=5.0)
    identity = identity_of(spec.labels)
    assert identity is not None
    assert (identity.instance_guid, identity.epoch, identity.index, identity.started_at) == ("i", 1, 3, 5.0)
    assert identity.log_limit_bytes == 1000
    process = made.process("10.254.0.9", cpus=2, spool_limit_bytes=1)
    assert process.env["CF_INSTANCE_ADDR"] == "10.254.0.9:8080"
    assert process.env["A"] == "1"


async def test_the_command_is_the_processs_else_the_droplets_and_lacking_both_is_explained(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    async with seeded(tmp_path / "one", None, ["app"]) as (database, blobs):
        assert (await plan(database, blobs)).command == "serve"
        with pytest.raises(NotFound):
            await plan(database, blobs, "absent")
    (tmp_path / "two").mkdir()
    async with seeded(tmp_path / "two", None, []) as (database, blobs):
        with pytest.raises(PaasdError, match=r"no start command.*Procfile"):
            await plan(database, blobs)


async def test_instances_run_what_the_last_start_said_whatever_was_changed_since(tmp_path: Path) -> None:
    async with seeded(tmp_path, "run", ["app"]) as (database, blobs):
        change = ChangeApp(app_guid="app", actor=SYSTEM)
        await database.write(
            set_current_droplet, SetDroplet(app_guid="app", droplet_guid="d", sizes=Sizes(), actor=SYSTEM)
        )
        await database.write(restart_app, change)
        with database.read() as tx:
            [beside] = tx.all(Sidecar, name="beside")
        await database.write(
            set_environment,
            SetEnvironment(app_guid="app", previous='{"A": "1"}', environment="", names=["A"], actor=SYSTEM),
        )
        await database.write(update_process, UpdateProcess(process_guid="p", command="walk", actor=SYSTEM))
        await database.write(update_sidecar, UpdateSidecar(sidecar_guid=beside.guid, command="rest", actor=SYSTEM))
        made = await plan(database, blobs)
        assert (made.command, made.sidecars, made.environment) == ("run", (("beside", "help"),), {"A": "1"})
        await database.write(restart_app, change)
        made = await plan(database, blobs)
        assert (made.command, made.sidecars, made.environment) == ("walk", (("beside", "rest"),), {})


async def test_vcap_application_names_the_routes_of_the_app(tmp_path: Path) -> None:
    async with seeded(tmp_path, "run", []) as (database, _):
        await database.write(map_routes, MapRoutes("app", {"r1": ("shop", ""), "r2": ("shop", "/pay")}))
        with database.read() as tx:
            app = tx.need(App, "app")
            assert sorted(application_uris(tx, app)) == ["shop.apps.example", "shop.apps.example/pay"]
            assert application_uris(tx, msgspec.structs.replace(app, guid="other")) == []


async def test_an_app_of_very_many_routes_can_be_started(tmp_path: Path) -> None:
    many = {f"r{number:04}": (f"h{number}", f"/{'x' * 100}") for number in range(1500)}
    async with seeded(tmp_path, "run", []) as (database, blobs):
        await database.write(map_routes, MapRoutes("app", many))
        made = (await plan(database, blobs)).process("10.0.0.1", 2, 1000)
        with database.read() as tx:
            uris = application_uris(tx, tx.need(App, "app"))
    told = msgspec.json.decode(made.env["VCAP_APPLICATION"])["uris"]
    assert 100 < len(told) < len(uris) == 1500 and told == uris[: len(told)]
    assert (await trio.run_process(["/bin/true"], env=made.env)).returncode == 0
    with pytest.raises(OSError, match="Argument list too long"):
        await trio.run_process(["/bin/true"], env={"URIS": msgspec.json.encode(uris).decode()})


def test_a_label_that_cannot_be_read_is_nobodys() -> None:
    assert identity_of({}) is None
    assert identity_of({"paasd.instance": "{"}) is None
    identity = Identity(
        instance_guid="i",
        epoch=1,
        app_guid="a",
        process_guid="p",
        process_type="web",
        index=0,
        app_version="v",
        health=HealthCheck(),
        readiness=HealthCheck(type="process"),
        log_limit_bytes=-1,
    )
    assert identity_of(identity.label()) == identity


def test_workers_fit_into_the_memory_and_the_machine() -> None:
    assert [web_concurrency(memory_mb, 2) for memory_mb in (64, 256, 512, 1024, 8192)] == [1, 1, 2, 4, 4]


def run_beside(app: str, *sidecars: str, told_to_stop_at: str = "") -> tuple[int, str, str]:
    """Status and output of an instance's start script; what its container would end is ended by its group."""
    argv = with_sidecars(
        ["/bin/bash", "-c", app], [(f"s{index}", ["/bin/bash", "-c", run]) for index, run in enumerate(sidecars)]
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as script:
        assert script.stdout is not None
        before = ""
        while told_to_stop_at and told_to_stop_at not in before:
            before += script.stdout.readline()
        if told_to_stop_at:
            script.send_signal(signal.SIGTERM)
        status = script.wait(timeout=30)
        with suppress(ProcessLookupError):
            os.killpg(script.pid, signal.SIGKILL)
        out, errors = script.communicate()
    return status, before + out, errors


def test_the_first_program_to_end_decides_the_status_of_the_instance() -> None:
    assert run_beside("exit 5", "sleep 60", "sleep 60")[0] == 5
    status, _, errors = run_beside("sleep 60", "sleep 60", "exit 9")
    assert (status, errors) == (9, "Sidecar s1 exited with status 9\n")
    assert run_beside("sleep 60", "exit 0")[0] == 1


def test_term_reaches_all_and_the_app_has_its_grace_though_a_sidecar_is_quicker() -> None:
    app = "trap 'sleep 0.5; echo app done; exit 3' TERM; echo up; sleep 60 & wait"
    status, out, _ = run_beside(app, "trap 'exit 0' TERM; sleep 60 & wait", told_to_stop_at="up")
    assert (status, out) == (3, "up\napp done\n")
    assert run_beside("echo up; exec sleep 60", "exec sleep 60", told_to_stop_at="up")[0] == 143


def test_arguments_with_spaces_and_newlines_arrive_whole() -> None:
    assert run_beside("printf '%s|' 'a b' \"c\nd\"; sleep 60", "sleep 1")[1] == "a b|c\nd|"
