"""The spool format, bytes in and entries out: how a shim hands an app's output over, also while no daemon runs.

A spool is a directory of segments `%016d.seg`. A record is a header (unix time in ns, stream, payload length) and the
payload: a chunk of output as the shim read it, lines or not. Stream 3 tells how many bytes the shim had to drop.
"""

import struct
from pathlib import Path

import msgspec

HEADER = struct.Struct("<QBxxxI")
OUT, ERR, LOST = 1, 2, 3
_LOST_PAYLOAD = struct.Struct("<Q")
LOST_BYTES = _LOST_PAYLOAD.size
# Nothing writes chunks as large as a segment; a longer one is damage, and believing it would skip good records.
RECORD_LIMIT_BYTES = 2 * 1024 * 1024


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One record. For stream LOST the payload is empty and `lost_bytes` says how much is missing."""

    at_ns: int
    stream: int  # OUT, ERR or LOST
    payload: bytes
    lost_bytes: int = 0


class Damaged(Exception):
    """What stands at this place is not a record; `offset` is where, within the bytes that were given."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"no record at byte {offset}")
        self.offset = offset


def parse(data: bytes) -> tuple[list[Entry], int]:
    """The whole records at the beginning of `data` and how many bytes they take.

    A record that is not there entirely yet is left for the next time. Raises Damaged only if the first record is
    damaged, so that nothing in front of the damage is lost.
    """
    entries: list[Entry] = []
    offset, end = 0, len(data)
    while end - offset >= HEADER.size:
        at_ns, stream, length = HEADER.unpack_from(data, offset)
        if stream not in (OUT, ERR, LOST) or length > RECORD_LIMIT_BYTES or (stream == LOST and length != LOST_BYTES):
            if entries:
                break
            raise Damaged(offset)
        begin = offset + HEADER.size
        if begin + length > end:
            break
        payload = data[begin : begin + length]
        if stream == LOST:
            entries.append(Entry(at_ns, LOST, b"", _LOST_PAYLOAD.unpack(payload)[0]))
        else:
            entries.append(Entry(at_ns, stream, payload))
        offset = begin + length
    return entries, offset


def output_bytes(data: bytes, offset: int) -> int:
    """Bytes of output that the records from `offset` on hold or report as lost; damage counts as what is left."""
    total, end = 0, len(data)
    while end - offset >= HEADER.size:
        _, stream, length = HEADER.unpack_from(data, offset)
        offset += HEADER.size
        if stream == LOST and length == LOST_BYTES and offset + length <= end:
            total += _LOST_PAYLOAD.unpack_from(data, offset)[0]
        else:
            total += min(length, end - offset)
        offset += length
    return total


def record(at_ns: int, stream: int, payload: bytes) -> bytes:
    """A record's bytes, as a shim writes them."""
    return HEADER.pack(at_ns, stream, len(payload)) + payload


def numbers(directory: Path) -> list[int]:
    """The segments that are there, oldest first. A spool that does not exist yet has none."""
    try:
        return sorted(int(path.stem) for path in directory.glob("*.seg") if path.stem.isdigit())
    except FileNotFoundError:
        return []


def segment(directory: Path, number: int) -> Path:
    return directory / f"{number:016d}.seg"
