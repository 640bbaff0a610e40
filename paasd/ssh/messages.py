"""What the daemon and the process that speaks ssh say to each other: one message a packet, descriptors beside it.

The process is taken for an enemy, since strangers talk to it: whatever it asks is checked as if it came from them. A
session is what a used code has opened; nothing is given without one.
"""

from typing import Final

import msgspec

PACKET_LIMIT_BYTES: Final = 96 * 1024
COMMAND_LIMIT_BYTES: Final = 64 * 1024


class Settings(msgspec.Struct, frozen=True, tag=True):
    """The first word of the daemon: all that the process has to know."""

    host_keys: list[bytes]
    uid: int
    sign_in_s: float
    unknown_connections: int
    unknown_connections_per_address: int
    channels_per_session: int
    idle_s: float
    keepalive_s: float
    window_bytes: int
    process_idle_s: float
    memory_limit_bytes: int
    filter: bytes


class HostKeys(msgspec.Struct, frozen=True, tag=True):
    """From now on these: the first one is shown, all are announced to those who are in."""

    host_keys: list[bytes]


class Arrived(msgspec.Struct, frozen=True, tag=True):
    """Somebody came by a worker; their connection comes along."""

    address: str


class SignIn(msgspec.Struct, frozen=True, tag=True):
    """Somebody shows a code."""

    id: int
    target: str
    code: str
    address: str


class Admit(msgspec.Struct, frozen=True, tag=True):
    """They are in."""

    id: int
    session: str


class Refuse(msgspec.Struct, frozen=True, tag=True):
    """To a SignIn, Start or Connect: no, and why."""

    id: int
    reason: str


class Start(msgspec.Struct, frozen=True, tag=True):
    """Run something in the instance: a shell (no command), a command, or the server of sftp.

    `terminal` is columns, rows, width and height in pixels.
    """

    id: int
    session: str
    kind: str
    command: str | None = None
    terminal: tuple[int, int, int, int] | None = None
    env: dict[str, str] = {}


class Connect(msgspec.Struct, frozen=True, tag=True):
    """Connect to a port as the instance would."""

    id: int
    session: str
    host: str
    port: int


class Opened(msgspec.Struct, frozen=True, tag=True):
    """To a Start or Connect: `id` names the channel from now on. Descriptors come along: one that goes both ways (a
    terminal, a socket), or three that are the far ends of 0, 1 and 2.
    """

    id: int


class Resize(msgspec.Struct, frozen=True, tag=True):
    """The client's window has another size."""

    id: int
    terminal: tuple[int, int, int, int]


class Signal(msgspec.Struct, frozen=True, tag=True):
    """The client sends a signal, by its name without SIG."""

    id: int
    name: str


class Shut(msgspec.Struct, frozen=True, tag=True):
    """The client has closed a channel."""

    id: int


class Ended(msgspec.Struct, frozen=True, tag=True):
    """A program has ended: with this exit code, or by this signal. What it wrote may still be on its way."""

    id: int
    code: int | None = None
    signal: str = ""
    reason: str = ""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """A client has gone."""

    session: str


class Expel(msgspec.Struct, frozen=True, tag=True):
    """The client of a session has to go, and is told why."""

    session: str
    reason: str


Asked = SignIn | Start | Connect | Resize | Signal | Shut | Leave
Told = Settings | HostKeys | Arrived | Admit | Refuse | Opened | Ended | Expel

encode = msgspec.msgpack.encode
decode_asked = msgspec.msgpack.Decoder(Asked).decode
decode_told = msgspec.msgpack.Decoder(Told).decode
