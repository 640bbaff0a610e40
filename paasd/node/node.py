"""One node: all the parts, nested in the order in which they need each other, so that shutdown is the way back."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trio

import paasd
from paasd.actions import Context
from paasd.actions.context import SYSTEM_DOORS
from paasd.api.app import make_app
from paasd.api.platform import Platform
from paasd.api.routes import make_route_table
from paasd.api.server import Doors, open_server
from paasd.auth.service import open_auth
from paasd.blobs import open_blobs
from paasd.config import Config
from paasd.dns import open_resolver
from paasd.logs import Line, Logs, open_logs
from paasd.node.identity import ensure_admin, node_guid, prepare_directory, register
from paasd.observed import Observed
from paasd.router import AccessEntry, RouteFeed, Router, open_route_feed, open_router, rtr_line
from paasd.router.certificates import Certificates, open_certificates
from paasd.sandbox import Sandbox, open_sandbox
from paasd.scheduler import open_housekeeping, open_scheduler
from paasd.stager import Downloads, open_stager
from paasd.state import open_database
from paasd.state.sealing import Sealer, load_root_key, open_sealer
from paasd.supervisor import Supervisor, open_supervisor
from paasd.unsealing import LocalUnsealing

API_SOCKET = "api.sock"
SERVING_LIMIT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Node:
    """A running node, as tests and the main program see it."""

    config: Config
    directory: Path
    guid: str
    context: Context
    sandbox: Sandbox
    supervisor: Supervisor
    router: Router
    certificates: Certificates
    doors: Doors
    admin_password: str | None
    """Only when this start made the account."""

    @property
    def port_suffix(self) -> str:
        """What follows a host name in an https URL of this node."""
        return _suffix(self.router.https_port)

    def url(self, door: str) -> str:
        """The https URL of one of the platform's own doors, such as `api`."""
        return f"https://{door}.{self.config.domains.system}{self.port_suffix}"


@asynccontextmanager
async def open_node(
    config: Config, *, outlive: bool = True, clock: Callable[[], float] = time.time
) -> AsyncIterator[Node]:
    """A node that serves until the block ends.

    With `outlive`, as in production, instances and Envoy go on after the block and are found again by the next node on
    the same directory; without it (tests, embedded nodes) everything ends with it. Raises PaasdError naming the fix.
    """
    directory = await trio.to_thread.run_sync(prepare_directory, Path(config.data))
    run = directory / "run"
    run.mkdir(mode=0o700, exist_ok=True)
    guid = node_guid(directory)
    routed = _Routed()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        # The sandbox comes first: it holds the lock that keeps a second daemon off this directory.
        sandbox = await enter(
            open_sandbox(config.sandbox, directory, network=config.network, disk=config.disk, keep=outlive)
        )
        await _resolve_names(enter, config, sandbox)
        context, sealer = await _open_engines(enter, config, directory, guid, clock, routed)
        database = context.database
        domains = config.domains.apps, config.domains.system
        certificates = open_certificates(
            directory / "certificates", *domains, clock=lambda: datetime.fromtimestamp(clock(), UTC)
        )
        await register(config, directory, database, guid)
        issuer = f"https://login.{config.domains.system}"
        auth = await enter(open_auth(config.auth, database, sealer, issuer=issuer, clock=clock))
        password = await ensure_admin(context, directory, auth.passwords)
        await enter(open_scheduler(config, database, clock))
        on_access = _access_lines(context.logs)
        holders = sandbox.holder_files
        router = await enter(
            open_router(
                config.router, directory, certificates, on_access=on_access, holder_cgroups=holders, outlive=outlive
            )
        )
        supervisor = await _open_workers(enter, context, directory, sandbox, router)
        downloads = Downloads(config.staging, sandbox, context.blobs, config.sandbox.stack).open
        platform = Platform(context, auth, config, paasd.__version__, https_port=router.https_port, downloads=downloads)
        app = make_app(platform, make_route_table())
        doors = await enter(open_server(app, config.api, run / API_SOCKET, on_drain=platform.streams.end))
        # Only now: the first table opens the router, and an instance that is missing from it is out of service.
        await supervisor.adopted()
        system = {f"{door}.{config.domains.system}": (doors.host, doors.port) for door in SYSTEM_DOORS}
        routed.open(await enter(open_route_feed(router, database, context.observed, system, node_guid=guid)))
        await _served(router)
        yield Node(
            config=config,
            directory=directory,
            guid=guid,
            context=context,
            sandbox=sandbox,
            supervisor=supervisor,
            router=router,
            certificates=certificates,
            doors=doors,
            admin_password=password,
        )


async def _served(router: Router) -> None:
    """Who is told that the node is ready may connect; an Envoy that is slow to open its ports holds up nothing else."""
    with trio.move_on_after(SERVING_LIMIT_S):
        await router.settled()


Enter = Callable[[Any], Awaitable[Any]]


async def _open_engines(
    enter: Enter, config: Config, directory: Path, guid: str, clock: Callable[[], float], routed: "_Routed"
) -> tuple[Context, Sealer]:
    """What actions work with: rows, files, facts and lines."""
    database = await enter(open_database(directory, config.state, node=guid, clock=clock))
    sealer = await open_sealer(database, load_root_key(directory / "root-key"))
    context = Context(
        config=config,
        database=database,
        sealer=sealer,
        blobs=await enter(open_blobs(directory / "blobs", config.blobs, clock=clock)),
        logs=await enter(open_logs(config.logs, directory / "logs", clock)),
        observed=Observed(),
        node_guid=guid,
        clock=clock,
        routed=routed.wait,
    )
    return context, sealer


async def _open_workers(
    enter: Enter, context: Context, directory: Path, sandbox: Sandbox, router: Router
) -> Supervisor:
    """What carries rows out: instances, builds, and the removal of what is past its time."""
    config, database = context.config, context.database
    unsealing = LocalUnsealing(database, context.sealer)
    api_url = f"https://api.{config.domains.system}{_suffix(router.https_port)}"
    supervisor: Supervisor = await enter(
        open_supervisor(
            config.supervisor,
            directory=directory / "supervisor",
            node_guid=context.node_guid,
            database=database,
            observed=context.observed,
            sandbox=sandbox,
            blobs=context.blobs,
            logs=context.logs,
            unsealing=unsealing,
            default_stack=config.sandbox.stack,
            api_url=api_url,
            clock=context.clock,
        )
    )
    stager = await enter(
        open_stager(
            config,
            context.node_guid,
            database,
            sandbox,
            context.blobs,
            context.logs,
            unsealing,
            directory,
            api_url=api_url,
            clock=context.clock,
        )
    )
    await enter(open_housekeeping(config.retention, database, context.blobs, stager.referenced_blobs, context.clock))
    return supervisor


class _Routed:
    """The last step of a push. The API is there before the feed that knows it, so who is early waits."""

    def __init__(self) -> None:
        self._feed: RouteFeed | None = None
        self._opened = trio.Event()

    def open(self, feed: RouteFeed) -> None:
        self._feed = feed
        self._opened.set()

    async def wait(self, app_guid: str) -> None:
        """Until Envoy acknowledged the routes of the app to what runs of it now."""
        await self._opened.wait()
        assert self._feed is not None
        await self._feed.settle(app_guid)


async def _resolve_names(enter: Enter, config: Config, sandbox: Sandbox) -> None:
    """Name service for instances, on the port of the daemon before, since look-ups during a restart still go there."""
    network = sandbox.network
    resolver = await enter(
        open_resolver(
            config.dns,
            # Instances cannot reach each other, so no name below apps.internal leads anywhere.
            lookup=lambda _client, _name: None,
            is_instance=lambda address: network.by_address(address) is not None,
            learn=network.learn,
            clock=time.monotonic,
            port=network.resolver_port,
        )
    )
    await network.set_resolver(resolver.port)


def _suffix(https_port: int) -> str:
    return "" if https_port == 443 else f":{https_port}"


def _access_lines(logs: Logs) -> Callable[[list[AccessEntry]], None]:
    """Access entries into the log streams of the apps that they are about."""

    def write(entries: list[AccessEntry]) -> None:
        for entry in entries:
            if entry.app_guid is not None:
                index = "0" if entry.instance_index is None else str(entry.instance_index)
                logs.append(
                    Line(
                        source_id=entry.app_guid,
                        instance_id=index,
                        source_type="RTR",
                        stream="OUT",
                        timestamp_ns=entry.started_at_ns,
                        payload=rtr_line(entry).encode(),
                    )
                )

    return write
