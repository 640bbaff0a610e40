"""What an app's builds keep for the next one (package caches, buildpacks' own), as one image an app, on this node only.

A cache belongs to one app of one organization and is mounted read-only under the next build's overlay, so nobody else
can put anything into it. Losing one costs time, nothing else: a build that finds its cache gone does without, so any
may go at any time. Functions block.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from paasd.blobs import sync_folder

_SUFFIX: Final = ".sqfs"
_UNFINISHED: Final = ".new"


class Caches:
    """Images below `directory`, `<organization>/<app>/<sha256>.sqfs`; the newest counts.

    After somebody has cleared them the names begin with a generation, `<generation>-<sha256>.sqfs`. `need_room` raises
    when so many bytes would leave the disk too little.
    """

    def __init__(self, directory: Path, need_room: Callable[[int], None]) -> None:
        self._directory = directory
        self._need_room = need_room

    def find(self, organization_guid: str, app_guid: str, generation: str) -> Path | None:
        """The image to mount; None when there is none."""
        found = [one for one in self._images(organization_guid, app_guid) if _generation(one) == generation]
        return found[-1] if found else None

    def keep(self, organization_guid: str, app_guid: str, generation: str, fd: int) -> None:
        """Copy a new image in; it gets a name of its own, because the old one may still be mounted.

        Raises DiskFull, OSError; then there is what was there before.
        """
        self._need_room(os.fstat(fd).st_size)
        folder = self._directory / organization_guid / app_guid
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, fresh = tempfile.mkstemp(_UNFINISHED, dir=folder)
        try:
            with os.fdopen(number, "wb") as target, os.fdopen(os.dup(fd), "rb") as source:
                source.seek(0)
                digest = hashlib.file_digest(source, "sha256").hexdigest()
                source.seek(0)
                shutil.copyfileobj(source, target, 1024 * 1024)
                target.flush()
                os.fsync(target.fileno())  # or a power cut leaves the name with nothing behind it
            kept = folder / f"{generation}{'-' if generation else ''}{digest}{_SUFFIX}"
            before = self._images(organization_guid, app_guid)
            Path(fresh).rename(kept)
            sync_folder(folder)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
        for old in before:
            if old != kept:
                old.unlink(missing_ok=True)

    def fit(self, organization_guid: str, limit_bytes: int) -> int:
        """Delete the oldest of an organization until they take so much at most; how many went."""
        images = sorted((self._directory / organization_guid).glob(f"*/*{_SUFFIX}"), key=_written_at)
        sizes = {image: _size_of(image) for image in images}
        excess, count = sum(sizes.values()) - limit_bytes, 0
        for image, size in sizes.items():
            if excess > 0:
                image.unlink(missing_ok=True)
                excess, count = excess - size, count + 1
        return count

    def forget_others(self, generations: Mapping[str, str]) -> int:
        """Delete what no build can use, given the generation of each app by guid; how many folders and images went."""
        count = 0
        for organization in self._directory.iterdir() if self._directory.is_dir() else ():
            for folder in organization.iterdir():
                if folder.name not in generations:
                    shutil.rmtree(folder, ignore_errors=True)
                    count += 1
                    continue
                for image in folder.glob(f"*{_SUFFIX}"):
                    if _generation(image) != generations[folder.name]:
                        image.unlink(missing_ok=True)
                        count += 1
        return count

    def forget_unfinished(self) -> None:
        """Delete copies that the end of a daemon broke off."""
        for left in self._directory.glob(f"*/*/*{_UNFINISHED}"):
            left.unlink(missing_ok=True)

    def _images(self, organization_guid: str, app_guid: str) -> list[Path]:
        folder = self._directory / organization_guid / app_guid
        return sorted(folder.glob(f"*{_SUFFIX}"), key=_written_at)


def _written_at(image: Path) -> int:
    """0 of one that went meanwhile: any may, at any time."""
    try:
        return image.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _size_of(image: Path) -> int:
    try:
        return image.stat().st_size
    except FileNotFoundError:
        return 0


def _generation(image: Path) -> str:
    return image.name.rpartition("-")[0]
