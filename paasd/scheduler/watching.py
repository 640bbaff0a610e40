"""The shell around liveness: reads rows and reports, and writes what the core decides where this node acts."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
import trio

from paasd.config import LivenessConfig
from paasd.containment import contained
from paasd.errors import OutcomeUnknown, Unavailable
from paasd.model import Node
from paasd.model import brake as brake_model
from paasd.model import liveness as model
from paasd.model.arguments import rfc3339
from paasd.model.liveness import admit_node, declare_dead, enough_witnesses, recent_deaths
from paasd.model.nodes import LIVE_STATES, ReturnNode, return_node
from paasd.scheduler.liveness import (
    Accept,
    Admit,
    DeclareDead,
    Effect,
    EngageBrake,
    Liveness,
    Member,
    ReleaseBrake,
    View,
)
from paasd.scheduler.sight import LIVENESS, Acts, Sight
from paasd.state import Database

WATCHED = ("nodes", "settings")
PERIOD_S = 5.0
PAUSE_S = 0.1
"""Facts of instances change all the time; they need not all be looked at one by one."""
AGAIN_S = 1.0
log = structlog.get_logger(__name__)


class Watching:
    """Made by `open_liveness`."""

    def __init__(
        self,
        config: LivenessConfig,
        database: Database,
        sight: Sight,
        acts: Acts,
        node_guid: str,
        clock: Callable[[], float],
    ) -> None:
        self._core = Liveness(config)
        self._database = database
        self._sight = sight
        self._acts = acts
        self._node_guid = node_guid
        self._clock = clock

    async def run(self) -> None:
        """Look whenever a row or fact changed, when something is due, and once a period."""
        async with self._database.watch(*WATCHED) as rows, trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_facts, rows.wake)
            while True:
                with trio.move_on_at(min(self._core.deadline, trio.current_time() + PERIOD_S)):
                    await rows.wait()
                rows.take()
                if not await contained("liveness", self._pass):
                    await trio.sleep(AGAIN_S)

    async def _pass(self) -> None:
        try:
            await self.look()
        except (Unavailable, OutcomeUnknown) as error:
            # Without quorum nobody is declared dead; that is what quorum is for.
            log.warning("liveness is put off", reason=error.detail)
            await trio.sleep(AGAIN_S)

    async def _follow_facts(self, wake: Callable[[], None]) -> None:
        async with self._sight.watch() as facts:
            while True:
                await facts.wait()
                wake()
                await trio.sleep(PAUSE_S)

    async def look(self) -> None:
        """One round: come back if others have given this node up, and write what is to be written about others."""
        view = self.view()
        await self._come_back(view)
        effects = self._core.receive(trio.current_time(), view)
        if effects and self._acts(LIVENESS):
            for effect in effects:
                await self._write(effect)

    def view(self) -> View:
        gone = self._sight.unreachable()
        reports = {guid: frozenset(said.unreachable) for guid, said in self._sight.nodes().items() if guid not in gone}
        with self._database.read() as tx:
            nodes = [node for node in tx.all(Node) if node.state != "REMOVED"]
            returning = [node.guid for node in nodes if node.state == "RETURNING"]
            deaths = recent_deaths(tx, returning, rfc3339(self._clock()))
            brake = brake_model.read_brake(tx)
        members = {
            node.guid: Member(
                guid=node.guid,
                zone=node.zone,
                state=node.state,
                incarnation=node.incarnation,
                deaths=deaths.get(node.guid, 0),
            )
            for node in nodes
        }
        reports[self._node_guid] = gone
        return View(members=members, reports=reports, brake=brake, suspects=self._sight.suspects())

    async def _come_back(self, view: View) -> None:
        """Of a node that others had declared dead and that never stopped; not while it would be declared dead again."""
        own = view.members.get(self._node_guid)
        if own is None or own.state != "DEAD":
            return
        live = {guid: member for guid, member in view.members.items() if member.state in LIVE_STATES}
        accusers = {guid for guid in live if own.guid in view.reports.get(guid, ())}
        reached = live.keys() - view.reports[own.guid]
        if not reached or enough_witnesses(own.guid, accusers, {**live, own.guid: own}):
            return
        if await self._database.write(return_node, ReturnNode(guid=own.guid, incarnation=own.incarnation)):
            log.warning("this node had been declared dead; it is back", incarnation=own.incarnation + 1)

    async def _write(self, effect: Effect) -> None:
        write = self._database.write
        match effect:
            case DeclareDead():
                said = model.DeclareDead(
                    node_guid=effect.node_guid, incarnation=effect.incarnation, witnesses=list(effect.witnesses)
                )
                if await write(declare_dead, said):
                    log.warning("node is dead", node=effect.node_guid, witnesses=effect.witnesses)
            case EngageBrake():
                if await write(
                    brake_model.engage_brake, brake_model.EngageBrake(nodes=list(effect.nodes), reason=effect.reason)
                ):
                    log.error("the mass-failure brake is on", reason=effect.reason, nodes=effect.nodes)
            case ReleaseBrake():
                if await write(brake_model.release_brake, brake_model.ReleaseBrake()):
                    log.warning("the mass-failure brake is off")
            case Accept():
                await write(brake_model.accept_losses, brake_model.AcceptLosses(nodes=list(effect.nodes)))
            case Admit():
                await write(admit_node, model.AdmitNode(node_guid=effect.node_guid, incarnation=effect.incarnation))
            case _:
                raise AssertionError(f"unknown effect {effect!r}")


@asynccontextmanager
async def open_liveness(
    config: LivenessConfig,
    database: Database,
    sight: Sight,
    acts: Acts,
    *,
    node_guid: str,
    clock: Callable[[], float],
) -> AsyncIterator[Watching]:
    """Watch over the other nodes until the block ends. `clock` gives unix seconds, `acts` is that of `make_acts`."""
    watching = Watching(config, database, sight, acts, node_guid, clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watching.run)
        yield watching
        nursery.cancel_scope.cancel()
