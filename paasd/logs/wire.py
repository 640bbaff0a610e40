"""What nodes say to each other about log lines. Version 1; unknown fields are ignored, as a newer node may say more."""

from typing import Final

import msgspec

from paasd.logs.line import Line

READ: Final = "logs.read"
EXTENT: Final = "logs.extent"
FOLLOW: Final = "logs.follow"
ANSWER_BYTES: Final = 2 * 1024 * 1024
"""A message of lines is closed above so many bytes of content, well below what a message may have."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """`logs.read`: lines with start <= time < end, as `Logs.read` gives them, less the first `skip`. With `flush`, also
    what is not stored yet.
    """

    source_id: str
    start_ns: int = 0
    end_ns: int = 2**63 - 1
    limit: int = 100
    descending: bool = False
    source_types: list[str] = []
    skip: int = 0
    flush: bool = False


class Answer(msgspec.Struct, kw_only=True):
    """Some of the lines; `more` when there was no room for all."""

    lines: list[Line]
    more: bool = False


class ExtentQuery(msgspec.Struct, kw_only=True):
    """`logs.extent`: of which of these are there lines, and from when until when?"""

    source_ids: list[str]


class Extents(msgspec.Struct, kw_only=True):
    """Times of the oldest and newest line, by source."""

    extents: dict[str, tuple[int, int]]


class Follow(msgspec.Struct, kw_only=True):
    """`logs.follow`: lines of the source as they are stored."""

    source_id: str


class Followed(msgspec.Struct, kw_only=True):
    """A message of that stream; the first has no lines and says that all later ones will come. `settled` answers."""

    lines: list[Line] = []
    settled: int | None = None


class Settle(msgspec.Struct, kw_only=True):
    """Asks, on the stream, for everything that was said before, and then for a word with this number."""

    number: int


def encode(message: msgspec.Struct) -> bytes:
    """For a call, or a message of a stream."""
    return msgspec.msgpack.encode(message)
