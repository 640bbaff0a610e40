"""What goes into a datagram besides its message: news of members, changes of records, marks of what is known."""

from math import inf
from random import Random
from typing import Final

import msgspec

from paasd.config.gossip import GossipConfig
from paasd.gossip.swim.effects import Records
from paasd.gossip.swim.news import News
from paasd.gossip.swim.roster import Roster
from paasd.gossip.swim.waiting import retransmissions
from paasd.gossip.wire import messages
from paasd.gossip.wire.messages import AnyMessage, Header, pack
from paasd.gossip.wire.sealing import OVERHEAD_BYTES
from paasd.observed import Delta, Holding

_MARKS: Final = 2  # of other nodes' records, in each probe and answer
_HEADER_BYTES: Final = 48  # the numbers of a header and the lengths of the lists, at most
_MARK_BYTES: Final = 96  # room that is always left, so that what does not fit can be announced
_HASTE: Final = 4  # fresh news waits so many times shorter
_NOBODY_S: Final = 1.0  # before looking again for somebody to tell


class Post:
    """The three queues and when they are to be sent on."""

    def __init__(self, config: GossipConfig, guid: str, records: Records, news: News, random: Random) -> None:
        self._config = config
        self._guid = guid
        self._records = records
        self._random = random
        self._news = news
        self._changes = News(config.queue_limit)
        self._marks = News(config.queue_limit)
        self._last_round = -inf
        self._gap_s = 0.0
        self.round_at = inf

    def tell(self, delta: Delta) -> None:
        """Send a change on; one that is too large is announced, and fetched by who hears of it."""
        packed = pack(delta)
        if len(memoryview(packed)) > self._room_bytes(16) - _MARK_BYTES:
            self.announce(Holding(delta.owner, delta.boot, delta.change.sequence))
        else:
            self._changes.add(delta.owner, delta.change.key, packed)

    def announce(self, mark: Holding) -> None:
        """Say that somebody knows this much."""
        self._marks.add(mark.owner, "", pack(mark))

    def plan(self, now: float) -> None:
        """Decide when the next round is: soon if something has never been told."""
        queues = self._news, self._changes, self._marks
        if not any(map(len, queues)):
            self.round_at = inf
            return
        interval_s = self._config.spread_interval_s
        wait_s = interval_s / _HASTE if any(queue.fresh for queue in queues) else interval_s
        self.round_at = min(self.round_at, max(now, self._last_round + max(wait_s, self._gap_s)))

    def round_done(self, now: float, told_anybody: bool) -> None:
        self._last_round = now
        self._gap_s = 0.0 if told_anybody else _NOBODY_S
        self.round_at = inf

    def letter(self, header: Header, message: AnyMessage, held: msgspec.Raw | None, roster: Roster) -> bytes:
        """One datagram. `held` is what is held against the receiver, which comes before all other news."""
        packed = pack(message)
        room = self._room_bytes(len(memoryview(packed)))
        told = retransmissions(self._config, len(roster))
        updates: list[msgspec.Raw] = []
        if held is not None:
            updates.append(held)
            room -= len(memoryview(held))
        news, room = self._news.fill(room, messages.UPDATES_LIMIT - 1, told)
        marks, room = self._marks.fill(room, messages.MARKS_LIMIT - _MARKS, told)
        changes, room = self._changes.fill(room, messages.DELTAS_LIMIT, told)
        if not isinstance(message, messages.News):
            marks += self._random_marks(room, roster)
        return messages.encode(header, packed, updates + news, changes, marks)

    def _room_bytes(self, message_bytes: int) -> int:
        return self._config.packet_limit_bytes - OVERHEAD_BYTES - len(self._guid) - _HEADER_BYTES - message_bytes

    def _random_marks(self, room_bytes: int, roster: Roster) -> list[msgspec.Raw]:
        """How much is known here of some nodes, so that who has missed a change finds out soon."""
        marks = []
        for _ in range(min(_MARKS, len(roster) - 2)):
            holding = self._records.holding(self._random.choice(roster.guids))
            if holding is not None and holding.complete:
                mark = pack(holding)
                if len(memoryview(mark)) <= room_bytes:
                    room_bytes -= len(memoryview(mark))
                    marks.append(mark)
        return marks
