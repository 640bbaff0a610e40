"""What is known of a node before any part of it is open; every function of the composition takes it."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paasd.actions.audit_heads import HeadKeeper
from paasd.chained_file import ChainedFile
from paasd.config import Config
from paasd.membership import Book, MemberFiles
from paasd.observed import Observed
from paasd.sandbox import AnySandbox
from paasd.state import Log, Runner

Enter = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Substitutes:
    """What an embedded node has in place of what only a machine of its own can give; see `paasd.testing`."""

    open_sandbox: Callable[[Path], AbstractAsyncContextManager[AnySandbox]] | None = None
    """Given the data directory."""
    log: Log | None = None
    sync: bool = True
    """Whether the database is safe from a loss of power."""
    runtime: Path | None = None
    """Where Envoy's sockets are; a short path."""
    source: str | None = None
    """The address from which it connects to other nodes; None leaves that to the kernel."""
    runner: Runner | None = None
    """Where the database's calls to its disk are made; None takes a thread."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """The configuration, the directory, the clock (unix seconds), and who this node was before."""

    config: Config
    directory: Path
    guid: str
    clock: Callable[[], float]
    outlive: bool
    substitutes: Substitutes
    enter: Enter
    files: MemberFiles
    book: Book
    refusals: ChainedFile
    heads: HeadKeeper
    observed: Observed = field(default_factory=Observed)

    @property
    def run(self) -> Path:
        """For sockets and what does not outlive a boot."""
        return self.directory / "run"

    @property
    def is_worker(self) -> bool:
        """Whether this node only runs tenants, without keys."""
        return self.files.exists and self.files.read().role == "worker"

    @property
    def is_member(self) -> bool:
        """Whether this node belonged to a cluster when it started."""
        return self.files.exists
