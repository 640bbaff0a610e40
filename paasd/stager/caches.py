"""What an app's builds keep for the next one (package caches, buildpacks' own), as one image an app, on this node only.

A cache belongs to one app of one organization and is mounted read-only under the next build's overlay, so nobody else
can put anything into it. Losing one costs time, nothing else. Functions block.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path


class Caches:
    """Images below `directory`, `<organization>/<app>/<sha256>.sqfs`; the newest counts.

    After somebody has cleared them the names begin with a generation, `<generation>-<sha256>.sqfs`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def find(self, organization_guid: str, app_guid: str, generation: str) -> Path | None:
        """The image to mount; None when there is none."""
        found = [one for one in self._images(organization_guid, app_guid) if _generation(one) == generation]
        return found[-1] if found else None

    def keep(self, organization_guid: str, app_guid: str, generation: str, fd: int) -> None:
        """Copy a new image in; it gets a name of its own, because the old one may still be mounted."""
        folder = self._directory / organization_guid / app_guid
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.dup(fd), "rb") as source, tempfile.NamedTemporaryFile(dir=folder, delete=False) as target:
            source.seek(0)
            digest = hashlib.file_digest(source, "sha256").hexdigest()
            name = f"{generation}-{digest}" if generation else digest
            source.seek(0)
            shutil.copyfileobj(source, target, 1024 * 1024)
        before = self._images(organization_guid, app_guid)
        Path(target.name).rename(folder / f"{name}.sqfs")
        for old in before:
            if old.name != f"{name}.sqfs":
                old.unlink(missing_ok=True)

    def forget_others(self, generations: Mapping[str, str], building: Collection[str] = ()) -> int:
        """Delete what no build can use, given the generation of each app by guid; how many folders and images went.

        What a build of the apps `building` may be about to mount stays.
        """
        count = 0
        for organization in self._directory.iterdir() if self._directory.is_dir() else ():
            for folder in organization.iterdir():
                if folder.name not in generations:
                    shutil.rmtree(folder, ignore_errors=True)
                    count += 1
                    continue
                for image in folder.glob("*.sqfs") if folder.name not in building else ():
                    if _generation(image) != generations[folder.name]:
                        image.unlink(missing_ok=True)
                        count += 1
        return count

    def _images(self, organization_guid: str, app_guid: str) -> list[Path]:
        folder = self._directory / organization_guid / app_guid
        return sorted(folder.glob("*.sqfs"), key=lambda path: path.stat().st_mtime_ns)


def _generation(image: Path) -> str:
    return image.name.rpartition("-")[0]
