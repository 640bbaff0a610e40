"""This node does what its row says about its vote: it runs a member of etcd, or does without.

Until a second node is to vote, the first keeps its local log and there is no etcd at all.
"""

import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec
import structlog
import trio

from paasd.errors import OutcomeUnknown, PaasdError, Unavailable
from paasd.etcd import MemberSpec, find_etcd, member_url
from paasd.model import Node
from paasd.model.voting import ChangeVote, OfferVote, Voting, change_vote, offer_vote
from paasd.state import Database, Log
from paasd.state.log import OtherLog
from paasd.state.log.etcd import EtcdLog
from paasd.voting.authority import EtcdAuthority, Sealing
from paasd.voting.seat import Seat
from paasd.voting.steps import guids_by_url
from paasd.voting.upkeep import read_times

RETRY_S: Final = 0.5
CHECK_S: Final = 10.0
"""How often everything is looked at although nothing seems to have changed; certificates are renewed then."""

READY_S: Final = 20.0
LOST_S: Final = 10.0
"""After so long without an answer of etcd this node asks whether other nodes still have the log."""

TURN_S: Final = 10.0
"""How long each member has to be back before the next one restarts."""

ANSWERS_S: Final = 2.0
"""Who restarts its member has had an answer within so long: it is asked once a second at least."""

BROKEN: Final = 8
"""So many ends in a row, soon after the start, and the member is given up: its data are of no use."""

OpenFeed = Callable[[str], AbstractAsyncContextManager[Log]]
"""Opens the log of a node that does not vote, of this identity."""


class Follower:
    """Makes this node's part true: JOINING and VOTER run a member, LEAVING and '' do without."""

    def __init__(
        self,
        seat: Seat,
        database: Database,
        sealer: Sealing,
        *,
        listen: str,
        open_feed: OpenFeed,
        nursery: trio.Nursery,
        strict: bool,
        clock: Callable[[], float],
    ) -> None:
        self.authority = EtcdAuthority(database, sealer)
        self._seat = seat
        self._database = database
        self._listen = listen
        self._strict = strict
        self._open_feed = open_feed
        self._nursery = nursery
        self._clock = clock
        self._retime_at = math.inf
        self._feed_scope: trio.CancelScope | None = None
        self._log = structlog.get_logger(__name__)

    async def follow(self) -> None:
        """For ever."""
        async with self._database.watch("nodes", "authorities", "settings") as changes:
            while True:
                changes.take()
                pause_s = CHECK_S
                try:
                    if not await self._fit():
                        pause_s = RETRY_S
                except (PaasdError, OutcomeUnknown, OSError) as error:
                    self._log.warning("voting.not_yet", reason=str(error))
                    pause_s = RETRY_S
                with trio.move_on_after(pause_s):
                    await changes.wait()

    async def _fit(self) -> bool:
        """Whether nothing is left to do."""
        nodes = self._nodes()
        own = nodes.get(self._seat.guid)
        if own is None or not own.address:
            return True
        self._seat.note_others(
            {
                guid: (node.address, node.etcd_client_port)
                for guid, node in nodes.items()
                if node.voting in ("VOTER", "LEAVING") and guid != own.guid and node.state != "REMOVED"
            }
        )
        match own.voting:
            case "JOINING":
                return await self._join(own, nodes)
            case "VOTER":
                return await self._vote(own)
            case "LEAVING":
                return await self._use_feed()
        if await self._use_feed() and (self._seat.runs is not None or self._seat.member.has_data):
            await self._seat.leave()
            self._log.info("voting.left")
        return True

    async def _join(self, own: Node, nodes: dict[str, Node]) -> bool:
        """Start the member that etcd has been told of."""
        self._certify(own)
        url = member_url(own.address, own.etcd_peer_port)
        members = await (await self._seat.client()).members()
        ours = next((member for member in members if url in member.peerURLs), None)
        if ours is None:
            return False
        record = self._seat.record
        if record is not None and record.member_id != ours.ID:
            await self._seat.leave()  # what is here is of an earlier membership
        if self._seat.runs is None:
            by_url = guids_by_url(nodes.values())
            urls = [peer for member in members for peer in member.peerURLs]
            cluster = {by_url.get(peer, peer.removeprefix("https://")): peer for peer in urls}
            await self._seat.start(self._spec(own, cluster, new=False), ours.ID)
        return True

    async def _vote(self, own: Node) -> bool:
        if not self._database.log.external:
            return True
        self._certify(own)
        record = self._seat.record
        known = record is not None and record.spec.log_id == self._database.log_identity and self._seat.member.has_data
        if self._seat.runs is None and known:
            await self._seat.resume()
        elif not known or self._seat.member.failures >= BROKEN:
            self._log.error("voting.data_lost", reason="etcd cannot use its data here; this node joins anew by itself")
            await self.change(own.guid, "VOTER", "LEAVING")
            return False
        return await self._use_etcd() and await self._keep_up(own)

    async def _keep_up(self, own: Node) -> bool:
        """Run with the times that all members are to have, and believe the authorities that count, which etcd reads
        only at its start: each restarts in its turn, while etcd answers.
        """
        runs = self._seat.runs
        with self._database.read() as tx:
            times = read_times(tx)
            voters = sorted(node.guid for node in tx.all(Node, voting="VOTER"))
        if runs is None or (runs.times_ms == times and self._seat.member.believes_all):
            self._retime_at = math.inf
            return True
        now = trio.current_time()
        self._retime_at = min(self._retime_at, now + TURN_S * (1 + voters.index(own.guid)))
        if now >= self._retime_at and isinstance(log := self._database.log, EtcdLog) and log.silent_s < ANSWERS_S:
            self._retime_at = math.inf
            await self._seat.restart(msgspec.structs.replace(runs, times_ms=times))
        return False

    async def found(self) -> None:
        """From the local log to one member of etcd here, while writes go on. May be repeated after a crash."""
        await self.authority.ensure(self._clock())
        own = self._nodes()[self._seat.guid]
        self._certify(own)
        if self._seat.runs is None:
            await self._seat.leave()  # of an earlier log, if there is anything
            self._certify(own)
            cluster = {own.guid: member_url(own.address, own.etcd_peer_port)}
            await self._seat.start(self._spec(own, cluster, new=True), 0)
        await self._use_etcd()

    async def _use_etcd(self) -> bool:
        """Whether the log comes from etcd now, as far as one knows."""
        now = self._database.log
        if isinstance(now, EtcdLog):
            return now.silent_s < LOST_S or not await self._fall_back()
        log = await self._seat.log(self._database.log_identity)
        await _until_ready(log)  # writes wait while the log changes, so it has to work before
        await self._database.use_log(log, "etcd", start=self._seat.start_log)
        self._log.info("voting.log_in_etcd", index=self._database.index)
        return True

    async def _fall_back(self) -> bool:
        """Follow other nodes if they have the log, or another one, while etcd does not answer this node.

        It may have been taken out of etcd while it was off, or the others have recovered without it.
        """
        if not self._seat.others:
            return False
        feed = await self._open_a_feed()
        try:
            await feed.newest()
        except OtherLog as error:
            self._log.warning("voting.another_log", reason=error.detail)
        except Unavailable:
            self._close_feed()
            return False
        await self._database.use_log(feed, "feed")
        self._log.warning("voting.follows", reason="etcd does not answer this node, and other nodes have the log")
        return True

    async def _use_feed(self) -> bool:
        """Whether the log does not come from etcd, or no longer."""
        if not isinstance(self._database.log, EtcdLog):
            return True
        if not self._seat.others:
            return False
        await self._database.use_log(await self._open_a_feed(), "feed")
        return True

    async def _open_a_feed(self) -> Log:
        self._close_feed()
        self._feed_scope = trio.CancelScope()
        feed: Log = await self._nursery.start(self._keep_feed, self._feed_scope)
        return feed

    def _close_feed(self) -> None:
        if self._feed_scope is not None:
            self._feed_scope.cancel()

    async def _keep_feed(self, scope: trio.CancelScope, task_status: "trio.TaskStatus[Log]") -> None:
        with scope:
            async with self._open_feed(self._database.log_identity) as feed:
                task_status.started(feed)
                await trio.sleep_forever()

    def _certify(self, own: Node) -> None:
        if self._seat.certify(self.authority.signing(), self.authority.trusted(), self._spec(own, {}, new=False)):
            self._log.info("voting.certificate_renewed")

    def _spec(self, own: Node, cluster: dict[str, str], *, new: bool) -> MemberSpec:
        return MemberSpec(
            name=own.guid,
            log_id=self._database.log_identity,
            address=own.address,
            listen=self._listen,
            client_port=own.etcd_client_port,
            peer_port=own.etcd_peer_port,
            cluster=cluster,
            state="new" if new else "existing",
            times_ms=self._times(),
            strict=self._strict,
        )

    def _times(self) -> tuple[int, int]:
        with self._database.read() as tx:
            return read_times(tx)

    def _nodes(self) -> dict[str, Node]:
        with self._database.read() as tx:
            return {node.guid: node for node in tx.all(Node)}

    async def change(self, guid: str, before: Voting, after: Voting) -> bool:
        """One step of a node's row."""
        return await self._database.write(change_vote, ChangeVote(node_guid=guid, before=before, after=after))

    async def offer(self) -> None:
        """Say in this node's row whether it could vote."""
        try:
            _, version = await trio.to_thread.run_sync(find_etcd)
        except (PaasdError, OSError) as error:
            version = ""
            self._log.info("voting.cannot", reason=str(error))
        while True:
            with self._database.read() as tx:
                own = tx.get(Node, self._seat.guid)
            if own is not None and own.etcd_version == version:
                return
            try:
                await self._database.write(offer_vote, OfferVote(node_guid=self._seat.guid, etcd_version=version))
                return
            except (Unavailable, OutcomeUnknown):
                await trio.sleep(RETRY_S)


async def _until_ready(log: EtcdLog) -> None:
    """Raises Unavailable when that takes too long."""
    with trio.move_on_after(READY_S):
        while True:
            try:
                await log.newest()
                return
            except Unavailable:
                await trio.sleep(0.05)
    raise Unavailable("etcd does not answer yet; see etcd.log")
