"""Toolchains as layers of this node: fetched by the registries' ordinary clients, checked, squashed, kept."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import trio

from paasd.blobs import Blobs
from paasd.buildpacks.catalogue import ROOT, Catalogue, Toolchain
from paasd.errors import NotFound, Unavailable
from paasd.packing import UNREADABLE
from paasd.programs import ProgramMissing, in_full, system_environment
from paasd.sandbox import mksquashfs_arguments
from paasd.stager import layouts

_FETCH_TIMEOUT_S = 600.0
_IMAGE_LIMIT_BYTES = 4 * 1024**3
# Raise it when the same download would now be laid out differently.
_FORMAT = "1"


class ToolchainMissing(Unavailable):
    """A toolchain could not be fetched or is not what it was; the detail says which and why."""


class Image(msgspec.Struct, frozen=True):
    """A toolchain as a layer."""

    key: str
    sha256: str
    size_bytes: int


class Toolchains:
    """The toolchains of one node, below `directory`; blobs hold the images.

    `registered` finds the image of a key that some node has made before: it is fetched from there.
    """

    def __init__(
        self, directory: Path, blobs: Blobs, catalogue: Catalogue, registered: Callable[[str], Image | None]
    ) -> None:
        self._directory = directory
        self._blobs = blobs
        self.catalogue = catalogue
        self._registered = registered
        self._locks: dict[str, trio.Lock] = {}
        # What a former daemon was fetching when it ended.
        shutil.rmtree(directory / "work", ignore_errors=True)
        self.arch = platform.machine()

    async def ensure(self, tool: Toolchain, say: Callable[[str], None]) -> Image:
        """The image of a toolchain, made now when there is none. Raises ToolchainMissing."""
        key = f"toolchain/{tool.identity}-{self.arch}-{_fingerprint(tool)}"
        async with self._locks.setdefault(key, trio.Lock()):
            found = await self._known(key)
            if found is not None:
                return found
            say(f"-----> Fetching toolchain {tool.name} {tool.version} (once for this node)")
            started = trio.current_time()
            await trio.to_thread.run_sync(self._prepare)
            work = Path(tempfile.mkdtemp(dir=self._directory / "work"))
            try:
                image = await self._make(tool, key, work, say)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(shutil.rmtree, work, True)
            say(f"       {tool.identity}: {image.size_bytes // 1024**2} MB in {trio.current_time() - started:.1f} s")
            return image

    def images(self) -> list[str]:
        """The blobs of all toolchains fetched so far."""
        found = []
        for record in self._directory.glob("*.json"):
            try:
                found.append(msgspec.json.decode(record.read_bytes(), type=Image).sha256)
            except (OSError, *UNREADABLE):
                continue
        return found

    def _prepare(self) -> None:
        (self._directory / "work").mkdir(mode=0o700, parents=True, exist_ok=True)

    async def _known(self, key: str) -> Image | None:
        """The image if it is here or on another node; one that nobody has any more is made anew."""
        try:
            found = msgspec.json.decode(self._record(key).read_bytes(), type=Image)
        except (OSError, *UNREADABLE):
            found = None
        if found is not None and self._blobs.has(found.sha256):
            return found
        for image in (found, self._registered(key)):
            if image is None:
                continue
            try:
                await self._blobs.ensure(image.sha256)
            except (NotFound, Unavailable):
                continue
            await trio.to_thread.run_sync(self._remember, image)
            return image
        return None

    def _remember(self, image: Image) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_atomically(self._record(image.key), msgspec.json.encode(image))

    def _record(self, key: str) -> Path:
        return self._directory / (key.replace("/", "_") + ".json")

    async def _make(self, tool: Toolchain, key: str, work: Path, say: Callable[[str], None]) -> Image:
        downloads = work / "downloads"
        downloads.mkdir()
        await self._fetch(tool, downloads, work, say)
        files = sorted(downloads.iterdir())
        await trio.to_thread.run_sync(self._check_digests, tool, files)
        tree = work / "root" / ROOT.strip("/") / tool.identity
        try:
            await trio.to_thread.run_sync(layouts.lay_out, tool, files, tree)
        except (OSError, ValueError, KeyError) as error:
            raise ToolchainMissing(
                f"toolchain {tool.identity}: the download has an unexpected form: {error}"
            ) from error
        command = mksquashfs_arguments(str(work / "root"), str(work / "image"), keep_times=False)
        await _run(command, work, f"squash {tool.identity}")
        fd = os.open(work / "image", os.O_RDONLY | os.O_CLOEXEC)
        try:
            blob = await self._blobs.adopt_fd(fd, _IMAGE_LIMIT_BYTES)
        finally:
            os.close(fd)
        image = Image(key, blob.sha256, blob.size_bytes)
        await trio.to_thread.run_sync(self._remember, image)
        return image

    async def _fetch(self, tool: Toolchain, downloads: Path, work: Path, say: Callable[[str], None]) -> None:
        what = f"fetch toolchain {tool.identity}"
        if tool.kind == "pypi":
            base = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            await _run([*base, "--dest", str(downloads), f"{tool.package}=={tool.version}"], work, what)
        elif tool.kind == "npm":
            await self._npm_pack(tool, downloads, work, say)
        elif tool.kind == "deb":
            await self._apt_download(tool, downloads, what)
        elif tool.kind == "file":
            await trio.to_thread.run_sync(shutil.copy, tool.source, downloads)
        else:
            raise ToolchainMissing(f"toolchain {tool.identity} of kind {tool.kind} cannot be fetched")

    async def _npm_pack(self, tool: Toolchain, downloads: Path, work: Path, say: Callable[[str], None]) -> None:
        """npm comes with the Node.js toolchain, so a node needs no npm of its own."""
        node = self.catalogue.pick("node", None, style="npm")
        if node is None:
            raise ToolchainMissing(f"toolchain {tool.identity} needs Node.js, which the catalogue lacks")
        image = await self.ensure(node, say)
        tree = work / "node"
        await _run(
            ["unsquashfs", "-q", "-n", "-d", str(tree), str(self._blobs.path(image.sha256))], work, "open Node.js"
        )
        root = tree / ROOT.strip("/") / node.identity
        npm = [str(root / "bin" / "node"), str(root / "lib/node_modules/npm/bin/npm-cli.js")]
        spec = f"{tool.package}@{tool.version}"
        arguments = ["pack", spec, "--pack-destination", str(downloads), "--ignore-scripts", "--loglevel", "error"]
        await _run([*npm, *arguments], work, f"fetch toolchain {tool.identity}")

    async def _apt_download(self, tool: Toolchain, downloads: Path, what: str) -> None:
        # apt fetches as its own user when it may write there.
        await trio.to_thread.run_sync(downloads.parent.parent.chmod, 0o711)
        command = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *tool.packages]
        try:
            await _run(command, downloads, what)
        except ToolchainMissing:
            await _run(["apt-get", "update", "-q"], downloads, "read the lists of Debian packages")
            await _run(command, downloads, what)

    def _check_digests(self, tool: Toolchain, files: Iterable[Path]) -> None:
        """Against the catalogue; without a digest there, against what the same file was the first time."""
        book = self._directory / "digests.json"
        known: dict[str, str] = json.loads(book.read_text()) if book.exists() else {}
        expected = tool.sha256.get(self.arch)
        for file in files:
            with file.open("rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
            wanted = expected if expected and tool.kind != "deb" else known.get(file.name)
            if wanted is not None and found != wanted:
                raise ToolchainMissing(
                    f"toolchain {tool.identity}: {file.name} has the digest {found}, not {wanted}; "
                    "if its publisher replaced it on purpose, put the new digest into [[staging.toolchains]]"
                )
            known[file.name] = found
        _write_atomically(book, json.dumps(known, indent=1, sort_keys=True).encode())


def _fingerprint(tool: Toolchain) -> str:
    content = json.dumps([_FORMAT, tool.kind, tool.package, tool.packages, tool.source, dict(tool.sha256), tool.layout])
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _write_atomically(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


async def _run(command: Sequence[str], cwd: Path, what: str) -> None:
    """A client of a registry, or what opens and packs. Raises ToolchainMissing with its last words."""
    with trio.move_on_after(_FETCH_TIMEOUT_S) as scope:
        try:
            done = await trio.run_process(
                in_full(command),
                cwd=cwd,
                env=system_environment(),
                stdin=subprocess.DEVNULL,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        except ProgramMissing as error:
            raise ToolchainMissing(f"cannot {what}: {error.detail}") from error
        except OSError as error:
            raise ToolchainMissing(f"cannot {what}: {command[0]}: {error.strerror}") from error
        if done.returncode:
            lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
            said = next(
                (line for line in reversed(lines) if "ERROR" in line or line.startswith("E:")),
                lines[-1] if lines else "",
            )
            raise ToolchainMissing(
                f"cannot {what}: {said.strip()[:300] or f'{command[0]} exited with {done.returncode}'}"
            )
    if scope.cancelled_caught:
        raise ToolchainMissing(f"cannot {what}: no answer within {_FETCH_TIMEOUT_S:g} s")
