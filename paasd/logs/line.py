"""A log line, and how raw output becomes lines.

A payload is opaque bytes: control characters and imitated prefixes are kept as they came and mean nothing, because
source, type and stream travel beside the payload and never inside it.
"""

from typing import Literal

import msgspec

Stream = Literal["OUT", "ERR"]


class Line(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of one source. `source_type` is Cloud Foundry's: APP/PROC/WEB, STG, RTR, API, CELL, SSH...

    Kept from the garbage collector (it can be in no cycle): tens of thousands pass by in a second. Share `tags`.
    """

    source_id: str  # the app's guid
    instance_id: str = "0"
    source_type: str
    stream: Stream = "OUT"
    timestamp_ns: int  # unix time
    payload: bytes
    tags: dict[str, str] = {}


def clip(payload: bytes, limit_bytes: int) -> bytes:
    """`payload`, cut at `limit_bytes` with a marker that says how much is missing."""
    if len(payload) <= limit_bytes:
        return payload
    return payload[:limit_bytes] + cut_marker(len(payload) - limit_bytes)


def cut_marker(missing_bytes: int) -> bytes:
    return b" [%d bytes cut]" % missing_bytes


class Partial(msgspec.Struct, array_like=True):
    """The beginning of a line whose end has not been read yet; `cut` counts bytes beyond the limit."""

    begun: bytes = b""
    cut: int = 0

    def feed(self, chunk: bytes, limit_bytes: int) -> list[bytes]:
        """The lines completed by `chunk`, without their ends. What follows the last line end is kept."""
        pieces = chunk.split(b"\n")
        if len(pieces) == 1:
            self._extend(chunk, limit_bytes)
            return []
        self._extend(pieces[0], limit_bytes)
        lines = [self._take()]
        # Only the first piece can continue something; the others are whole lines.
        for piece in pieces[1:-1]:
            line = piece[:-1] if piece.endswith(b"\r") else piece
            lines.append(line if len(line) <= limit_bytes else clip(line, limit_bytes))
        self._extend(pieces[-1], limit_bytes)
        return lines

    def flush(self) -> list[bytes]:
        """The line without an end that is still held, if any: its writer is gone."""
        return [self._take()] if self.begun or self.cut else []

    def _extend(self, piece: bytes, limit_bytes: int) -> None:
        room = limit_bytes - len(self.begun)
        self.begun += piece[:room]
        self.cut += max(0, len(piece) - room)

    def _take(self) -> bytes:
        line, cut = self.begun, self.cut
        self.begun, self.cut = b"", 0
        if cut:
            return line + cut_marker(cut)
        return line[:-1] if line.endswith(b"\r") else line
