"""What nodes say to each other about blobs. Version 1; unknown fields are ignored, as a newer node may say more."""

from typing import Final

import msgspec

from paasd.errors import BadRequest
from paasd.packing import unpack

HAVE: Final = "blob.have"
WANT: Final = "blob.want"
SPARE: Final = "blob.spare"
PLEDGE: Final = "blob.pledge"
GET: Final = "blob.get"
PUT: Final = "blob.put"
PIECE_BYTES: Final = 256 * 1024


class Have(msgspec.Struct, kw_only=True):
    """`blob.have`: which of these are there? With `claim` they are kept as if stored now."""

    sha256s: list[str]
    claim: bool = False


class Had(msgspec.Struct, kw_only=True):
    """Those that are."""

    sha256s: list[str]


class Want(msgspec.Struct, kw_only=True):
    """`blob.want`: fetch it, from whoever has it, and answer when it is stored."""

    sha256: str


class Spare(msgspec.Struct, kw_only=True):
    """`blob.spare`: your copy is one too many, since these nodes have it too; give it up, if you and they agree."""

    sha256: str
    keepers: list[str]


class Spared(msgspec.Struct, kw_only=True):
    """Whether the copy is gone, and if not, why."""

    gone: bool
    detail: str = ""


class Pledge(msgspec.Struct, kw_only=True):
    """`blob.pledge`: read your copy, and if it is whole, keep it for ten minutes. Answered with nothing, or refused."""

    sha256: str


class Get(msgspec.Struct, kw_only=True):
    """`blob.get`: the answer, a `Told` (`go` or `absent`), pieces, a `Told` (`done`, or `damaged`)."""

    sha256: str


class Put(msgspec.Struct, kw_only=True):
    """`blob.put`: told `go` or `stored`; then pieces are sent, and told `stored` or `refused` at the end."""

    sha256: str
    size_bytes: int


class Told(msgspec.Struct, kw_only=True):
    """A step of a transfer. Pieces and these have different first bytes, so that neither is taken for the other."""

    state: str
    detail: str = ""
    size_bytes: int = 0


def encode(message: msgspec.Struct) -> bytes:
    """For a call, or the head of a stream."""
    return msgspec.msgpack.encode(message)


def tell(state: str, detail: str = "", size_bytes: int = 0) -> bytes:
    """A step, as a message of a stream."""
    return b"T" + encode(Told(state=state, detail=detail, size_bytes=size_bytes))


def piece(data: bytes) -> bytes:
    """A piece of content, as a message of a stream."""
    return b"P" + data


def read(message: bytes | None) -> "Told | memoryview":
    """What a message of a stream is; the end of the stream is the state `ended`. Raises BadRequest."""
    if message is None:
        return Told(state="ended")
    if message[:1] == b"P":
        return memoryview(message)[1:]
    if message[:1] == b"T":
        return unpack(message[1:], Told)
    raise BadRequest("another node sent neither a piece nor a step")
