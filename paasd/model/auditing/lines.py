"""Events as they leave the platform: JSON lines that anybody can check, now or years later, without the platform.

The first line says which chain it is and what the first event follows, the last line where it ends. In between stands
an event a line: its number and hash in that chain, and every field that is not empty. Pure.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from paasd.model.auditing.chain import PLATFORM, content
from paasd.model.auditing.following import Follower, Head
from paasd.model.auditing.kept import Kept
from paasd.model.records import AuditEvent

VERSION: Final = 1
_encoder = msgspec.json.Encoder(order="sorted")


class First(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. `former` events are older than the chain and not in the file."""

    paasd_audit: int
    chain: str
    organization: str
    after: Head
    former: int = 0


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """The last line. A file that has none was cut off, or is still being written."""

    events: int
    head: Head


class FileChecked(msgspec.Struct, kw_only=True):
    """What was found in an exported file; `problem` None: everything in it fits.

    `unknown`: numbers of heads from before the first event that is in it.
    """

    first: First | None = None
    events: int = 0
    head: Head | None = None
    whole: bool = False
    unknown: list[int] = []
    problem: str | None = None


def encode_first(scope: str, organization: str, follower: Follower, former: int = 0) -> bytes:
    """The first line of a chain that goes on after `follower`."""
    after = Head(sequence=follower.sequence, hash=follower.hash)
    return _line(First(paasd_audit=VERSION, chain=scope, organization=organization, after=after, former=former))


def encode_event(event: AuditEvent, scope: str) -> bytes:
    """The line of an event."""
    sequence, hash = place(event, scope)
    return _line({"sequence": sequence, "hash": hash, **content(event)})


def encode_last(events: int, head: Head) -> bytes:
    """The last line."""
    return _line(Last(events=events, head=head))


def place(event: AuditEvent, scope: str) -> tuple[int, str]:
    """Number and hash of the event in this chain."""
    if scope == PLATFORM:
        return event.sequence, event.hash
    return event.organization_sequence, event.organization_hash


def check_lines(lines: Iterable[bytes], heads: tuple[Head, ...] = ()) -> FileChecked:
    """Follow an exported file to its end, or to the first thing that does not fit. `heads` were kept elsewhere."""
    found = FileChecked()
    kept = Kept(heads)
    follower = Follower(0, "")
    for number, line in enumerate(lines, start=1):
        if found.whole:
            found.problem = f"line {number} comes after the last line"
        elif found.first is None:
            try:
                found.first = msgspec.json.decode(line, type=First)
            except (msgspec.DecodeError, UnicodeDecodeError):
                found.problem = "the first line is not that of an export of audit events"
            else:
                after = found.first.after
                follower = Follower(after.sequence, after.hash)
                found.unknown, found.problem = kept.before(after.sequence), kept.compare(after.sequence, after.hash)
                if found.first.paasd_audit > VERSION:
                    found.problem = "the file was written by a newer paasd; check it with that one"
        else:
            found.problem = _check_line(line, number, follower, found, kept)
        if found.problem is not None:
            break
    found.head = Head(sequence=follower.sequence, hash=follower.hash)
    if found.first is None and found.problem is None:
        found.problem = "the file is empty"
    lost = kept.beyond(follower.sequence)
    if found.problem is None and lost is not None:
        found.problem = f"event {lost}, whose hash was kept elsewhere, is not in the file"
    return found


def _check_line(line: bytes, number: int, follower: Follower, found: FileChecked, kept: Kept) -> str | None:
    try:
        fields: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        if "head" in fields:
            last = msgspec.convert(fields, Last)
            found.whole = True
            return follower.end(last.head.sequence, last.head.hash)
        sequence, hash = fields.pop("sequence"), fields.pop("hash")
        problem = follower.follow(sequence, hash, fields)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, KeyError, TypeError):
        return f"line {number} is no event; the one that is due there is {follower.sequence + 1}"
    problem = problem or kept.compare(sequence, hash)
    found.events += problem is None
    return problem


def _line(value: Any) -> bytes:
    return _encoder.encode(value) + b"\n"
