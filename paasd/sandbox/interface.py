"""What the rest of a node asks of a sandbox, whichever kind it is: the kernel's, or a nest of plain processes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from paasd.sandbox.disk.stacks import StackRoot
from paasd.sandbox.network import Network, Policies
from paasd.sandbox.records import ContainerSpec, Exit, ProcessSpec, Terminal, Usage
from paasd.sandbox.session import Session


class AnyExec(Protocol):
    """A program that was started beside the container's own; see `Exec`."""

    def wait(self) -> Awaitable[int]: ...

    def signal(self, signum: int) -> Awaitable[None]: ...

    def close(self) -> None: ...


class AnyContainer(Protocol):
    """A place for one program at a time; `Container` says what each verb does and raises."""

    @property
    def guid(self) -> str: ...

    @property
    def spec(self) -> ContainerSpec: ...

    @property
    def address(self) -> str: ...

    @property
    def port(self) -> int:
        """Where its program is to listen, at `address`."""

    @property
    def root(self) -> str:
        """What precedes a path of the container, such as /home/vcap, in the eyes of its programs: "" or a path."""

    @property
    def spool(self) -> Path: ...

    @property
    def running(self) -> bool: ...

    @property
    def has_run(self) -> bool:
        """Whether a program was ever started in it."""

    @property
    def oom_kills(self) -> int: ...

    @property
    def forks_refused(self) -> int: ...

    def start(self, process: ProcessSpec, layers: tuple[Path, ...] | None = None) -> Awaitable[None]: ...

    def wait(self) -> Awaitable[Exit]: ...

    def signal(self, signum: int) -> None: ...

    def set_deadline(self, deadline: float | None) -> Awaitable[None]:
        """Let the run end at this time of CLOCK_BOOTTIME; None lets it run. Raises NotRunning."""
        ...

    def kill(self) -> Awaitable[None]: ...

    def exec(
        self, argv: Sequence[str], env: dict[str, str], cwd: str, fds: tuple[int, int, int] | None = None
    ) -> Awaitable[AnyExec]: ...

    def open_session(
        self, argv: Sequence[str], env: dict[str, str], cwd: str | None, terminal: Terminal | None
    ) -> Awaitable[Session]: ...

    def connect(self, host: str, port: int, *, datagrams: bool = False) -> Awaitable[int]: ...

    def usage(self) -> Usage: ...

    def open_output(self, relative: str, limit_bytes: int) -> int: ...

    def destroy(self) -> Awaitable[None]: ...


class AnyStacks(Protocol):
    """What containers start from."""

    def names(self) -> tuple[str, ...]: ...

    def prepare(self, name: str) -> Awaitable[StackRoot]: ...


class AnySandbox(Protocol):
    """Makes containers and removes them."""

    prepared: Callable[[Policies], AbstractAsyncContextManager[object]]
    on_removed: Callable[[], None]

    @property
    def containers(self) -> Mapping[str, AnyContainer]: ...

    @property
    def prefix(self) -> str: ...

    @property
    def holder_files(self) -> tuple[Path, ...]: ...

    @property
    def network(self) -> Network | None:
        """None where containers have the host's own network, and names are resolved as on the host."""

    @property
    def stacks(self) -> AnyStacks: ...

    def create(self, spec: ContainerSpec) -> Awaitable[AnyContainer]: ...

    def destroy(self, guid: str) -> Awaitable[None]: ...
