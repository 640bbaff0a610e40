"""What nodes say to each other about the log, and in what version.

Fields may be added at the end with a default: who is older does not see them, who is newer takes the default. A change
that the older side must not overlook raises the version, and then it is refused in words.
"""

from typing import Annotated, Final, Literal, TypeVar

import msgspec

from paasd.errors import BadRequest
from paasd.packing import UNREADABLE

M = TypeVar("M", bound="Message")

VERSION: Final = 1
Counter = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class Message(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Every message begins with its version."""

    version: int = VERSION


class ReadLog(Message, frozen=True, array_like=True, kw_only=True):
    """log.read, and log.follow as a stream: up to `limit` entries of the log `identity` that follow entry `after`."""

    identity: str
    after: Counter
    limit: Annotated[int, msgspec.Meta(ge=1)]


class AppendEntry(Message, frozen=True, array_like=True, kw_only=True):
    """log.append: make `data` entry `index` of the log `identity` if the newest is the one before."""

    identity: str
    index: Counter
    data: bytes


class AskNewest(Message, frozen=True, array_like=True, kw_only=True):
    """log.newest: the index of the newest entry of the log `identity`."""

    identity: str


Kind = Literal["entries", "newest", "accepted", "refused", "unanswered", "trimmed", "unavailable", "other"]


class LogAnswer(Message, frozen=True, array_like=True, kw_only=True):
    """What a node knows.

    entries: those from `index` on. newest: it is `index`. accepted, refused (with the entries from that index on),
    unanswered: of an append. trimmed: the log begins at `index`. unavailable: `detail` says why. other: this node has
    the log `identity`.
    """

    kind: Kind
    index: int = 0
    entries: tuple[bytes, ...] = ()
    identity: str = ""
    detail: str = ""


def encode(message: Message) -> bytes:
    return msgspec.msgpack.encode(message)


def decode(data: bytes, type_: type[M]) -> M:
    """Raises BadRequest for what is no such message, or one of a later version."""
    try:
        version = msgspec.msgpack.decode(msgspec.msgpack.decode(data, type=list[msgspec.Raw])[0])
        if version != VERSION:
            raise BadRequest(f"the other node speaks version {version} and this one {VERSION}; upgrade the older one")
        return msgspec.msgpack.decode(data, type=type_)
    except (*UNREADABLE, IndexError) as error:
        raise BadRequest(f"this is no {type_.__name__}: {error}") from error
