"""What doors and nodes with instances say to each other about one program. Released fields stay in their place."""

import msgspec

from paasd.errors import BadRequest
from paasd.packing import UNREADABLE


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody came to the port of a worker, from this address; their bytes follow."""

    address: str


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run in which instance: a shell, a command, sftp, or a connection to `host` and `port`."""

    instance_guid: str
    epoch: int
    kind: str
    command: str | None = None
    terminal: tuple[int, int, int, int] | None = None
    env: dict[str, str] = {}
    host: str = ""
    port: int = 0


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended: `code`, or the name of a signal. `reason` is for the person; `gone` with the instance."""

    code: int | None = None
    signal: str = ""
    reason: str = ""
    gone: bool = False


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """It runs; with so many descriptors."""

    ends: int


class Bytes(msgspec.Struct, frozen=True, tag="bytes"):
    """Of the descriptor with this number: 0 is what goes in where there are three, and both ways where there is one."""

    end: int
    data: bytes


class Over(msgspec.Struct, frozen=True, tag="over"):
    """No more of this one will come."""

    end: int


class Resize(msgspec.Struct, frozen=True, tag="resize"):
    """Of the terminal."""

    size: tuple[int, int, int, int]


class Signal(msgspec.Struct, frozen=True, tag="signal"):
    """By name."""

    name: str


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The last word, after all bytes."""

    end: End


Message = Opened | Bytes | Over | Resize | Signal | Ended
encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Message).decode


def decode(raw: bytes) -> Message:
    """Raises BadRequest."""
    try:
        message: Message = _decode(raw)
    except UNREADABLE as error:
        raise BadRequest(f"the other node is not understood: {error}") from error
    return message
