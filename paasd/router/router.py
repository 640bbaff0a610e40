"""The router as the rest of the node sees it: a table goes in, access entries come out, Envoy is in between."""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import structlog
import trio

from paasd.config import RouterConfig, TunnelsConfig
from paasd.config.ports import KNOB
from paasd.containment import contained
from paasd.errors import PaasdError
from paasd.router.accesslog import read_connection, read_entry
from paasd.router.certificates import Certificates
from paasd.router.doorway import Door, Doors
from paasd.router.engine import Engine, PortTaken, claim_port
from paasd.router.ports import Ports, ports_named
from paasd.router.records import AccessEntry, Endpoint, RouteEntry, RouteTable
from paasd.router.table import Table, by_host, servable
from paasd.router.tunnels import Links, NodeIdentity
from paasd.router.tunnels.resources import Tunnels
from paasd.router.xds import Changes, DiscoveryService, ResourceStore, listen, serve_discovery
from paasd.router.xds.messages import LISTENER_URL, SECRET_URL, Secret, TCPAccessLogEntry

OnAccess = Callable[[list[AccessEntry]], None]
_HOUSEKEEPING_PERIOD_S = 3600.0
_PORTS_PERIOD_S = 1.0


class Router:
    """Handle of the running data path."""

    def __init__(
        self,
        config: RouterConfig,
        tunnels: TunnelsConfig,
        service: DiscoveryService,
        engine: Engine,
        certificates: Certificates,
    ) -> None:
        self._config = config
        self._service = service
        service.explain = self._explain
        self._certificates = certificates
        self._table = Table(config, lambda: engine.https_port)
        self._domains: tuple[str, ...] = ()
        self._system: dict[str, tuple[Endpoint, ...]] = {}
        self._tunnels = Tunnels(config, tunnels)
        self._doors = Doors(config)
        self._ports = Ports(config, self._is_free)
        self._identity: NodeIdentity | None = None
        self._links = Links()
        # Held back until the first table: until then an Envoy that was adopted keeps all that it has.
        self._waiting: Changes = {}
        self.engine = engine

    @property
    def http_port(self) -> int:
        """The port on which HTTP is served, also when the configuration left the choice open."""
        return self.engine.http_port

    @property
    def https_port(self) -> int:
        """The port on which HTTPS is served."""
        return self.engine.https_port

    @property
    def dropped_entries(self) -> int:
        """Access log entries lost because their reader was behind."""
        return self._service.dropped_entries

    @property
    def sent_count(self) -> int:
        """How many resources Envoy was sent since it connected; 0 after a restart that changed nothing."""
        return self._service.sent_count

    @property
    def refused(self) -> int:
        """How often Envoy refused a configuration; anything but 0 is a defect of ours."""
        return self._service.rejected

    def publish(self, table: RouteTable) -> None:
        """Serve exactly `table`. Idempotent; only differences reach Envoy. The first call opens the router."""
        self._domains, self._system = table.domains, dict(table.system)
        hosts = by_host(table.routes, table.system)
        changes = self._table.replace(hosts, self._domains, self._system_names())
        _merge(changes, self._ports.replace(table.ports, tunnels=self._table.tunnels))
        self._announce(changes)

    def publish_ports(self, entries: Mapping[int, RouteEntry | None]) -> None:
        """Replace the routes of a few ports, leaving all others; None means that nobody listens there any more."""
        self._publish(self._ports.update(entries, tunnels=self._table.tunnels))

    @property
    def taken_ports(self) -> tuple[int, ...]:
        """Ports of routes that another program of this host has."""
        return tuple(sorted(self._ports.taken))

    def retry_ports(self) -> None:
        """Listen on those that it has let go of."""
        if self._ports.taken:
            self._publish(self._ports.retry())

    def _is_free(self, port: int) -> bool:
        """Before the first table an Envoy that was adopted has those that it had. Envoy itself has the last word."""
        if not self._service.store.opened and self.engine.adopted:
            return True
        try:
            claim_port(self._config.host, port, KNOB)
        except PortTaken:
            return False
        return True

    def _explain(self, type_url: str, reason: str) -> bool:
        """A port that somebody took just before Envoy did is no defect."""
        lost = ports_named(reason) if type_url == LISTENER_URL else []
        if lost:
            self._publish(self._ports.refused(lost))
        return bool(lost)

    def publish_hosts(self, hosts: Mapping[str, Sequence[RouteEntry]]) -> None:
        """Replace the routes of a few hosts, leaving all others; no entries means that the host is gone."""
        own = self._system_names()
        changed = {
            host.lower(): tuple(filter(servable, entries)) for host, entries in hosts.items() if host.lower() not in own
        }
        self._announce(self._table.update(changed, self._domains, own))

    def publish_names(self, domains: tuple[str, ...], system: Mapping[str, tuple[Endpoint, ...]]) -> None:
        """The public domains, and what answers the platform's own hosts, from now on.

        The names of the latter are those of the last `publish`.
        """
        moved = dict(system) != self._system
        if moved or domains != self._domains:
            self._domains, self._system = domains, dict(system)
            hosts = by_host((), system) if moved else {}
            self._announce(self._table.update(hosts, domains, self._system_names()))

    def open_tunnels(self, identity: NodeIdentity, host: str, port: int, *, source: str | None = None) -> int:
        """Listen for the routers of other nodes, and reach them (from `source`); the port, which 0 leaves open.

        Running requests do not notice. Raises PortTaken.
        """
        claimed = self.engine.claim_tunnel(host, port)
        self._table.tunnels = True
        self._tunnels.source = source
        self.renew_identity(identity)
        return claimed

    def open_doorway(self, host: str) -> int:
        """Take calls between apps at `host`, to which the kernel redirects them; the port. Raises PortTaken."""
        claimed = self.engine.claim_doorway(host)
        self._publish(self._doors.listener(host, claimed))
        return claimed

    def publish_doors(self, doors: Mapping[Door, tuple[Endpoint, ...]]) -> None:
        """The addresses and ports that stand for apps, from now on, each with where its instances are."""
        self._publish(self._doors.update(doors, tunnels=self._table.tunnels))

    def renew_identity(self, identity: NodeIdentity) -> None:
        """Show another certificate, or trust other authorities, from the next connection on."""
        assert self.engine.tunnel is not None, "open the tunnels first"
        self._identity = identity
        self._publish(self._tunnels.own(identity, self.engine.tunnel))
        self._publish(self._tunnels.others(identity, self._links))

    def publish_links(self, links: Links) -> None:
        """The other nodes, and what they may ask for, from now on."""
        self._links = links
        if self._identity is not None:
            self._publish(self._tunnels.others(self._identity, links))

    def _publish(self, changes: Changes) -> None:
        if self._service.store.opened:
            self._service.publish(changes)
        else:
            _merge(self._waiting, changes)

    def _system_names(self) -> frozenset[str]:
        return frozenset(name.lower() for name in self._system)

    def _announce(self, changes: Changes) -> None:
        everything, self._waiting = self._waiting, {}
        _merge(everything, _secrets(self._certificates))
        _merge(everything, changes)
        self._service.publish(everything)

    def read_entry(self, entry: Any) -> AccessEntry:
        """One of Envoy's access log entries, told apart by whose route it met."""
        if isinstance(entry, TCPAccessLogEntry):
            return read_connection(entry, self._ports.owner_of)
        return read_entry(entry, self._table)

    def renew_certificates(self) -> bool:
        """Renew what is close to its end and show it at once; whether anything was."""
        changed = self._certificates.renew()
        if changed:
            self.show_certificates()
        return changed

    def show_certificates(self) -> None:
        """Show those that the node has now, from the next connection on."""
        if self._service.store.opened:
            self._service.publish(_secrets(self._certificates))

    async def settled(self) -> None:
        """Wait until Envoy acknowledged everything published so far."""
        await self._service.until_settled()

    async def stop(self) -> None:
        """End Envoy: the node stops serving. Closing the router without this leaves Envoy at work."""
        await self.engine.stop()


async def stop_left_over(config: RouterConfig, data_directory: Path) -> bool:
    """End the Envoy that serves for a daemon which is gone; whether there was one."""
    uid = _envoy_uid(config)
    return await Engine(config, runtime_directory(data_directory, uid), uid, ()).stop_recorded()


def _envoy_uid(config: RouterConfig) -> int:
    return config.uid if os.geteuid() == 0 and config.uid else os.geteuid()


def runtime_directory(data_directory: Path, uid: int) -> Path:
    """Where Envoy's sockets and files are: a short path (sockets allow 107 bytes) that Envoy's user may enter.

    The data directory serves neither end, so it only lends its name. Raises PaasdError if someone else owns the place.
    """
    name = sha256(str(data_directory.resolve()).encode()).hexdigest()[:12]
    if os.geteuid() == 0:
        base = Path("/run/paasd-router")
        base.mkdir(exist_ok=True)
        base.chmod(0o711)  # not by mkdir: the umask of the daemon's unit would close it to Envoy
    else:
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"paasd-router-{os.geteuid()}"
        base.mkdir(mode=0o700, exist_ok=True)
    if base.stat().st_uid != os.geteuid():
        raise PaasdError(f"{base} belongs to another user; remove it, or set XDG_RUNTIME_DIR to a directory of yours")
    return _prepared(base / name, uid)


def _prepared(directory: Path, uid: int) -> Path:
    # Envoy owns just the folder of its administration socket: what root writes must not lie where Envoy could swap it.
    directory.mkdir(exist_ok=True)
    directory.chmod(0o711)
    own = directory / "envoy"
    own.mkdir(mode=0o700, exist_ok=True)
    os.chown(own, uid, -1)
    return directory


def _merge(into: Changes, changes: Changes) -> None:
    for type_url, bodies in changes.items():
        into.setdefault(type_url, {}).update(bodies)


def _secrets(certificates: Certificates) -> Changes:
    secrets: dict[str, bytes | None] = {}
    for name, pair in certificates.pairs.items():
        content: dict[str, Any] = {
            "certificate_chain": {"inline_bytes": pair.certificate},
            "private_key": {"inline_bytes": pair.key},
        }
        secrets[name] = Secret(name=name, tls_certificate=content).SerializeToString()
    return {SECRET_URL: secrets}


async def _housekeeping(router: Router, period_s: float) -> None:
    async def keep() -> None:
        await trio.lowlevel.checkpoint()
        router.engine.trim_output()  # first, for it makes the space that new certificates may need
        router.renew_certificates()

    while True:
        await trio.sleep(period_s)
        await contained("housekeeping of the router", keep)


async def _watch_ports(router: Router, period_s: float) -> None:
    while True:
        await trio.sleep(period_s)
        router.retry_ports()


async def _report(service: DiscoveryService, router: Router, on_access: OnAccess | None) -> None:
    """Turn batches of Envoy's entries into ours. `on_access` must not block."""
    async for batch in service.access_out:
        if on_access is not None:
            await contained("a batch of the access log", partial(_read, batch, router, on_access))


async def _read(batch: list[Any], router: Router, on_access: OnAccess) -> None:
    on_access([router.read_entry(entry) for entry in batch])


async def _start_failure(service: DiscoveryService, engine: Engine, timeout_s: float) -> PaasdError | None:
    """Wait for Envoy's first call; None when it came, else why it did not."""
    failure: PaasdError | None = PaasdError(f"Envoy did not call within {timeout_s} s; it says: {engine.last_words()}")
    with trio.move_on_after(timeout_s):
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                nonlocal failure
                failure = await engine.died()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            await service.until_connected()
            failure = None
            nursery.cancel_scope.cancel()
    return failure


@asynccontextmanager
async def open_router(
    config: RouterConfig,
    data_directory: Path,
    certificates: Certificates,
    *,
    tunnels: TunnelsConfig | None = None,
    on_access: OnAccess | None = None,
    holder_cgroups: Sequence[Path] = (),
    outlive: bool = True,
    runtime: Path | None = None,
) -> AsyncIterator[Router]:
    """The data path of a node: Envoy running, and told what is published.

    `on_access` gets batches of access entries and must return at once. `holder_cgroups` are the `cgroup.procs` files
    that Envoy joins at birth. With `outlive` Envoy goes on serving after the block and is adopted by the next one on
    the same data directory; without, it dies with this thread. `runtime` is a place for its sockets, found by itself
    else. Raises EnvoyMissing, PortTaken, EngineFailed.
    """
    uid = _envoy_uid(config)
    directory = runtime_directory(data_directory, uid) if runtime is None else _prepared(runtime, uid)
    service = DiscoveryService(
        ResourceStore(),
        structlog.get_logger(__name__),
        chunk=config.publish_chunk,
        access_backlog=config.access_log_backlog,
    )
    engine = Engine(config, directory, uid, holder_cgroups, outlive=outlive)
    router = Router(config, tunnels or TunnelsConfig(), service, engine, certificates)
    listener = await listen(engine.control, uid)
    try:
        await engine.open()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_discovery, service, listener)
            nursery.start_soon(_report, service, router, on_access)
            failure = await _start_failure(service, engine, config.start_timeout_s)
            if failure is not None and engine.adopted:
                # The one that was found alive was dying, or of no use: a fresh one decides.
                await engine.replace()
                failure = await _start_failure(service, engine, config.start_timeout_s)
            if failure is None:
                nursery.start_soon(engine.supervise)
                nursery.start_soon(_housekeeping, router, _HOUSEKEEPING_PERIOD_S)
                nursery.start_soon(_watch_ports, router, _PORTS_PERIOD_S)
                yield router
            nursery.cancel_scope.cancel()
        if failure is not None:
            outlive = False
            raise failure
    finally:
        # Shielded, or a cancelled node would leave an Envoy behind that it was to end.
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(listener)
            if not outlive:
                await engine.stop()
            engine.close()
