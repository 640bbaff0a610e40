"""Keeps the shared rules of this node's kernel equal to the rows. Level-triggered; what is the same costs nothing."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

import trio

from paasd.config import NetworkConfig
from paasd.containment import contained
from paasd.model import App, Space
from paasd.model.security_groups import effective_rules, space_of
from paasd.reach.addresses import CallAddresses
from paasd.reach.calls import Callee, Door, Plan, internal_names, plan, policies_of
from paasd.reach.groups import group_rules
from paasd.reach.names import Names
from paasd.reach.places import addresses_of, places_of_nodes
from paasd.sandbox import AnySandbox, GroupRule, Policies
from paasd.sandbox.network import Network
from paasd.state import Database, In, ReadTx

TABLES: Final = (
    "security_groups",
    "security_group_spaces",
    "network_policies",
    "routes",
    "destinations",
    "domains",
    "apps",
    "nodes",
)
Lead = Callable[[Mapping[Door, Callee]], None]


class Reach:
    """Made by `open_reach`. Without a network (no root) it does nothing."""

    def __init__(
        self,
        config: NetworkConfig,
        database: Database,
        sandbox: AnySandbox,
        addresses: CallAddresses,
        names: Names,
        node_guid: str,
    ) -> None:
        self.doors: dict[Door, Callee] = {}
        """What the addresses and ports stand for at which instances of this node call others."""
        self._config = config
        self._database = database
        self._sandbox = sandbox
        self._network: Network | None = sandbox.network
        self._addresses = addresses
        self._names = names
        self._node_guid = node_guid
        self._lead: Lead = lambda doors: None
        # One at a time: what is read later must not be overwritten by what was read before.
        self._turn = trio.Lock()
        # What the kernel has from this daemon.
        self._groups: dict[str, tuple[GroupRule, ...]] = {}
        self._callers: dict[str, Plan] = {}
        # Of groups that are followed, also when their space is gone before its last instance.
        self._organizations: dict[str, str] = {}
        self._nodes: dict[str, frozenset[str]] | None = None
        # For whom a container is being made, and how many.
        self._awaited: dict[Policies, int] = {}

    def lead(self, tell: Lead) -> None:
        """Tell the router of doors as they change; it begins with `doors` as they are now."""
        self._lead = tell

    @asynccontextmanager
    async def prepared(self, policies: Policies) -> AsyncIterator[None]:
        """For the time in which a container with these policies is made: its rules are there before it is."""
        self._awaited[policies] = self._awaited.get(policies, 0) + 1
        try:
            await self.apply([policies])
            yield
        finally:
            self._awaited[policies] -= 1
            if not self._awaited[policies]:
                del self._awaited[policies]

    def followed(self) -> set[Policies]:
        """Those of the containers that there are or are about to be."""
        return {container.spec.policies for container in self._sandbox.containers.values()} | set(self._awaited)

    async def apply(self, wanted: Iterable[Policies]) -> None:
        """Bring what these name up to date. Raises PaasdError when the kernel refuses."""
        if self._network is None:
            return
        async with self._turn:
            if self._nodes is None:
                await self._close_nodes(self._network)
            with self._database.read() as tx:
                groups = {one.group: _rules(tx, one.group) for one in wanted if one.group}
                callers = {one.caller: self._plan(tx, one.caller) for one in wanted if one.caller}
                self._organizations |= {name: whose for name in groups if (whose := _organization_of(tx, name))}
            for name, rules in groups.items():
                if self._groups.get(name) != rules:
                    await self._network.shared.set_group(name, rules)
                    self._groups[name] = rules
            # Only now: a full disk keeps calls as they are, and no security group.
            self._addresses.save()
            await self._set_callers(self._network, callers)

    def _plan(self, tx: ReadTx, caller: str) -> Plan:
        policies = policies_of(tx, caller)
        names = {app: internal_names(tx, app) for app in {one.destination_guid for one in policies}}
        return plan(policies, names, self._addresses.of)

    async def _set_callers(self, network: Network, callers: dict[str, Plan]) -> None:
        """Where a call gets to is there before the kernel lets it through."""
        changed = {name: now for name, now in callers.items() if self._callers.get(name) != now}
        before, self._callers = self._callers, {**self._callers, **changed}
        self._tell()
        for name, now in changed.items():
            known = before.get(name)
            if known is None or known.calls != now.calls:
                try:
                    await network.shared.set_caller(name, now.calls)
                except BaseException:
                    # It is not in the kernel, so the next look has to try again.
                    self._callers.pop(name, None)
                    raise
            self._names.set(name, now.names)

    def _tell(self) -> None:
        doors = {door: callee for one in self._callers.values() for door, callee in one.doors.items()}
        if doors != self.doors:
            self.doors = doors
            self._lead(doors)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the rows, for ever. Reports ready after the first look."""
        ready = False
        async with self._database.watch(*TABLES) as changes:
            self._sandbox.on_removed = changes.wake
            while True:
                with trio.move_on_after(self._config.reconcile_interval_s):
                    await changes.wait()
                changes.take()
                await contained("network rules", self._look)
                if not ready:
                    ready = True
                    task_status.started()

    async def _look(self) -> None:
        if self._network is None:
            return
        async with self._turn:
            await self._close_nodes(self._network)
        await self.apply(self.followed())
        self._names.ready(self._caller_at, self._organization_at)
        await self._forget(self._network)

    def _caller_at(self, address: str) -> str:
        return self._policies_at(address).caller

    def _organization_at(self, address: str) -> str:
        return self._organizations.get(self._policies_at(address).group, "")

    def _policies_at(self, address: str) -> Policies:
        for container in self._sandbox.containers.values():
            if container.address == address:
                return container.spec.policies
        return Policies()

    async def _close_nodes(self, network: Network) -> None:
        """Ports of other nodes are for nodes alone, whatever a group says."""
        with self._database.read() as tx:
            places = places_of_nodes(tx, self._node_guid, self._config.public_addresses)
        addresses = await addresses_of(places, self._nodes or {})
        if addresses != self._nodes:
            # The daemon before knew where those are that cannot be resolved now: what was closed stays closed.
            unknown = places - addresses.keys()
            await network.shared.set_nodes(set().union(*addresses.values()), keep=bool(unknown))
            self._nodes = addresses

    async def _forget(self, network: Network) -> None:
        """What nobody follows any more; instances come and go, and with them the spaces that have some here."""
        async with self._turn:
            followed = self.followed()
            groups, callers = {one.group for one in followed}, {one.caller for one in followed}
            self._organizations = {name: whose for name, whose in self._organizations.items() if name in groups}
            if not (self._groups.keys() <= groups and self._callers.keys() <= callers):
                await network.shared.keep_only(groups, callers)
                self._groups = {name: rules for name, rules in self._groups.items() if name in groups}
                for name in self._callers.keys() - callers:
                    del self._callers[name]
                    self._names.set(name, {})
                self._tell()
            with self._database.read() as tx:
                present = {app.guid for app in tx.all(App, In("guid", self._addresses.apps))}
            self._addresses.forget(self._addresses.apps - present)


def _rules(tx: ReadTx, name: str) -> tuple[GroupRule, ...]:
    """Empty for a name of which nothing is known: closed."""
    found = space_of(name)
    return () if found is None else group_rules(effective_rules(tx, *found))


def _organization_of(tx: ReadTx, name: str) -> str:
    found = space_of(name)
    space = None if found is None else tx.get(Space, found[1])
    return "" if space is None else space.organization_guid


@asynccontextmanager
async def open_reach(
    config: NetworkConfig,
    database: Database,
    sandbox: AnySandbox,
    *,
    names: Names,
    directory: Path,
    node_guid: str,
    clock: Callable[[], float] = trio.current_time,
) -> AsyncIterator[Reach]:
    """Keep rules and rows equal until the block ends; the kernel keeps what it has then.

    `names` is what the resolver asks. `directory` is the node's.
    """
    addresses = CallAddresses(directory / "calls.json", IPv4Network(config.call_range), config.quarantine_s, clock)
    reach = Reach(config, database, sandbox, addresses, names, node_guid)
    async with trio.open_nursery() as nursery:
        await nursery.start(reach.run)
        sandbox.prepared = reach.prepared
        try:
            yield reach
        finally:
            sandbox.prepared = nullcontext
            sandbox.on_removed = lambda: None
            nursery.cancel_scope.cancel()
