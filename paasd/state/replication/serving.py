"""The log for nodes that follow this one: log.read, log.newest, log.append, and log.follow as a stream."""

from collections.abc import Sequence
from typing import Final

import trio

from paasd.peer import Peer, Peers, PeerStream
from paasd.peer.interface import Role
from paasd.state.engine import Database
from paasd.state.log import FeedLog, LogTrimmed, LogUnavailable, NoAnswer
from paasd.state.log.entries import LogDamaged, decode_entry
from paasd.state.log.messages import AppendEntry, AskNewest, LogAnswer, ReadLog, decode, encode

BEAT_S: Final = 1.0
"""How often a stream says that it is alive when there are no entries; the other side waits for three of them."""

CONTROL: Final[tuple[Role, ...]] = ("control",)
ANSWER_BYTES: Final = 4 * 1024 * 1024
ENTRIES: Final = 1000


class LogServer:
    """Answers from what this node's database has, and asks its log for the rest. A node that does not vote gives the
    entries it has, and leaves what needs a voter to the voters.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, peers: Peers) -> None:
        peers.serve("log.read", self.read)
        peers.serve("log.newest", self.newest)
        peers.serve("log.append", self.append, roles=CONTROL)
        peers.serve_stream("log.follow", self.follow)

    async def read(self, peer: Peer, body: bytes) -> bytes:
        request = decode(body, ReadLog)
        return encode(self._other(request.identity) or await self._entries(request.after, request.limit))

    async def newest(self, peer: Peer, body: bytes) -> bytes:
        request = decode(body, AskNewest)
        answer = self._other(request.identity) or self._no_voter()
        if answer is None:
            try:
                answer = LogAnswer(kind="newest", index=await self._database.newest())
            except LogUnavailable as error:
                answer = LogAnswer(kind="unavailable", detail=error.detail)
        return encode(answer)

    async def append(self, peer: Peer, body: bytes) -> bytes:
        request = decode(body, AppendEntry)
        return encode(self._other(request.identity) or self._no_voter() or await self._append(request))

    async def _append(self, request: AppendEntry) -> LogAnswer:
        log = self._database.log
        if not log.external:
            return LogAnswer(kind="unavailable", detail="the node that has the log alone takes operations, not entries")
        try:
            if decode_entry(request.data).index != request.index:
                return LogAnswer(kind="unavailable", detail="the entry is not the one that it was said to be")
            refused = await log.append(request.index, request.data)
        except NoAnswer:
            return LogAnswer(kind="unanswered")
        except (LogUnavailable, LogDamaged) as error:
            return LogAnswer(kind="unavailable", detail=error.detail)
        if refused is None:
            return LogAnswer(kind="accepted")
        return LogAnswer(kind="refused", index=request.index, entries=_fitting(refused.entries))

    async def follow(self, peer: Peer, body: bytes, stream: PeerStream) -> None:
        """Send entries as they become readable here, until the other side leaves."""
        request = decode(body, ReadLog)
        answer, after = self._other(request.identity), request.after
        while answer is None:
            if self._database.index > after:
                entries = await self._entries(after, request.limit)
                if entries.kind != "entries":
                    answer = entries
                    break
                await stream.send(encode(entries))
                after += len(entries.entries)
                continue
            with trio.move_on_after(BEAT_S) as waiting:
                await self._database.wait_beyond(after)
            if waiting.cancelled_caught:
                await stream.send(encode(LogAnswer(kind="newest", index=self._database.index)))
            answer = self._other(request.identity)
        await stream.send(encode(answer))

    async def _entries(self, after: int, limit: int) -> LogAnswer:
        if (no_voter := self._no_voter()) is not None:
            found = self._database.recent(after, min(limit, ENTRIES))
            if not found and self._database.index > after:
                return no_voter
            return LogAnswer(kind="entries", index=after + 1, entries=_fitting(found))
        try:
            found = await self._database.entries(after, min(limit, ENTRIES))
        except LogTrimmed as error:
            return LogAnswer(kind="trimmed", index=error.first)
        except LogUnavailable as error:
            return LogAnswer(kind="unavailable", detail=error.detail)
        return LogAnswer(kind="entries", index=after + 1, entries=_fitting(found))

    def _other(self, identity: str) -> LogAnswer | None:
        ours = self._database.log_identity
        return None if identity == ours else LogAnswer(kind="other", identity=ours)

    def _no_voter(self) -> LogAnswer | None:
        """Followers of each other must not ask each other in circles."""
        if isinstance(self._database.log, FeedLog):
            return LogAnswer(kind="unavailable", detail="this node does not vote")
        return None


def serve_log(peers: Peers, database: Database) -> None:
    """Let other nodes follow this one."""
    LogServer(database).register(peers)


def _fitting(entries: Sequence[bytes]) -> tuple[bytes, ...]:
    """As many of the first ones as an answer takes, but one at least."""
    size = 0
    for number, data in enumerate(entries):
        size += len(data)
        if number and size > ANSWER_BYTES:
            return tuple(entries[:number])
    return tuple(entries)
