"""Build the debian12 stack: mmdebstrap into a directory, then one squashfs named by its sha256."""

import hashlib
import os
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from paasd.errors import ConfigError, PaasdError
from paasd.programs import ProgramMissing, find_program, in_full, system_environment
from paasd.sandbox.disk import skeleton

Progress = Callable[[str], None]
# No manuals, translations and documentation: a third of the size; licences stay.
_LEAN = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)
_URI = re.compile(r"https?://[^\s\]]+")
_KILLED_LIMIT_S = 10.0
_DEFAULT_MIRROR = "http://deb.debian.org/debian"
_DEFAULT_SECURITY = "http://deb.debian.org/debian-security"


class StackBuildFailed(PaasdError):
    """A stack could not be built; the detail ends with what the tool said."""


class StackDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file such as debian12.toml beside this module."""

    suite: str
    security_suite: str
    keyring: str
    base: tuple[str, ...]
    full: tuple[str, ...]

    def packages(self, *, small: bool) -> tuple[str, ...]:
        return self.base if small else (*self.base, *self.full)


class StackManifest(msgspec.Struct, frozen=True):
    """What was built: `sha256` names the image; `inputs` tells whether a build of today would differ."""

    version: int
    name: str
    sha256: str
    size_bytes: int
    inputs: str
    small: bool


def load_definition(name: str) -> StackDefinition:
    raw = tomllib.loads((Path(__file__).parent / f"{name}.toml").read_text())
    return msgspec.convert(raw, StackDefinition)


def inputs_of(definition: StackDefinition, *, small: bool) -> str:
    """Hash over what decides the content. A new point release of Debian does not show here: build with `force`."""
    parts = (definition.suite, definition.packages(small=small), _LEAN, skeleton.ETC)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def sources(definition: StackDefinition, mirror: str, apt: Path = Path("/etc/apt")) -> str:
    """sources.list of the stack: the configured mirror, or those from which the host itself installs."""
    uris = [mirror] if mirror else _host_uris(apt)
    main = next((uri for uri in uris if "security" not in uri), _DEFAULT_MIRROR)
    security = next((uri for uri in uris if "security" in uri), _DEFAULT_SECURITY if not mirror else None)
    lines = [f"deb {main} {definition.suite} main", f"deb {main} {definition.suite}-updates main"]
    if security is not None:
        lines.append(f"deb {security} {definition.security_suite} main")
    return "\n".join(lines) + "\n"


def _host_uris(apt: Path) -> list[str]:
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]
    files += sorted((apt / "sources.list.d").glob("*.sources"))
    found = []
    for file in files:
        if file.exists():
            lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
            found += [uri.rstrip("/") for line in lines for uri in _URI.findall(line) if "debian" in uri]
    return found


async def build(
    name: str, directory: Path, *, mirror: str, small: bool, force: bool, timeout_s: float, progress: Progress
) -> StackManifest:
    """Build stack `name` into `directory` unless the same inputs were built already (`force` builds all the same).

    Takes one to two minutes and 2 GB of space for the time of the build. Raises StackBuildFailed, ConfigError.
    """
    definition = load_definition(name)
    inputs = inputs_of(definition, small=small)
    known = read_manifest(name, directory)
    if known is not None and known.inputs == inputs and not force and (directory / known.sha256).exists():
        progress(f"stack {name} is up to date ({known.size_bytes // 1_000_000} MB, {known.sha256[:12]})")
        return known
    work = await trio.to_thread.run_sync(_make_work, definition, directory, sources(definition, mirror))
    try:
        with trio.fail_after(timeout_s):
            progress(f"installing {len(definition.packages(small=small))} packages and what they need")
            await _run(_bootstrap_command(definition, work, small=small), progress)
            progress("packing the image")
            await trio.to_thread.run_sync(_finish_root, work / "root")
            await _run(_pack_command(work), progress)
        return await trio.to_thread.run_sync(_store, name, directory, work / "image", inputs, small)
    except trio.TooSlowError as error:
        raise StackBuildFailed(
            f"building {name} took more than {timeout_s:.0f} s; is the mirror slow? See [disk] stack_mirror"
        ) from error
    except ProgramMissing as error:
        raise StackBuildFailed(str(error)) from error
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(skeleton.remove_tree, work)


def read_manifest(name: str, directory: Path) -> StackManifest | None:
    try:
        return msgspec.json.decode((directory / f"{name}.json").read_bytes(), type=StackManifest)
    except FileNotFoundError:
        return None


def _make_work(definition: StackDefinition, directory: Path, sources_list: str) -> Path:
    if not Path(definition.keyring).exists():
        raise ConfigError(f"{definition.keyring} is missing: apt-get install debian-archive-keyring")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    work = Path(tempfile.mkdtemp(prefix="build-", dir=directory))
    (work / "sources.list").write_text(sources_list)
    work.chmod(0o755)
    return work


def _bootstrap_command(definition: StackDefinition, work: Path, *, small: bool) -> list[str]:
    # A mount namespace of its own: what the package scripts mount is gone when they are killed.
    command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
    command += [find_program("mmdebstrap"), "--mode=root", "--variant=minbase", f"--keyring={definition.keyring}"]
    command += [f"--include={','.join(definition.packages(small=small))}", '--aptopt=APT::Install-Recommends "false"']
    command += [f"--dpkgopt={option}" for option in _LEAN]
    return [*command, "--format=directory", definition.suite, str(work / "root"), str(work / "sources.list")]


def _pack_command(work: Path) -> list[str]:
    # Unlike layers it keeps owners and times: packages have files of several system users, and .pyc files by time.
    command = ["mksquashfs", str(work / "root"), str(work / "image"), "-noappend", "-no-progress", "-quiet"]
    return [*command, "-comp", "zstd", "-Xcompression-level", "9", "-no-xattrs", "-mkfs-time", "0"]


def _finish_root(root: Path) -> None:
    """What paasd adds to the packages, and what they leave behind that only wastes space."""
    for name in ("var/cache/apt/archives", "var/lib/apt/lists", "var/log"):
        skeleton.remove_tree(root / name)
        (root / name).mkdir(parents=True)
    for directory in (root / "dev", root / "proc", root / "sys", root / "run"):
        skeleton.remove_tree(directory)
    skeleton.make_directories(root)
    skeleton.write_etc(root, replace_accounts=False)
    for file, entry in (
        ("passwd", skeleton.VCAP_PASSWD),
        ("group", skeleton.VCAP_GROUP),
        ("shadow", skeleton.VCAP_SHADOW),
    ):
        path = root / "etc" / file
        kept = [line for line in path.read_text().splitlines() if not line.startswith("vcap:")]
        path.write_text("\n".join([*kept, entry]) + "\n")


def _store(name: str, directory: Path, image: Path, inputs: str, small: bool) -> StackManifest:
    with image.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    manifest = StackManifest(1, name, sha256, image.stat().st_size, inputs, small)
    image.chmod(0o600)
    image.replace(directory / sha256)
    temporary = directory / f"{name}.json.new"
    temporary.write_bytes(msgspec.json.encode(manifest))
    temporary.replace(directory / f"{name}.json")
    return manifest


async def _run(command: list[str], progress: Progress) -> None:
    """Run to the end with each line of output given to `progress`. Cancelling kills it. Raises StackBuildFailed."""
    tail: list[str] = []
    process = await trio.lowlevel.open_process(
        in_full(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=system_environment(),
    )
    assert process.stdout is not None
    try:
        pending = b""
        async for chunk in process.stdout:
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                tail = [*tail[-14:], text]
                progress(text)
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True), trio.move_on_after(_KILLED_LIMIT_S):
                await process.wait()
                # The kernel ends what it started a moment later: all is over when nobody holds its output any more.
                async for _ in process.stdout:
                    pass
        await trio.aclose_forcefully(process.stdout)
    if process.returncode != 0:
        raise StackBuildFailed(f"{Path(command[0]).name} ended with {process.returncode}:\n" + "\n".join(tail))
