"""Keeps the shared rules of this node's kernel equal to the rows. Level-triggered; what is the same costs nothing."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import structlog
import trio

from paasd.config import NetworkConfig
from paasd.errors import PaasdError
from paasd.model import Node
from paasd.model.security_groups import effective_rules, space_of
from paasd.reach.groups import group_rules
from paasd.reach.names import addresses_of
from paasd.sandbox import AnySandbox, GroupRule, Policies
from paasd.sandbox.network import Network
from paasd.state import Database, Ne, ReadTx

TABLES: Final = ("security_groups", "security_group_spaces", "nodes")


class Reach:
    """Made by `open_reach`. Without a network (no root) it does nothing."""

    def __init__(self, config: NetworkConfig, database: Database, sandbox: AnySandbox, node_guid: str) -> None:
        self._config = config
        self._database = database
        self._sandbox = sandbox
        self._network: Network | None = sandbox.network
        self._node_guid = node_guid
        # One at a time: what is read later must not be overwritten by what was read before.
        self._turn = trio.Lock()
        # What the kernel has from this daemon.
        self._groups: dict[str, tuple[GroupRule, ...]] = {}
        # For whom a container is being made, and how many.
        self._nodes: set[str] | None = None
        self._awaited: dict[Policies, int] = {}

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
        if self._nodes is None:
            await self._close_nodes()
        async with self._turn:
            with self._database.read() as tx:
                groups = {one.group: _rules(tx, one.group) for one in wanted if one.group}
            for name, rules in groups.items():
                if self._groups.get(name) != rules:
                    await self._network.shared.set_group(name, rules)
                    self._groups[name] = rules

    async def run(self) -> None:
        """Follow the rows, for ever."""
        async with self._database.watch(*TABLES) as changes:
            while True:
                with trio.move_on_after(self._config.reconcile_interval_s):
                    await changes.wait()
                changes.take()
                try:
                    await self._close_nodes()
                    await self.apply(self.followed())
                    await self._forget()
                except PaasdError as error:
                    structlog.get_logger(__name__).error("network rules not applied", reason=error.detail)

    async def _close_nodes(self) -> None:
        """Ports of other nodes are for nodes alone, whatever a group says."""
        if self._network is None:
            return
        with self._database.read() as tx:
            rows = tx.all(Node, Ne("guid", self._node_guid), Ne("state", "REMOVED"))
        addresses = await addresses_of({row.address for row in rows if row.address})
        if addresses != self._nodes:
            await self._network.shared.set_nodes(addresses)
            self._nodes = addresses

    async def _forget(self) -> None:
        """What nobody follows any more; instances come and go, and with them the spaces that have some here."""
        if self._network is None:
            return
        async with self._turn:
            followed = self.followed()
            groups = {one.group for one in followed}
            if self._groups.keys() <= groups:
                return
            await self._network.shared.keep_only(groups, {one.caller for one in followed})
            self._groups = {name: rules for name, rules in self._groups.items() if name in groups}


def _rules(tx: ReadTx, name: str) -> tuple[GroupRule, ...]:
    """Empty for a name of which nothing is known: closed."""
    found = space_of(name)
    return () if found is None else group_rules(effective_rules(tx, *found))


@asynccontextmanager
async def open_reach(
    config: NetworkConfig, database: Database, sandbox: AnySandbox, *, node_guid: str
) -> AsyncIterator[Reach]:
    """Keep rules and rows equal until the block ends; the kernel keeps what it has then."""
    reach = Reach(config, database, sandbox, node_guid)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reach.run)
        try:
            yield reach
        finally:
            nursery.cancel_scope.cancel()
