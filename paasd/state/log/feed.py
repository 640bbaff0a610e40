"""The log of a node that does not vote: the same entries, from one of the voters, over peer connections.

A stream brings new entries as they come; whatever it does not hold is asked for. Any voter will do and they are taken
in turns: an append that got no answer is sent again by the writer, the same bytes to the same index, through another.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import apsw
import msgspec
import trio

from paasd.errors import BadRequest, PaasdError, Unavailable
from paasd.peer import PeerRefused, Peers, PeerStream, PeerUnreachable
from paasd.state.log.interface import LogTrimmed, LogUnavailable, NoAnswer, Refused, Runner
from paasd.state.log.messages import AppendEntry, AskNewest, LogAnswer, Message, ReadLog, decode, encode
from paasd.state.log.voters import Voter, in_order

_IDENTITY: Final = "SELECT log_identity FROM state_meta"


class FeedLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long another node may take for an answer; how long a stream may say nothing, which is three of its beats;
    the pause before a stream is opened again; entries held until the writer takes them.
    """

    attempt_s: float = 0.6
    silence_s: float = 3.0
    pause_s: float = 0.2
    held: int = 1000


class OtherLog(LogUnavailable):
    """The voters have another log than this node: their cluster was recovered or restored without it."""

    def __init__(self, identity: str) -> None:
        super().__init__(f"the other nodes have log {identity} now; this node has to load their state")
        self.identity = identity


class FeedLog:
    """The log as a node sees it that follows `voters`, a function that says who they are now."""

    external = True
    identity: str | None = None  # what the database says

    def __init__(
        self,
        peers: Peers,
        voters: Callable[[], Sequence[Voter]],
        *,
        zone: str = "",
        limits: FeedLimits | None = None,
        follows: str = "",
    ) -> None:
        self._peers = peers
        self._voters = voters
        self._zone = zone
        self._limits = limits or FeedLimits()
        self._log = follows
        self._failed_at: dict[str, float] = {}
        self._held: deque[bytes] = deque()
        self._applied = -1  # the newest entry that the writer is known to have; -1 before it said so
        self._newest = 0
        self._trimmed = 0
        self._told_of_other = False
        self._changed = trio.Event()

    def attach(self, connection: apsw.Connection, run: Runner) -> None:
        """Also after a snapshot was loaded, which may be of another log."""
        self._log = str(connection.execute(_IDENTITY).fetchall()[0][0])
        self._applied = -1
        self._held.clear()
        self._trimmed = 0
        self._told_of_other = False

    def stage(self, index: int, data: bytes) -> None:
        """Nothing is kept in the database."""

    async def append(self, index: int, data: bytes) -> Refused | None:
        order = self._order()
        if not order or self._has_failed(order[0]):
            # A node that is cut off finds out by a question, so that no append hangs without an answer.
            await self.newest()
            order = self._order()
        others = set[str]()
        for voter in order:
            answer = await self._append(voter, AppendEntry(identity=self._log, index=index, data=data))
            match answer.kind:
                case "accepted":
                    return None
                case "refused":
                    return Refused(answer.entries)
                case "unanswered":
                    raise NoAnswer
                case "other":
                    others.add(answer.identity)
        if len(others) == 1:
            raise OtherLog(others.pop())
        raise LogUnavailable("none of the nodes that vote takes the write; nothing was changed")

    async def _append(self, voter: Voter, request: AppendEntry) -> LogAnswer:
        try:
            answer = await self._call(voter, "log.append", request)
        except PeerUnreachable:
            self._note_failure(voter)
            raise NoAnswer from None
        except PeerRefused as error:
            return LogAnswer(kind="unavailable", detail=error.detail)
        self._failed_at.pop(voter.guid, None)
        return answer

    async def read(self, after: int, limit: int) -> Sequence[bytes]:
        self._note_applied(after)
        self._told_of_other = False  # the question below finds out what the others say
        if self._trimmed > after + 1:
            raise LogTrimmed(after + 1, self._trimmed)
        first = self._newest - len(self._held) + 1
        if self._held and first == after + 1:
            return [self._held[i] for i in range(min(limit, len(self._held)))]
        answer = await self._ask("log.read", ReadLog(identity=self._log, after=after, limit=limit))
        if answer.kind == "trimmed":
            raise LogTrimmed(after + 1, answer.index)
        return answer.entries

    async def newest(self) -> int:
        return (await self._ask("log.newest", AskNewest(identity=self._log))).index

    async def wait_newer(self, after: int) -> None:
        self._note_applied(after)
        while self._newest <= after and not self._trimmed and not self._told_of_other:
            await self._changed.wait()

    async def trim(self, before: int) -> None:
        """Voters trim the log."""

    async def follow(self) -> None:
        """Keep a stream from a voter, until cancelled."""
        while True:
            while self._applied < 0:
                await self._changed.wait()
            for voter in self._order():
                try:
                    async with self._peers.stream(voter.guid, "log.follow", self._position()) as stream:
                        await self._take(stream)
                except (PeerUnreachable, PeerRefused):
                    pass
                self._note_failure(voter)
                await trio.sleep(self._limits.pause_s)
            await trio.sleep(self._limits.pause_s)

    async def _take(self, stream: PeerStream) -> None:
        """Take what the stream brings until it ends, breaks, says nothing, or brings what does not follow."""
        while True:
            answer = None
            with trio.move_on_after(self._limits.silence_s):
                try:
                    message = await stream.receive()
                    answer = None if message is None else decode(message, LogAnswer)
                except PaasdError:
                    return
            if answer is None or not self._took(answer):
                return
            while len(self._held) >= self._limits.held:
                await self._changed.wait()

    def _took(self, answer: LogAnswer) -> bool:
        match answer.kind:
            case "entries" if answer.index == self._newest + 1:
                self._held.extend(answer.entries)
                self._newest += len(answer.entries)
            case "newest":
                # A beat. Who holds less than that has missed something, and opens the stream again.
                return answer.index <= self._newest
            case "trimmed":
                self._trimmed = answer.index
            case "other":
                self._told_of_other = True
                self._change()
                return False
            case _:
                return False
        self._change()
        return not self._trimmed

    def _position(self) -> bytes:
        self._newest = max(self._applied, self._newest if self._held else 0)
        return encode(ReadLog(identity=self._log, after=self._newest, limit=self._limits.held))

    def _note_applied(self, index: int) -> None:
        if index == self._applied:
            return
        self._applied = index
        while self._held and self._newest - len(self._held) < index:
            self._held.popleft()
        if index > self._newest:  # the writer has more than the stream brought
            self._held.clear()
            self._newest = index
        self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _ask(self, kind: str, request: Message) -> LogAnswer:
        """The first useful answer. Raises LogUnavailable when nobody gives one, OtherLog when all have another log."""
        why, others = "no node that votes can be reached", set[str]()
        for voter in self._order():
            try:
                answer = await self._call(voter, kind, request)
            except (Unavailable, PeerRefused):
                self._note_failure(voter)
                continue
            if answer.kind == "unavailable":
                why = answer.detail
            elif answer.kind == "other":
                others.add(answer.identity)
            else:
                self._failed_at.pop(voter.guid, None)
                return answer
            self._note_failure(voter)
        if len(others) == 1:
            raise OtherLog(others.pop())
        raise LogUnavailable(f"{why}; nothing was changed")

    async def _call(self, voter: Voter, kind: str, request: Message) -> LogAnswer:
        try:
            answer = await self._peers.call(voter.guid, kind, encode(request), timeout_s=self._limits.attempt_s)
            return decode(answer, LogAnswer)
        except BadRequest as error:  # one of the two does not understand the other: they are of different releases
            raise PeerRefused(error.detail) from error

    def _order(self) -> list[Voter]:
        return in_order(self._voters(), self._peers.guid, self._zone, self._failed_at, trio.current_time())

    def _note_failure(self, voter: Voter) -> None:
        self._failed_at[voter.guid] = trio.current_time()

    def _has_failed(self, voter: Voter) -> bool:
        return voter.guid in self._failed_at


@asynccontextmanager
async def open_feed_log(
    peers: Peers,
    voters: Callable[[], Sequence[Voter]],
    *,
    zone: str = "",
    limits: FeedLimits | None = None,
    follows: str = "",
) -> AsyncIterator[FeedLog]:
    """A log that follows the voters until the block ends; open it before the database that uses it.

    Which log that is, the database says; `follows` says it for questions before.
    """
    log = FeedLog(peers, voters, zone=zone, limits=limits, follows=follows)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.follow)
        try:
            yield log
        finally:
            nursery.cancel_scope.cancel()
