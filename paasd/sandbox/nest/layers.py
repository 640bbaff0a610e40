"""Layer images without mounts: unpacked once, then copied into each container that has them.

What was staged in one directory runs in another, so the paths that a build wrote into its files (interpreters of
scripts, links between programs) are turned into those of the container on the way. All containers of a cluster lie
below one directory, which makes such paths easy to tell.
"""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import trio

from paasd.programs import ProgramMissing, in_full
from paasd.sandbox.records import SandboxError

_TOOLCHAINS = "opt/toolchains"
_TEXT_LIMIT_BYTES = 4 * 1024 * 1024


class Layers:
    """The unpacked images of all nodes that lie below `family`; nodes of one process share it."""

    def __init__(self, family: Path) -> None:
        self.family = family
        self._directory = family / "layers"
        self._locks: dict[str, trio.Lock] = {}
        self._rewritten: dict[str, frozenset[str]] = {}
        # DATA/nest/CONTAINER/root below the family: what one container says of itself.
        place = re.escape(os.fsencode(family)) + rb"/[^/\s:;\"']+/nest/[\w.-]+/root(?=/)"
        self._place = re.compile(place)

    async def put(self, image: Path, root: Path) -> None:
        """Show the image's content below `root`, where what is there already stays as it is. Raises SandboxError."""
        async with self._locks.setdefault(image.name, trio.Lock()):
            if image.name not in self._rewritten:
                await trio.to_thread.run_sync(self._unpack, image)
        await trio.to_thread.run_sync(self._copy, image.name, root)

    def _unpack(self, image: Path) -> None:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        target = self._directory / image.name
        if not target.exists():
            part = target.with_suffix(".new")
            try:
                command = in_full(
                    ["unsquashfs", "-no-progress", "-quiet", "-no-xattrs", "-dest", str(part), str(image)]
                )
            except ProgramMissing as error:
                raise SandboxError(error.detail) from error
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode:
                said = (done.stderr or done.stdout).strip().splitlines()
                raise SandboxError(f"layer {image.name[:12]} cannot be unpacked: {said[-1] if said else 'no reason'}")
            part.rename(target)
        self._rewritten[image.name] = frozenset(self._to_rewrite(target))

    def _to_rewrite(self, tree: Path) -> Iterator[str]:
        """Files that name a container's directory; programs and archives are left alone, they hold lengths."""
        for folder, _, names in os.walk(tree):
            for name in names:
                path = Path(folder, name)
                status = path.lstat()
                if not stat.S_ISREG(status.st_mode) or status.st_size > _TEXT_LIMIT_BYTES:
                    continue
                content = path.read_bytes()
                if b"\0" not in content[:1024] and self._place.search(content):
                    yield str(path.relative_to(tree))

    def _copy(self, name: str, root: Path) -> None:
        tree, rewritten = self._directory / name, self._rewritten[name]
        toolchains = tree / _TOOLCHAINS
        if toolchains.is_dir():
            (root / _TOOLCHAINS).mkdir(parents=True, exist_ok=True)
            for tool in toolchains.iterdir():
                if not os.path.lexists(link := root / _TOOLCHAINS / tool.name):
                    link.symlink_to(tool)  # Large, and nothing writes there.
        for folder, folders, names in os.walk(tree):
            relative = Path(folder).relative_to(tree)
            if str(relative) == _TOOLCHAINS:
                folders.clear()
                continue
            target = root / relative
            target.mkdir(mode=0o755, exist_ok=True)
            links = [entry for entry in folders if Path(folder, entry).is_symlink()]
            for entry in (*names, *links):
                if not os.path.lexists(target / entry):
                    self._copy_one(Path(folder, entry), target / entry, root, str(relative / entry) in rewritten)

    def _copy_one(self, source: Path, target: Path, root: Path, rewrite: bool) -> None:
        own = os.fsencode(root)
        status = source.lstat()
        if stat.S_ISLNK(status.st_mode):
            target.symlink_to(os.fsdecode(self._place.sub(lambda _: own, os.fsencode(source.readlink()))))
            return
        if not stat.S_ISREG(status.st_mode):
            return
        if rewrite:
            target.write_bytes(self._place.sub(lambda _: own, source.read_bytes()))
        else:
            shutil.copyfile(source, target)
        target.chmod(stat.S_IMODE(status.st_mode) | stat.S_IRUSR | stat.S_IWUSR)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
