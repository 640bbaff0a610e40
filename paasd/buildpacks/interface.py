"""What a buildpack sees and does; built-in modules and third-party programs stand behind the same five verbs."""

import os
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .catalogue import ROOT, Catalogue, Toolchain
from .failure import StagingFailure

_TAIL_LINES = 400
_LINE_BYTES = 16 * 1024
_LINGER_S = 0.5


@dataclass(frozen=True)
class Layout:
    """Where things are while staging; the defaults are also where the app finds them when it runs."""

    home: Path = Path("/home/vcap")
    temporary: Path = Path("/tmp")
    toolchains: Path = Path(ROOT)
    # What images leave out of their files' names: not "/" where there is no file system of the build's own.
    root: Path = Path("/")

    @property
    def app(self) -> Path:
        return self.home / "app"

    @property
    def deps(self) -> Path:
        return self.home / "deps"

    @property
    def profile_d(self) -> Path:
        return self.home / "profile.d"

    @property
    def staging(self) -> Path:
        return self.home / "staging"

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def buildpacks(self) -> Path:
        return self.temporary / "buildpacks"


@dataclass(frozen=True)
class Project:
    """What detection and planning may look at."""

    layout: Layout
    env: Mapping[str, str]
    catalogue: Catalogue
    stack: str
    python_version: str
    arch: str = "x86_64"
    today: str = ""
    fingerprint: str = ""
    index: str = "0"
    # Keys of the layers that are mounted already, found by what was planned before.
    granted: frozenset[str] = frozenset()

    @property
    def app(self) -> Path:
        return self.layout.app

    def root_of(self, tool: Toolchain) -> str:
        """Directory of a toolchain inside the container."""
        return f"{self.layout.toolchains}/{tool.identity}"

    def has(self, *names: str) -> str | None:
        """The first of `names` that is a file at the app root."""
        return next((name for name in names if (self.app / name).is_file()), None)

    def read(self, name: str, *, limit_bytes: int = 16 * 1024 * 1024) -> str:
        """Text of a file of the app. Raises StagingFailure when it is too large, not text or not below the app root."""
        path = self.app / name
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.app)):
            raise StagingFailure("detect", f"{name} is a link that leads outside the app", "push the file itself")
        with path.open("rb") as file:
            raw = file.read(limit_bytes + 1)
        if len(raw) > limit_bytes:
            raise StagingFailure("detect", f"{name} is larger than {limit_bytes // 1024**2} MB")
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise StagingFailure("detect", f"{name} is not UTF-8 text ({error.reason})", "save it as UTF-8") from error


@dataclass(frozen=True)
class Layer:
    """A dependency layer: directories that depend on `key` only, kept and mounted again instead of being rebuilt.

    `paths` are absolute inside the container. With `tree`, the same paths stand below that directory instead, because
    what lies at their place changes later in the build. A layer that is not for `launch` is used by later builds only.
    """

    key: str
    paths: tuple[str, ...]
    launch: bool = True
    tree: str = ""


@dataclass(frozen=True)
class Plan:
    """What a buildpack wants before it builds."""

    toolchains: tuple[Toolchain, ...] = ()
    launch_toolchains: tuple[Toolchain, ...] = ()
    layers: tuple[Layer, ...] = ()
    version: str = ""
    # Draws in what nothing pins, so the outcome is as good as the day it was made.
    moving: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Step:
    """What a buildpack works with while it builds."""

    project: Project
    plan: Plan
    env: dict[str, str]
    built: list[Layer] = field(default_factory=list)

    @property
    def app(self) -> Path:
        return self.project.app

    @property
    def granted(self) -> frozenset[str]:
        return self.project.granted

    @property
    def deps_dir(self) -> Path:
        return self.project.layout.deps / self.project.index

    @property
    def package_cache(self) -> Path:
        return self.project.layout.cache / "packages"

    def log(self, text: str, indent: int = 7) -> None:
        """A line of the staging log; the arrow style is what developers know."""
        print(" " * indent + text, flush=True)

    def title(self, text: str) -> None:
        print(f"-----> {text}", flush=True)

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        quiet: bool = False,
    ) -> tuple[int, list[str]]:
        """Run a program, its output going to the log line by line; gives the exit code and the last lines."""
        merged = {**self.env, **(env or {})}
        return run_logged(argv, env=merged, cwd=cwd or self.app, quiet=quiet)


class Buildpack(Protocol):
    """The verbs of Cloud Foundry's interface, and `plan`, which says what will be needed."""

    @property
    def name(self) -> str: ...

    def detect(self, project: Project) -> str | None:
        """The name to show when this buildpack knows the app; None when it does not."""

    def plan(self, project: Project) -> Plan: ...

    def supply(self, step: Step) -> None: ...

    def finalize(self, step: Step) -> None: ...


def run_logged(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, quiet: bool = False, indent: str = "       "
) -> tuple[int, list[str]]:
    """Run with stdin closed, both streams to our stdout, indented; remembers the last lines for the error text."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    try:
        process = subprocess.Popen(
            list(argv),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        return 127, [f"{argv[0]}: {error.strerror}"]
    for batch in _lines(process):
        lines = [raw.decode("utf-8", "replace").rstrip("\r\n") for raw in batch]
        tail.extend(lines)
        if not quiet:
            sys.stdout.write("".join(f"{indent}{line}\n" if line else "\n" for line in lines))
            sys.stdout.flush()
    return process.wait(), list(tail)


def _lines(process: subprocess.Popen[bytes]) -> Iterator[list[bytes]]:
    """Lines of output, all that came at once together, so that a program may print much and is not slowed down.

    Until the program has ended: what it left running may hold the pipe open for ever.
    """
    assert process.stdout is not None
    rest = b""
    ended_at: float | None = None
    with process.stdout as stream:
        pidfd = os.pidfd_open(process.pid)
        try:
            while ended_at is None or time.monotonic() < ended_at + _LINGER_S:
                watched = [stream.fileno(), *([pidfd] if ended_at is None else [])]
                ready, _, _ = select.select(watched, [], [], _LINGER_S)
                if pidfd in ready:
                    ended_at = time.monotonic()
                if stream.fileno() in ready:
                    chunk = os.read(stream.fileno(), 65536)
                    if not chunk:
                        break
                    *lines, rest = (rest + chunk).split(b"\n")
                    if len(rest) > _LINE_BYTES:
                        lines.append(rest)
                        rest = b""
                    yield lines
                elif ended_at is not None:
                    break
        finally:
            os.close(pidfd)
    if rest:
        yield [rest]
