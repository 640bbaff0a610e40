"""Which image of a cache a build mounts, and which ones go."""

import os
from pathlib import Path

import pytest

from paasd.blobs import DiskFull
from paasd.stager.caches import Caches


def plenty(_size_bytes: int) -> None:
    """There is room."""


def keep(caches: Caches, folder: Path, app: str, generation: str, content: bytes) -> None:
    image = folder / "image"
    image.write_bytes(content)
    fd = os.open(image, os.O_RDONLY)
    try:
        caches.keep("org", app, generation, fd)
    finally:
        os.close(fd)


def test_an_image_counts_for_its_generation_and_is_replaced_by_the_next(tmp_path: Path) -> None:
    caches = Caches(tmp_path / "caches", plenty)
    keep(caches, tmp_path, "app", "", b"old")
    old = caches.find("org", "app", "")
    assert old is not None and old.read_bytes() == b"old"
    assert caches.find("org", "app", "0.1") is None
    keep(caches, tmp_path, "app", "0.1", b"old")  # the very same content under another generation
    new = caches.find("org", "app", "0.1")
    assert new is not None and not old.exists()
    assert caches.find("org", "app", "") is None
    assert caches.find("org", "app", "1.1") is None


def test_what_no_build_can_use_goes(tmp_path: Path) -> None:
    caches = Caches(tmp_path / "caches", plenty)
    for app in ("kept", "cleared", "gone"):
        keep(caches, tmp_path, app, "", app.encode())
    generations = {"kept": "", "cleared": "0.1"}
    assert caches.forget_others(generations) == 2
    assert [caches.find("org", app, "") is not None for app in ("kept", "cleared", "gone")] == [True, False, False]


def test_an_organization_keeps_so_much_and_the_oldest_go_first(tmp_path: Path) -> None:
    caches = Caches(tmp_path / "caches", plenty)
    for number, app in enumerate(("oldest", "older", "newest")):
        keep(caches, tmp_path, app, "", app.encode().ljust(10))
        found = caches.find("org", app, "")
        assert found is not None
        os.utime(found, (number, number))
    assert caches.fit("org", 30) == 0
    assert caches.fit("other", 0) == 0
    assert caches.fit("org", 15) == 2
    assert [app for app in ("oldest", "older", "newest") if caches.find("org", app, "")] == ["newest"]


def test_an_image_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    sync = os.fsync

    def fsync(fd: int) -> None:
        synced.append((Path(f"/proc/self/fd/{fd}").readlink(), os.fstat(fd).st_size))
        sync(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    caches = Caches(tmp_path / "caches", plenty)
    keep(caches, tmp_path, "app", "", b"image")
    found = caches.find("org", "app", "")
    assert found is not None
    (file, size_bytes), (folder, _) = synced
    assert (file.suffix, size_bytes, folder) == (".new", 5, found.parent)


def test_a_copy_that_has_no_room_or_breaks_off_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 5

    def need_room(size_bytes: int) -> None:
        if size_bytes > room:
            raise DiskFull("no space left")

    caches = Caches(tmp_path / "caches", need_room)
    keep(caches, tmp_path, "app", "", b"old")
    old = caches.find("org", "app", "")
    with pytest.raises(DiskFull):
        keep(caches, tmp_path, "app", "", b"too much")
    with monkeypatch.context() as patched, pytest.raises(OSError, match="made to fail"):
        patched.setattr("shutil.copyfileobj", failing)
        keep(caches, tmp_path, "app", "", b"new")
    assert old is not None and list(old.parent.iterdir()) == [old]
    (old.parent / "half.new").touch()
    caches.forget_unfinished()
    assert list(old.parent.iterdir()) == [old]


def failing(*_args: object) -> None:
    raise OSError(28, "made to fail")
