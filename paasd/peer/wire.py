"""What goes over a connection between nodes: frames, each a length and a packed message.

    client: Hello             server: Welcome | Failure
    client: Ask               server: Alive* (while it works), then Answer | Failure; the connection may be used again
    client: Ask (stream)      server: Accepted | Failure; then both: Data*, Alive*, at last End | Failure

`OLDEST_VERSION` is still understood, so that nodes of two successive releases work together.
"""

from typing import Final

import msgspec

from paasd import errors
from paasd.errors import NotFound, OutcomeUnknown, PaasdError
from paasd.packing import UNREADABLE
from paasd.peer.interface import MESSAGE_LIMIT_BYTES, NoMember, PeerRefused, PeerUnreachable

VERSION: Final = 1
OLDEST_VERSION: Final = 1
FRAME_LIMIT_BYTES: Final = MESSAGE_LIMIT_BYTES + 64 * 1024
STRANGER_FRAME_LIMIT_BYTES: Final = 64 * 1024
"""Before it is known who sends."""
LENGTH_BYTES: Final = 4
_OWN: Final[dict[str, type[PaasdError]]] = {cls.__name__: cls for cls in (PeerRefused, PeerUnreachable, NoMember)}
"""Errors of this folder that travel under their own name."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """`at` is the sender's unix time, for measuring how far clocks are apart."""

    version: int
    oldest: int
    cluster_id: str
    at: float


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag="welcome"):
    """The version that both speak, and the server's unix time."""

    version: int
    at: float


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    kind: str
    body: bytes
    stream: bool = False


class Accepted(msgspec.Struct, frozen=True, array_like=True, tag="accepted"):
    """The stream is open."""


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    body: bytes


class Failure(msgspec.Struct, frozen=True, array_like=True, tag="failure"):
    """A PaasdError: the nearest class of `paasd.errors`, its sentence, and its label or request id."""

    name: str
    detail: str
    extra: str = ""


class Data(msgspec.Struct, frozen=True, array_like=True, tag="data"):
    body: bytes


class Alive(msgspec.Struct, frozen=True, array_like=True, tag="alive"):
    """Nothing but a sign of life."""


class End(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """Nothing more comes from this side."""


Message = Hello | Welcome | Ask | Accepted | Answer | Failure | Data | Alive | End

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class Garbage(Exception):
    """What arrived is no frame of this protocol."""


def pack(message: Message) -> bytes:
    """A frame."""
    body = _encoder.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def unpack(body: bytes) -> Message:
    """The message of a frame without its length. Raises Garbage."""
    try:
        return _decoder.decode(body)
    except UNREADABLE as error:
        raise Garbage(str(error)) from error


def failure_of(error: PaasdError) -> Failure:
    """How an error travels."""
    if isinstance(error, PeerRefused):
        return Failure(type(error).__name__ if type(error).__name__ in _OWN else "PeerRefused", error.detail)
    for cls in type(error).__mro__:
        if cls.__module__ == errors.__name__:
            extra = error.label if isinstance(error, NotFound) else ""
            extra = error.request_id if isinstance(error, OutcomeUnknown) else extra
            return Failure(cls.__name__, error.detail, extra)
    raise TypeError(f"{error!r} is no PaasdError")


def error_of(failure: Failure) -> PaasdError:
    """The error that arrived; a class that this release does not know is a PaasdError."""
    if failure.name in _OWN:
        return _OWN[failure.name](failure.detail)
    if failure.name == "NotFound":
        return NotFound(failure.extra, failure.detail)
    if failure.name == "OutcomeUnknown":
        return OutcomeUnknown(failure.detail, failure.extra)
    cls = getattr(errors, failure.name, PaasdError)
    known = isinstance(cls, type) and issubclass(cls, PaasdError)
    return (cls if known else PaasdError)(failure.detail)
