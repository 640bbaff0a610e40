"""Uploads as attackers and accidents make them: each is refused by the name of the entry, and good ones are not."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from paasd.buildpacks.archive import ArchiveLimits, unpack
from paasd.buildpacks.failure import ArchiveRefused

LIMITS = ArchiveLimits(entries=50, total_bytes=100_000, name_bytes=200)


def tar_with(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


def zip_with(*entries: tuple[str, bytes, int]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return packed.getvalue()


def with_nul_name() -> bytes:
    return zip_with(("aXb", b"1", 0o100644)).replace(b"aXb", b"a\0b")


def forged_size() -> bytes:
    """A zip that says three bytes and holds more."""
    raw = bytearray(zip_with(("a", b"0123456789" * 10, 0o100644)))
    central = raw.rindex(b"PK\x01\x02")
    for offset in (22, central + 24):
        raw[offset : offset + 4] = (3).to_bytes(4, "little")
    return bytes(raw)


FILE = member("app.py"), b"x = 1\n"
LINK = stat.S_IFLNK | 0o777

HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "tar that climbs": (lambda: tar_with(FILE, (member("../x"), b"1")), "'../x' leads outside"),
    "tar that climbs inside": (lambda: tar_with((member("a/../../x"), b"1")), "leads outside"),
    "tar with an absolute name": (lambda: tar_with((member("/etc/x"), b"1")), "'/etc/x' has an absolute name"),
    "link to an absolute path": (
        lambda: tar_with((member("l", tarfile.SYMTYPE, "/etc/passwd"), b"")),
        "'l' leads outside",
    ),
    "link that climbs": (lambda: tar_with((member("d/l", tarfile.SYMTYPE, "../../x"), b"")), "'d/l' leads outside"),
    "link through a link": (
        lambda: tar_with(
            (member("p/q/r/f"), b"1"),
            (member("p/q/r/x", tarfile.SYMTYPE, "../../.."), b""),
            (member("y", tarfile.SYMTYPE, "p/q/r/x/../secret"), b""),
        ),
        "'y' leads outside",
    ),
    "file below a link": (
        lambda: tar_with((member("l", tarfile.SYMTYPE, "."), b""), (member("l/x"), b"1")),
        "'l/x' lies below 'l'",
    ),
    "hard link": (lambda: tar_with((member("h", tarfile.LNKTYPE, "/etc/shadow"), b"")), "'h' is a hard link"),
    "character device": (lambda: tar_with((member("dev", tarfile.CHRTYPE), b"")), "'dev' is a character device"),
    "block device": (lambda: tar_with((member("sda", tarfile.BLKTYPE), b"")), "'sda' is a block device"),
    "fifo": (lambda: tar_with((member("pipe", tarfile.FIFOTYPE), b"")), "'pipe' is a fifo"),
    "name twice": (lambda: tar_with(FILE, FILE), "'app.py' is there twice"),
    "name twice in a zip": (lambda: zip_with(("a", b"1", 0o100644), ("./a", b"2", 0o100644)), "is there twice"),
    "file and directory": (lambda: zip_with(("a", b"1", 0o100644), ("a/b", b"2", 0o100644)), "'a/b' lies below 'a'"),
    "zip that climbs": (lambda: zip_with(("../x", b"1", 0o100644)), "'../x' leads outside"),
    "zip with an absolute name": (lambda: zip_with(("/x", b"1", 0o100644)), "absolute"),
    "zip with a link out": (lambda: zip_with(("l", b"../../etc", LINK)), "'l' leads outside"),
    "zip with a huge link": (lambda: zip_with(("l", b"a" * 9999, LINK)), "target of 9999 bytes"),
    "zip with a fifo": (lambda: zip_with(("p", b"", stat.S_IFIFO | 0o644)), "'p' is a fifo"),
    "zip with a NUL in a name": (with_nul_name, "NUL"),
    "too many entries": (lambda: zip_with(*((f"f{n}", b"", 0o100644) for n in range(60))), "more than 50 entries"),
    "bomb": (lambda: zip_with(("zeros", bytes(200_000), 0o100644)), "'zeros'"),
    "zip with a forged size": (forged_size, ""),
    "long name": (lambda: tar_with((member("n" * 300), b"1")), "too long"),
    "terminal escape in a name": (lambda: tar_with((member("\x1b[31m/../x"), b"1")), "\\x1b"),
    "not an archive": (lambda: b"hello world" * 100, "not a readable"),
    "nothing": (lambda: b"", "empty"),
    "truncated tar": (lambda: tar_with((member("a"), bytes(range(256)) * 200))[:200], "truncated"),
    "truncated zip": (lambda: zip_with(("a", b"1" * 1000, 0o100644))[:40], "not a readable zip"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_in_one_line_that_names_the_entry(name: str, tmp_path: Path) -> None:
    make, expected = HOSTILE[name]
    package = tmp_path / "package"
    package.write_bytes(make())
    (tmp_path / "app").mkdir()
    with pytest.raises(ArchiveRefused) as refused:
        unpack(package, tmp_path / "app", LIMITS)
    assert expected in str(refused.value)
    assert str(refused.value).isprintable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app", "package"]


def test_an_ordinary_tar_keeps_modes_times_and_inner_links(tmp_path: Path) -> None:
    run = member("bin/run", mode=0o4755)
    run.mtime = 1_700_000_000
    package = tmp_path / "package"
    package.write_bytes(
        tar_with(
            FILE,
            (run, b"#!/bin/sh\n"),
            (member("bin/go", tarfile.SYMTYPE, "run"), b""),
            (member("d", tarfile.DIRTYPE), b""),
        )
    )
    app = tmp_path / "app"
    app.mkdir()
    assert unpack(package, app, LIMITS) == 4
    assert (app / "app.py").read_text() == "x = 1\n"
    status = (app / "bin" / "run").stat()
    assert stat.S_IMODE(status.st_mode) == 0o755, "the setuid bit goes, the exec bit stays"
    assert status.st_mtime == 1_700_000_000
    assert (app / "bin" / "go").readlink() == Path("run")
    assert (app / "d").is_dir()


def test_an_ordinary_zip_keeps_exec_bits_and_links(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.write_bytes(
        zip_with(("run", b"#!/bin/sh\n", 0o100755), ("lib/", b"", 0o40755), ("lib/x", b"1", 0), ("go", b"lib/x", LINK))
    )
    app = tmp_path / "app"
    app.mkdir()
    assert unpack(package, app, LIMITS) == 4
    assert (app / "run").stat().st_mode & 0o100
    assert (app / "go").read_text() == "1"
