"""Reads a spool from a remembered place, and says which place to remember after the lines have been stored.

The cursor is stored in the same transaction as the lines that were read before it. So a daemon that is killed at any
point neither loses a line nor stores one twice: it goes on from the cursor that its last transaction left.
"""

import os
from pathlib import Path

import msgspec

from paasd.logs.line import Partial, Stream
from paasd.logs.segments import (
    ERR,
    HEADER,
    LOST,
    LOST_BYTES,
    RECORD_LIMIT_BYTES,
    Damaged,
    Entry,
    numbers,
    output_bytes,
    parse,
    segment,
)

_SECOND_NS = 1_000_000_000
# One record may hold 32,768 lines. A step ends after so many, or 20 ms of other work would be held up.
_STEP_LINES = 1000
_SLICE_BYTES = 1024


class Cursor(msgspec.Struct, array_like=True):
    """How far a spool has been taken, with the unfinished lines, which no segment may hold any more."""

    segment: int = -1  # -1: nothing was read yet
    offset: int = 0  # of the record to read next
    within: int = 0  # how much of its payload has been read already
    last_ns: int = 0
    out: Partial = msgspec.field(default_factory=Partial)
    err: Partial = msgspec.field(default_factory=Partial)
    refused: int = 0  # lines above the rate limit that the stream has not been told of yet


class Read(msgspec.Struct, frozen=True, gc=False):
    """A line as it comes out of the spool. `lost_bytes` above 0 marks a gap, and then there is no payload."""

    stream: Stream
    at_ns: int
    payload: bytes
    lost_bytes: int = 0


class SpoolReader:
    """One reader of one spool. It reads inline: the bytes were written moments ago and are in the page cache."""

    def __init__(self, directory: Path, cursor: Cursor, *, line_limit_bytes: int, read_bytes: int) -> None:
        self.cursor = cursor
        self.payload_bytes = 0  # output taken so far, for the log rate among the stats
        self._directory = directory
        self._line_limit_bytes = line_limit_bytes
        self._read_bytes = read_bytes

    def read(self) -> list[Read] | None:
        """The lines of one step, perhaps none though the cursor moved; None when there is nothing to read now."""
        found: list[Read] = []
        present = numbers(self._directory)
        if not present:
            return None
        self._enter(present)
        data = self._data(self._read_bytes)
        if self._take(data, found):
            return found
        last = self.cursor.segment == present[-1]
        if last and len(data) < self._read_bytes:
            return None
        # One record larger than a step; or one that came between our looks at the file and at the directory.
        data = self._data(RECORD_LIMIT_BYTES + HEADER.size)
        if self._take(data, found):
            return found
        if last:
            return None
        # The writer has gone on to another segment, so what it left unfinished here stays unfinished.
        if data:
            found.append(self._gap(len(data)))
        self.cursor.segment = next(number for number in present if number > self.cursor.segment)
        self.cursor.offset = self.cursor.within = 0
        return found

    def flush(self) -> list[Read]:
        """Lines without an end; for when nothing writes here any more."""
        cursor = self.cursor
        return [
            *(Read("OUT", self._stamp(cursor.last_ns), line) for line in cursor.out.flush()),
            *(Read("ERR", self._stamp(cursor.last_ns), line) for line in cursor.err.flush()),
        ]

    def discard_read_segments(self) -> None:
        """Remove what was read entirely. Only after the cursor has been stored."""
        for number in numbers(self._directory):
            if number < self.cursor.segment:
                segment(self._directory, number).unlink(missing_ok=True)

    def unread_bytes(self) -> int:
        """Output that has not been read, with what the shim had to drop of it. Reads all headers: use a thread."""
        total = -self.cursor.within
        for number in numbers(self._directory):
            if number >= self.cursor.segment:
                data = segment(self._directory, number).read_bytes()
                total += output_bytes(data, self.cursor.offset if number == self.cursor.segment else 0)
        return max(0, total)

    def _enter(self, present: list[int]) -> None:
        """Stand in a segment that exists: the first time, or when the spool was begun anew under our feet."""
        if self.cursor.segment in present:
            return
        later = [number for number in present if number > self.cursor.segment]
        self.cursor.segment = later[0] if later else present[0]
        self.cursor.offset = self.cursor.within = 0

    def _data(self, limit_bytes: int) -> bytes:
        try:
            descriptor = os.open(segment(self._directory, self.cursor.segment), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(descriptor, limit_bytes, self.cursor.offset)
        finally:
            os.close(descriptor)

    def _take(self, data: bytes, found: list[Read]) -> int:
        """Turn records into lines and move the cursor; the number of bytes it moved."""
        try:
            entries, _used = parse(data)
        except Damaged:
            # Nothing tells where the next good record begins: the rest of this segment is given up, and counted.
            size = self._size()
            lost = size - self.cursor.offset
            found.append(self._gap(lost))
            self.cursor.offset, self.cursor.within = size, 0
            return lost
        moved = 0
        for entry in entries:
            moved += self._entry(entry, found)
            if len(found) >= _STEP_LINES:
                break
        return moved

    def _entry(self, entry: Entry, found: list[Read]) -> int:
        """Turn one record into lines, slice by slice; the number of bytes that the cursor moved by."""
        size = HEADER.size + (LOST_BYTES if entry.stream == LOST else len(entry.payload))
        before = self.cursor.within
        if entry.stream == LOST:
            found.append(Read("ERR", self._stamp(entry.at_ns), b"", entry.lost_bytes))
        else:
            while self.cursor.within < len(entry.payload):
                if len(found) >= _STEP_LINES:
                    return self.cursor.within - before
                self._slice(entry, found)
        self.cursor.offset += size
        self.cursor.within = 0
        return size - before

    def _gap(self, lost_bytes: int) -> Read:
        return Read("ERR", self._stamp(self.cursor.last_ns), b"", lost_bytes)

    def _size(self) -> int:
        return segment(self._directory, self.cursor.segment).stat().st_size

    def _slice(self, entry: Entry, found: list[Read]) -> None:
        begin = self.cursor.within
        chunk = entry.payload[begin : begin + _SLICE_BYTES]
        stream: Stream = "ERR" if entry.stream == ERR else "OUT"
        partial = self.cursor.err if entry.stream == ERR else self.cursor.out
        for payload in partial.feed(chunk, self._line_limit_bytes):
            found.append(Read(stream, self._stamp(entry.at_ns), payload))
        self.cursor.within += len(chunk)
        self.payload_bytes += len(chunk)

    def _stamp(self, at_ns: int) -> int:
        """A time of its own for each line: clients page by time, and would skip the second of two equal ones.

        A clock that was set back by more than a second is believed.
        """
        last = self.cursor.last_ns
        if last - _SECOND_NS < at_ns <= last:
            at_ns = last + 1
        self.cursor.last_ns = at_ns
        return at_ns
