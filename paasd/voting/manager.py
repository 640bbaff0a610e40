"""Changes who votes, step by step: on the voter whose turn it is, each step found anew and repeatable."""

from collections.abc import Callable, Collection
from typing import Final, cast

import structlog
import trio

from paasd.errors import OutcomeUnknown, PaasdError
from paasd.etcd import Lost, Refused, Unreachable, member_url, open_client
from paasd.model import Node
from paasd.model.ownership import owner_of
from paasd.model.voting import Voting
from paasd.state import Database
from paasd.voting.choosing import Candidate, Fitness, choose_voters
from paasd.voting.following import Follower
from paasd.voting.seat import Seat, client_address
from paasd.voting.steps import AddLearner, EtcdMember, Promote, Remove, Step, Vote, guids_by_url, next_step

RETRY_S: Final = 0.5
CHECK_S: Final = 10.0
PATIENCE_S: Final = 60.0
"""How long a node may take to get its vote, before it is another's turn."""

PENANCE_S: Final = 600.0
"""How long one that did not get it in time is not tried again."""

Guids = Callable[[], Collection[str]]


class Manager:
    """`unreachable` and `unfit` are nodes that are given no vote now: not heard, or with a clock far off."""

    def __init__(self, follower: Follower, seat: Seat, database: Database, unreachable: Guids, unfit: Guids) -> None:
        self._follower = follower
        self._seat = seat
        self._database = database
        self._unreachable = unreachable
        self._unfit = unfit
        self._joining: tuple[str, float] | None = None
        self._failed_at: dict[str, float] = {}
        self._log = structlog.get_logger(__name__)

    async def manage(self) -> None:
        """For ever."""
        async with self._database.watch("nodes") as changes:
            while True:
                changes.take()
                pause_s = CHECK_S
                try:
                    if await self._advance():
                        pause_s = 0.0
                except (PaasdError, OutcomeUnknown) as error:
                    # etcd refuses changes for some seconds after each one, and while a member is missing.
                    self._log.debug("voting.step_refused", reason=str(error))
                    pause_s = RETRY_S
                with trio.move_on_after(pause_s):
                    await changes.wait()

    async def _advance(self) -> bool:
        """Take one step, if it is this node's turn and there is one."""
        if not self.is_acting():
            return False
        if not self._database.log.external:
            if self._target(self._nodes()) <= {self._seat.guid}:
                return False
            await self._follower.found()
            return True
        members = await (await self._seat.client()).members()
        await self._database.catch_up()  # rows younger than that list
        nodes = self._nodes()
        target = self._target(nodes)
        by_url = guids_by_url(nodes.values())
        known = [
            EtcdMember(id=each.ID, node_guid=by_url.get(each.peerURLs[0], ""), learner=each.isLearner)
            for each in members
        ]
        step = next_step(target, {guid: node.voting for guid, node in nodes.items()}, known, self._lost(nodes))
        if step is None:
            return False
        await self._take(step, nodes)
        return True

    async def _take(self, step: Step, nodes: dict[str, Node]) -> None:
        client = await self._seat.client()
        match step:
            case Vote(guid, before, after):
                if await self._follower.change(guid, cast(Voting, before), cast(Voting, after)):
                    self._log.info("voting.changed", node=guid, before=before, after=after)
            case AddLearner(guid):
                await client.add_learner(member_url(nodes[guid].address, nodes[guid].etcd_peer_port))
            case Promote(guid, id=member_id):
                try:
                    await client.promote(member_id)
                finally:
                    self._count(guid)
            case Remove(member_id):
                await self._hand_over_lead(member_id)
                await client.remove(member_id)

    def _count(self, guid: str) -> None:
        """How long a node has been on its way here."""
        if self._joining is None or self._joining[0] != guid:
            self._joining = guid, trio.current_time()
        elif trio.current_time() - self._joining[1] > PATIENCE_S:
            self._failed_at[guid] = trio.current_time()
            self._joining = None
            self._log.warning("voting.gave_up", node=guid, fix="see etcd.log of that node; it is tried again later")

    async def _hand_over_lead(self, member_id: int) -> None:
        """Removing the leader costs an election; handing over first does not. If it fails, an election it is."""
        try:
            client = await self._seat.client()
            leader = (await client.status()).leader
            members = {member.ID: member for member in await client.members()}
            heirs = [each.ID for each in members.values() if member_id != each.ID and not each.isLearner]
            if leader != member_id or not heirs or member_id not in members:
                return
            address = client_address(members[member_id])
            async with open_client(lambda: [address], self._seat.context) as at_leader:
                await at_leader.move_leader(heirs[0])
        except (Lost, Refused, Unreachable) as error:
            self._log.info("voting.lead_not_handed_over", reason=error.detail)

    def is_acting(self) -> bool:
        """Whether it is this node's turn to look after the voters."""
        gone, own, nodes = self._unreachable(), self._seat.guid, self._nodes()
        voters = [guid for guid, node in nodes.items() if node.voting == "VOTER" and node.state != "REMOVED"]
        return owner_of("voting", [guid for guid in voters if guid == own or guid not in gone]) == own

    def _target(self, nodes: dict[str, Node]) -> frozenset[str]:
        gone, now = self._unreachable(), trio.current_time()
        failed = {guid for guid, at in self._failed_at.items() if now - at < PENANCE_S}
        unfit = {*gone, *self._unfit(), *failed}
        candidates = [
            Candidate(guid=guid, zone=node.zone, fitness=fitness(node, guid in unfit)) for guid, node in nodes.items()
        ]
        current = {guid for guid, node in nodes.items() if node.voting == "VOTER"}
        coming = {
            guid
            for guid, node in nodes.items()
            if node.voting == "JOINING" and node.state not in ("DEAD", "REMOVED") and guid not in failed
        }
        return choose_voters(candidates, frozenset(current | coming))

    def _lost(self, nodes: dict[str, Node]) -> frozenset[str]:
        return frozenset(guid for guid, node in nodes.items() if node.state in ("DEAD", "REMOVED"))

    def _nodes(self) -> dict[str, Node]:
        with self._database.read() as tx:
            return {node.guid: node for node in tx.all(Node)}


def fitness(node: Node, unfit: bool) -> Fitness:
    """How far a node may vote, by its row and by what is seen of it. Pure."""
    if node.state == "REMOVED" or node.role != "control":
        return "gone"
    if node.state == "DEAD":
        return "away"
    if node.state == "DRAINING":
        return "leaving"
    return "fit" if node.state == "READY" and node.address and node.etcd_version and not unfit else "steady"
