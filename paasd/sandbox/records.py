"""What is asked of the sandbox and what it answers. All frozen; sizes in bytes, times in seconds."""

from pathlib import Path
from typing import Literal

import msgspec

from paasd.errors import PaasdError
from paasd.sandbox.network import EgressRule, Policies

MIB = 1024 * 1024

Reason = Literal["exited", "signal", "out of memory", "killed", "lost", "lease ended"]


class SandboxError(PaasdError):
    """A container could not be made or started; the detail names the step and the kernel's answer."""


class NotRunning(SandboxError):
    """The container has no process that could do this."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one container, held by the kernel."""

    memory_bytes: int = 256 * MIB
    cpu_weight: int = 100
    """1..10000; 100 is one share. What counts only when the processor is contended."""
    cpu_cores: float | None = None
    """Hard ceiling in cores; None lets it use idle processors."""
    pids: int = 512
    disk_bytes: int = 1024 * MIB
    inodes: int = 200_000
    open_files: int = 16384


class Bind(msgspec.Struct, frozen=True, kw_only=True):
    """A directory or regular file of the host shown inside. Uids 0 and 2000 on disk are root and vcap inside."""

    source: Path
    target: str
    read_only: bool = True


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A container: what it may use and see. `labels` come back unchanged when it is re-adopted."""

    guid: str
    kind: Literal["app", "build", "task"] = "app"
    stack: str = "host"
    layers: tuple[Path, ...] = ()
    """Squashfs images whose root is "/", lowest first."""
    limits: Limits = Limits()
    egress: tuple[EgressRule, ...] = ()
    policies: Policies = Policies()
    """Shared rules that count beside `egress`, and change while it runs; see `Network.shared`."""
    hosts: dict[str, str] = {}
    """Names for /etc/hosts, each with its address."""
    binds: tuple[Bind, ...] = ()
    labels: dict[str, str] = {}


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The program of one run of a container.

    With a `deadline` (seconds of CLOCK_BOOTTIME) the run ends then, unless `Container.set_deadline` puts it off.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    cwd: str = "/home/vcap/app"
    spool_limit_bytes: int = 16 * MIB
    deadline: float | None = None


class Terminal(msgspec.Struct, frozen=True):
    """The size of a terminal, in characters and in pixels."""

    columns: int = 80
    rows: int = 24
    width: int = 0
    height: int = 0


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. `code` after "exited"; `signal` when a signal ended it.

    out of memory: the kernel's counter of this container rose and the app died of SIGKILL. killed: `kill` was called.
    lost: the shim died, so that nobody could see the status; nothing of the container runs any more.
    lease ended: nobody put its deadline off in time.
    """

    code: int | None
    signal: int | None
    reason: Reason
    at: float


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a container has used (cpu_ns) or uses now. Memory leaves out page cache that can be dropped at once."""

    cpu_ns: int
    memory_bytes: int
    disk_bytes: int
    pids: int


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """state.json of a container: what a new daemon needs to take it over, or to take it down."""

    spec: ContainerSpec
    boot: str
    slot: int
    complete: bool = False
    """Everything of it has been made, and nothing has been taken down yet."""
    layers: tuple[Path, ...] = ()
    run: int = 0


def encode_record(record: Record) -> bytes:
    return msgspec.json.encode(record, enc_hook=str)


def decode_record(content: bytes | None) -> Record | None:
    """None when it is missing or not a record of this version: such a container cannot be taken over."""
    try:
        return msgspec.json.decode(content or b"", type=Record, dec_hook=lambda kind, text: kind(text))
    except msgspec.DecodeError:
        return None
