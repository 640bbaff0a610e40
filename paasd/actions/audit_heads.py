"""Heads of the audit chain that a node saw: what finds that the end of the chain was cut off and its head set back.

Each is kept in three places: a file beside the database, the node's own log, and the memory of the daemon, where nobody
gets at it who only has the disk.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from paasd.chained_file import ChainedFile, Record, find_break
from paasd.model import AuditChain, AuditEvent, Node
from paasd.model.arguments import rfc3339
from paasd.model.auditing import PLATFORM
from paasd.model.auditing.following import Head
from paasd.state import Gt, ReadTx

FILE: Final = "audit-heads.jsonl"
SEEN_LIMIT: Final = 1000
"""Heads in memory; far fewer than the file holds."""
LATE_S: Final = 7200.0


class HeadKeeper:
    """Writes heads down, and remembers the last ones."""

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        self._file = ChainedFile(directory / FILE, clock)
        self.seen: deque[Head] = deque(maxlen=SEEN_LIMIT)

    def keep(self, head: Head) -> bool:
        """Write down the head as it is now; False when it is the one of last time, or the disk is full."""
        if self.seen and self.seen[-1].sequence == head.sequence:
            return False
        before = self._file.count
        self._file.add("audit", "", str(head), "")
        if self._file.count == before:
            return False
        self.seen.append(head)
        return True


def platform_head(tx: ReadTx) -> Head | None:
    """The newest event of all."""
    found = tx.get(AuditChain, PLATFORM)
    return None if found is None else Head(sequence=found.sequence, hash=found.hash)


def heads_of(records: Iterable[Record]) -> tuple[Head, ...]:
    """What was written down."""
    return tuple(head for record in records if (head := _head_of(record)) is not None)


def problem_of(tx: ReadTx, records: Sequence[Record], seen: Iterable[Head], node_guid: str) -> str | None:
    """What is wrong with the file: it was changed, taken away, or begins later than this node."""
    if (broken := find_break(records)) is not None:
        return f"{FILE} of this node: {broken}"
    there = {str(head) for head in heads_of(records)}
    for head in seen:
        if str(head) not in there:
            return f"{FILE} of this node does not hold the head {head} any more, which was written into it"
    return _begins_late(tx, records, node_guid)


def _begins_late(tx: ReadTx, records: Sequence[Record], node_guid: str) -> str | None:
    """A file that was never full begins when the node did, or when there were chains at all."""
    node, events = tx.get(Node, node_guid), tx.all(AuditEvent, Gt("sequence", 0), order=("sequence",), limit=1)
    if node is None or not events or not records or records[0].number != 1:
        return None
    since = max(datetime.fromisoformat(one.created_at).timestamp() for one in (node, events[0]))
    if records[0].at <= since + LATE_S:
        return None
    began = rfc3339(records[0].at)
    return f"{FILE} of this node begins on {began}, long after the node: the heads of before were taken away"


def problem_of_end(tx: ReadTx, heads: Iterable[Head]) -> str | None:
    """Whether the newest head that was kept still is in the chain of the platform, whatever chain one looks at."""
    newest = max(heads, key=lambda head: head.sequence, default=None)
    chain = tx.get(AuditChain, PLATFORM)
    if newest is None or chain is None or newest.sequence <= chain.trimmed_sequence:
        return None
    event = tx.find(AuditEvent, sequence=newest.sequence)
    if event is not None and event.hash == newest.hash:
        return None
    return (
        f"the platform's event {newest.sequence} is missing or another: this node saw it, with the hash {newest.hash}"
    )


def _head_of(record: Record) -> Head | None:
    sequence, colon, hash = record.subject.partition(":")
    return Head(sequence=int(sequence), hash=hash) if colon and sequence.isdecimal() else None
