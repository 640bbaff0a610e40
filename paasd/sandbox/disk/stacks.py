"""Stacks by name: what a container's root file system starts from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import trio

from paasd.config import DiskConfig
from paasd.errors import PaasdError, Unprocessable
from paasd.sandbox.disk import debian_stack, host_stack, skeleton
from paasd.sandbox.disk.debian_stack import Progress, StackManifest
from paasd.sandbox.disk.images import Images

# Buildpacks compare the stack's name with a list of their own, in which Cloud Foundry's names stand.
ALIASES = {"cflinuxfs4": "debian12"}
NAMES = ("host", "debian12")


class StackMissing(PaasdError):
    """The stack has a definition but was not built on this node yet."""


class StackRoot(msgspec.Struct, frozen=True):
    """Where containers of a stack start from.

    `lower` is the lowest layer of the overlay, owned by ids as seen inside. Each of `binds` (directory of the host,
    absolute target inside) is to be mounted read-only over the overlay. `digest` changes with the content.
    """

    name: str
    digest: str
    lower: Path
    binds: tuple[tuple[Path, str], ...] = ()


@asynccontextmanager
async def open_stacks(config: DiskConfig, *, directory: Path, run_dir: Path, images: Images) -> AsyncIterator["Stacks"]:
    """Stacks in `directory` (data). Leaving unmounts their images; running containers keep what they have."""
    for path in (directory, run_dir):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    stacks = Stacks(config, directory, images)
    try:
        yield stacks
    finally:
        with trio.CancelScope(shield=True):
            await stacks.release()


class Stacks:
    """Made by `open_stacks`."""

    def __init__(self, config: DiskConfig, directory: Path, images: Images) -> None:
        self._config = config
        self._directory = directory
        self._images = images
        self._lock = trio.Lock()
        self._prepared: dict[str, tuple[StackRoot, Path | None]] = {}

    def names(self) -> tuple[str, ...]:
        """Stacks that `prepare` can give now, aliases included."""
        ready = {"host"} | {name for name in NAMES if debian_stack.read_manifest(name, self._directory) is not None}
        return tuple(sorted(ready | {alias for alias, name in ALIASES.items() if name in ready}))

    async def prepare(self, name: str) -> StackRoot:
        """The root of a stack, made or mounted at the first call. Raises Unprocessable, StackMissing, ConfigError."""
        name = ALIASES.get(name, name)
        if name not in NAMES:
            raise Unprocessable(f"unknown stack {name!r}: this platform has {', '.join((*NAMES, *ALIASES))}")
        async with self._lock:
            if name not in self._prepared:
                self._prepared[name] = await (self._prepare_host() if name == "host" else self._prepare_image(name))
            return self._prepared[name][0]

    async def build(self, name: str, progress: Progress, *, small: bool = False, force: bool = False) -> StackManifest:
        """Build a stack, each line of progress given to the callback; the next `prepare` uses it.

        `small` leaves out compilers and headers. Raises Unprocessable, StackBuildFailed, ConfigError.
        """
        name = ALIASES.get(name, name)
        if name == "host":
            raise Unprocessable("the host stack needs no building: it shows the host's own /usr")
        if name not in NAMES:
            raise Unprocessable(f"unknown stack {name!r}: paasd stack build debian12")
        manifest = await debian_stack.build(
            name,
            self._directory,
            mirror=self._config.stack_mirror,
            small=small,
            force=force,
            timeout_s=self._config.stack_build_timeout_s,
            progress=progress,
        )
        async with self._lock:
            known = self._prepared.get(name)
            if known is not None and known[0].digest != manifest.sha256:
                await self._release(name)
        return manifest

    async def release(self) -> None:
        """Unmount the images of all prepared stacks."""
        async with self._lock:
            for name in list(self._prepared):
                await self._release(name)

    async def _release(self, name: str) -> None:
        _, image = self._prepared.pop(name)
        if image is not None:
            await self._images.release(image)

    async def _prepare_host(self) -> tuple[StackRoot, None]:
        digest = await trio.to_thread.run_sync(host_stack.digest)
        target = self._directory / f"host-{digest[:16]}"
        if not target.exists():
            await trio.to_thread.run_sync(partial(_make_host, target))
        return StackRoot("host", digest, target, host_stack.binds()), None

    async def _prepare_image(self, name: str) -> tuple[StackRoot, Path]:
        manifest = debian_stack.read_manifest(name, self._directory)
        if manifest is None:
            raise StackMissing(f"stack {name} is not built on this node: run `paasd stack build {name}`")
        image = self._directory / manifest.sha256
        if not image.exists():
            raise StackMissing(f"the image of stack {name} is gone: run `paasd stack build {name}`")
        lower = await self._images.mount(image, manifest.sha256)
        return StackRoot(name, manifest.sha256, lower), image


def _make_host(target: Path) -> None:
    """Make the skeleton beside its place and move it there, so that a crash leaves nothing half-made in use."""
    unfinished = target.with_name(target.name + ".new")
    skeleton.remove_tree(unfinished)
    host_stack.build_skeleton(unfinished)
    unfinished.rename(target)
    for old in target.parent.glob("host-*"):
        if old != target:
            skeleton.remove_tree(old)
