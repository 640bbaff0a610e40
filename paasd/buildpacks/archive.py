"""Unpack an upload as the tenant, inside the sandbox: zip, tar, tar.gz. What is odd is refused by name.

The limits are a second line: the container's disk, inode and time quotas hold whatever happens here.
"""

import calendar
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from .failure import ArchiveRefused, legible

_CHUNK_BYTES = 256 * 1024
# The end record with the longest comment, and its two companions of large zips.
_ZIP_TAIL_BYTES = 65_535 + 22 + 20 + 56
# Older times are what archives say that know none; a file without a time of its own has that of its unpacking, since
# web servers tell browsers by it whether a page is still the same.
_NO_TIME_S = 315_619_200.0
# Opens an entry's content, once the entry is known to be wanted.
Reader = Callable[[], IO[bytes] | None]


@dataclass(frozen=True)
class ArchiveLimits:
    """What one upload may hold."""

    entries: int = 200_000
    total_bytes: int = 4 * 1024**3
    name_bytes: int = 1024


@dataclass
class Entry:
    """One member of an archive."""

    name: str
    kind: str  # "file", "directory", "link"; anything else is named in the refusal
    mode: int
    size_bytes: int
    target: str
    mtime: float


def unpack(archive: Path, destination: Path, limits: ArchiveLimits) -> int:
    """Unpack into the empty directory `destination`; gives the number of entries. Raises ArchiveRefused."""
    if not archive.stat().st_size:
        raise ArchiveRefused("the package is empty", "push a directory with at least one file")
    if zipfile.is_zipfile(archive):
        return _unpack_zip(archive, destination, limits)
    try:
        return unpack_tar(archive, Unpacker(destination, limits))
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ArchiveRefused(f"cannot write the package's files: {error.strerror}", _disk_advice(error)) from error
        with archive.open("rb") as file:
            looks_like_zip = file.read(2) == b"PK"
        kind = "zip" if looks_like_zip else "zip, tar or tar.gz archive, or it is truncated"
        raise ArchiveRefused(f"the package is not a readable {kind} ({error})", "upload it again, whole") from error


def unpack_tar(archive: Path, unpacker: "Unpacker") -> int:
    """A tar, compressed or not. Raises ArchiveRefused, and what tarfile raises for one that cannot be read."""
    with tarfile.open(archive, "r|*") as tar:
        return unpacker.run((_tar_entry(member), _tar_reader(tar, member)) for member in tar)


def _disk_advice(error: OSError) -> str:
    return "raise disk_quota in the manifest, or push less (.cfignore)" if error.errno in (28, 122) else ""


def _tar_entry(member: tarfile.TarInfo) -> Entry:
    kinds = {
        tarfile.REGTYPE: "file",
        tarfile.AREGTYPE: "file",
        tarfile.CONTTYPE: "file",
        tarfile.DIRTYPE: "directory",
        tarfile.SYMTYPE: "link",
        tarfile.LNKTYPE: "hard link",
        tarfile.CHRTYPE: "character device",
        tarfile.BLKTYPE: "block device",
        tarfile.FIFOTYPE: "fifo",
    }
    kind = "file" if member.issparse() else kinds.get(member.type, f"entry of type {member.type!r}")
    return Entry(member.name, kind, member.mode, member.size, member.linkname, float(member.mtime))


def _tar_reader(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Reader:
    return lambda: tar.extractfile(member)


def _unpack_zip(archive: Path, destination: Path, limits: ArchiveLimits) -> int:
    try:
        _count_zip(archive, limits)
        with zipfile.ZipFile(archive) as opened:
            unpacker = Unpacker(destination, limits)
            return unpacker.run((_zip_entry(opened, info), _zip_reader(opened, info)) for info in opened.infolist())
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveRefused(f"the package is a broken or unsupported zip ({error})", "make it again") from error
    except OSError as error:
        raise ArchiveRefused(f"cannot write the package's files: {error.strerror}", _disk_advice(error)) from error


def _count_zip(archive: Path, limits: ArchiveLimits) -> None:
    """Walk the directory of a zip without keeping it: zipfile would hold all of a million entries in memory."""
    with archive.open("rb") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        start = max(0, size_bytes - _ZIP_TAIL_BYTES)
        file.seek(start)
        tail = file.read()
        end = tail.rfind(b"PK\5\6")
        if end < 0 or len(tail) < end + 22:
            return  # zipfile says what is wrong with it
        (directory_bytes,) = struct.unpack_from("<I", tail, end + 12)
        if end >= 76 and tail.startswith(b"PK\6\7", end - 20) and tail.startswith(b"PK\6\6", end - 76):
            end -= 76
            (directory_bytes,) = struct.unpack_from("<Q", tail, end + 40)
        if directory_bytes > start + end:
            return
        file.seek(start + end - directory_bytes)
        for number in range(limits.entries + 1):
            header = file.read(46)
            if len(header) < 46 or not header.startswith(b"PK\1\2"):
                return
            name_bytes, *others = struct.unpack_from("<3H", header, 28)
            name = file.read(name_bytes)
            if number == limits.entries:
                raise Unpacker.too_many(limits, name.decode(errors="replace"))
            file.seek(sum(others), os.SEEK_CUR)


def _zip_entry(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    # zipfile cuts a name at a NUL byte; the original is what the archive claims.
    name = info.orig_filename if "\0" in info.orig_filename else info.filename
    mode = info.external_attr >> 16
    kind, target = "file", ""
    # ZipInfo.is_dir fails on an empty name.
    if name.endswith("/"):
        kind = "directory"
    elif stat.S_ISLNK(mode):
        kind = "link"
        if info.file_size > 4096:
            raise ArchiveRefused(f"entry {legible(name)} is a link with a target of {info.file_size} bytes")
        target = opened.read(info).decode("utf-8", "surrogateescape")
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        kind = {stat.S_IFIFO: "fifo", stat.S_IFCHR: "character device", stat.S_IFBLK: "block device"}.get(
            stat.S_IFMT(mode), "special file"
        )
    day = info.date_time
    try:
        mtime = float(_epoch(day))
    except (ValueError, OverflowError):
        mtime = 0.0
    return Entry(name, kind, mode or (0o755 if kind == "directory" else 0o644), info.file_size, target, mtime)


def _epoch(day: tuple[int, int, int, int, int, int]) -> int:
    """A zip's local time read as UTC, so that the same archive gives the same times on every machine."""
    return calendar.timegm((*day, 0, 0, 0))


def _zip_reader(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Reader:
    return lambda: opened.open(info)


class Unpacker:
    """Puts entries below an empty directory. Other kinds of archive bend `place` and the checks of links."""

    what = "package"
    root_name = "app"
    smaller = "leave out what the app does not need with .cfignore"

    def __init__(self, destination: Path, limits: ArchiveLimits) -> None:
        self.root = destination
        self._limits = limits
        self.seen: dict[PurePosixPath, str] = {}
        self._links: list[tuple[PurePosixPath, str]] = []
        self._written_bytes = 0

    def run(self, entries: Iterator[tuple[Entry, Reader]]) -> int:
        count = 0
        for entry, reader in entries:
            count += 1
            if count > self._limits.entries:
                raise self.too_many(self._limits, entry.name)
            self.place(entry, reader)
        # Links come last: while files are written, no path leads through one.
        for path, target in self._links:
            self.root.joinpath(path).symlink_to(target)
        self.check_links()
        return count

    @classmethod
    def too_many(cls, limits: ArchiveLimits, name: str) -> ArchiveRefused:
        return ArchiveRefused(
            f"the {cls.what} has more than {limits.entries} entries, the first one too many is {legible(name)}",
            "leave out build output and dependencies with .cfignore" if cls is Unpacker else cls.smaller,
        )

    def check_links(self) -> None:
        """A link through another link may lead out although neither does by its text."""
        root = os.path.realpath(self.root)
        for path, target in self._links:
            end = os.path.realpath(self.root.joinpath(path))
            if end != root and not end.startswith(root + "/"):
                raise ArchiveRefused(f"link {legible(str(path))} leads outside the app, to {legible(target)}")

    def place(self, entry: Entry, reader: Reader) -> None:
        path = self.checked_path(entry)
        if path == PurePosixPath("."):
            return
        if entry.kind == "directory":
            if self.seen.setdefault(path, "directory") != "directory":
                raise ArchiveRefused(f"entry {legible(entry.name)} is there twice, as file and as directory")
            self.parents(path, entry)
            self.root.joinpath(path).mkdir(exist_ok=True)
            return
        if entry.kind not in ("file", "link"):
            raise ArchiveRefused(
                f"entry {legible(entry.name)} is a {entry.kind}", "push files, directories and links only"
            )
        if path in self.seen:
            raise ArchiveRefused(f"entry {legible(entry.name)} is there twice")
        self.seen[path] = entry.kind
        self.parents(path, entry)
        if entry.kind == "link":
            self._links.append((path, self.checked_target(entry, path)))
        elif (content := reader()) is not None:
            with content:
                self._write(entry, self.root.joinpath(path), content)

    def checked_path(self, entry: Entry) -> PurePosixPath:
        name = entry.name.replace("\\", "/") if "/" not in entry.name else entry.name
        if not name:
            raise ArchiveRefused("an entry has an empty name")
        if "\0" in name:
            raise ArchiveRefused(f"entry {legible(name)} has a NUL byte in its name")
        if len(os.fsencode(name)) > self._limits.name_bytes or any(
            len(os.fsencode(part)) > 255 for part in name.split("/")
        ):
            raise ArchiveRefused(f"entry {legible(name)} has a name that is too long")
        if name.startswith("/") or (len(name) > 1 and name[1] == ":" and name[0].isalpha() and "\\" in entry.name):
            raise ArchiveRefused(
                f"entry {legible(entry.name)} has an absolute name",
                f"make the archive from inside the {self.root_name}",
            )
        if ".." in name.split("/"):
            raise ArchiveRefused(
                f"entry {legible(name)} leads outside the {self.root_name}",
                f"make the archive from inside the {self.root_name}",
            )
        return PurePosixPath(name)

    def checked_target(self, entry: Entry, path: PurePosixPath) -> str:
        target = entry.target
        if not target or "\0" in target:
            raise ArchiveRefused(f"link {legible(entry.name)} has no valid target")
        resolved = os.path.normpath(str(path.parent / target))
        if target.startswith("/") or resolved == ".." or resolved.startswith("../"):
            raise ArchiveRefused(
                f"link {legible(entry.name)} leads outside the app, to {legible(target)}",
                "push a copy of the file instead",
            )
        return target

    def parents(self, path: PurePosixPath, entry: Entry) -> None:
        for parent in reversed(path.parents[:-1]):
            if self.seen.setdefault(parent, "directory") != "directory":
                raise ArchiveRefused(
                    f"entry {legible(entry.name)} lies below {legible(str(parent))}, which is not a directory"
                )
            self.root.joinpath(parent).mkdir(exist_ok=True)

    def _write(self, entry: Entry, path: Path, content: IO[bytes]) -> None:
        self._written_bytes += entry.size_bytes
        if self._written_bytes > self._limits.total_bytes:
            limit_mb = self._limits.total_bytes // 1024**2
            raise ArchiveRefused(
                f"the {self.what} unpacks to more than {limit_mb} MB, at {legible(entry.name)}",
                self.smaller,
            )
        left_bytes = entry.size_bytes
        with path.open("xb") as file:
            while chunk := content.read(min(_CHUNK_BYTES, left_bytes + 1)):
                left_bytes -= len(chunk)
                if left_bytes < 0:
                    raise ArchiveRefused(f"entry {legible(entry.name)} is longer than it says")
                file.write(chunk)
            if left_bytes:
                raise ArchiveRefused(
                    f"entry {legible(entry.name)} is truncated", f"upload the {self.what} again, whole"
                )
            # Owner may read and write; setuid, setgid and sticky bits go.
            os.fchmod(file.fileno(), (entry.mode & 0o777) | 0o600)
        if entry.mtime > _NO_TIME_S:
            os.utime(path, (entry.mtime, entry.mtime))


def flatten_single_directory(root: Path) -> None:
    """A buildpack's zip may hold everything below one directory; lift it."""
    inside = list(root.iterdir())
    if len(inside) != 1 or not inside[0].is_dir() or inside[0].is_symlink():
        return
    moved = root.with_name(root.name + ".flat")
    inside[0].rename(moved)
    shutil.rmtree(root)
    moved.rename(root)
