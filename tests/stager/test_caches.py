"""Which image of a cache a build mounts, and which ones go."""

import os
from pathlib import Path

from paasd.stager.caches import Caches


def keep(caches: Caches, folder: Path, app: str, generation: str, content: bytes) -> None:
    image = folder / "image"
    image.write_bytes(content)
    fd = os.open(image, os.O_RDONLY)
    try:
        caches.keep("org", app, generation, fd)
    finally:
        os.close(fd)


def test_an_image_counts_for_its_generation_and_is_replaced_by_the_next(tmp_path: Path) -> None:
    caches = Caches(tmp_path / "caches")
    keep(caches, tmp_path, "app", "", b"old")
    old = caches.find("org", "app", "")
    assert old is not None and old.read_bytes() == b"old"
    assert caches.find("org", "app", "0.1") is None
    keep(caches, tmp_path, "app", "0.1", b"old")  # the very same content under another generation
    new = caches.find("org", "app", "0.1")
    assert new is not None and not old.exists()
    assert caches.find("org", "app", "") is None
    assert caches.find("org", "app", "1.1") is None


def test_what_no_build_can_use_goes_and_what_one_may_be_mounting_stays(tmp_path: Path) -> None:
    caches = Caches(tmp_path / "caches")
    for app in ("kept", "cleared", "building", "gone"):
        keep(caches, tmp_path, app, "", app.encode())
    generations = {"kept": "", "cleared": "0.1", "building": "0.1"}
    assert caches.forget_others(generations, ["building"]) == 2
    assert [caches.find("org", app, "") is not None for app in ("kept", "cleared", "building", "gone")] == [
        True,
        False,
        True,
        False,
    ]
    assert caches.forget_others(generations) == 1
