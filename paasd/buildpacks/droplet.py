"""An uploaded droplet, unpacked as the tenant in the sandbox: Cloud Foundry's tgz, or just `app/` with a Procfile."""

import json
import os
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from .archive import ArchiveLimits, Entry, Reader, Unpacker, unpack_tar
from .failure import PACKAGE_REFUSED, ArchiveRefused, StagingFailure, legible
from .interface import Layout
from .lifecycle import staging_info
from .processes import LIMIT_BYTES, TYPE_NAME, procfile, read_yaml

T = TypeVar("T")
_INFO = "staging_info.yml"
_DIRECTORIES = ("app", "deps", "profile.d")


class DropletUnpacker(Unpacker):
    """Takes the parts that a droplet has; what else lies beside them (`tmp`, `logs`) is passed over.

    Links lead wherever they like, as the absolute ones of installed dependencies do: they are made last, and mean
    something only inside the instance.
    """

    what = "droplet"
    root_name = "droplet"
    smaller = "leave out what the app does not need"

    def place(self, entry: Entry, reader: Reader) -> None:
        path = self.checked_path(entry)
        top = path.parts[0] if path.parts else ""
        if top not in (*_DIRECTORIES, _INFO):
            return
        if len(path.parts) == 1 and entry.kind != ("file" if top == _INFO else "directory"):
            raise ArchiveRefused(f"entry {legible(entry.name)} is a {entry.kind}", "a droplet has another one there")
        if entry.kind == "hard link":
            self._hard_link(entry, path)
        else:
            super().place(entry, reader)

    def _hard_link(self, entry: Entry, path: PurePosixPath) -> None:
        """tar writes a file that has two names as a link to the first one."""
        target = PurePosixPath(entry.target)
        if self.seen.get(target) != "file" or path in self.seen:
            raise ArchiveRefused(
                f"hard link {legible(entry.name)} does not lead to an earlier file of the droplet, "
                f"but to {legible(entry.target)}",
                "pack a copy of the file instead",
            )
        self.parents(path, entry)
        self.seen[path] = "file"
        os.link(self.root / target, self.root / path)

    def checked_target(self, entry: Entry, path: PurePosixPath) -> str:
        if not entry.target or "\0" in entry.target:
            raise ArchiveRefused(f"link {legible(entry.name)} has no valid target")
        return entry.target

    def check_links(self) -> None:
        return


def unpack_droplet(request: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """Unpack into the tenant's home and say what can be run. Gives result.json, like a build. Raises StagingFailure."""
    for folder in (layout.app, layout.deps, layout.profile_d):
        folder.mkdir(parents=True, exist_ok=True)
    entries = _unpack(Path(request["package"]), layout, ArchiveLimits(**request.get("limits", {})))
    if not any(layout.app.iterdir()):
        raise ArchiveRefused("the droplet has nothing in app/", "put the app's files into a folder app at its root")
    print(f"-----> Unpacked a droplet of {entries} entries", flush=True)
    info = _read_info(layout)
    ours = _told(info.get("paasd"), dict)
    types = {"web": info.get("start_command"), **_told(ours.get("process_types"), dict), **procfile(layout.app)}
    types = {name: _told(command, str) for name, command in types.items() if command}
    if odd := next((name for name in types if not TYPE_NAME.fullmatch(name)), None):
        raise StagingFailure("unpack", f"{_INFO} has an invalid process type {legible(odd)}", code=PACKAGE_REFUSED)
    if not info:
        staging_info(layout, "", types)
    return {
        "process_types": types,
        "sidecars": _told(ours.get("sidecars"), list),
        "lifecycle_metadata": {"detected_buildpack": "", "buildpacks": []},
        "layers": [],
        "toolchains": _told(ours.get("toolchains"), list),
    }


def _unpack(archive: Path, layout: Layout, limits: ArchiveLimits) -> int:
    try:
        return unpack_tar(archive, DropletUnpacker(layout.home, limits))
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveRefused(
            f"the droplet is not a readable tar.gz archive, or it is truncated ({error})", "upload it again, whole"
        ) from error


def _read_info(layout: Layout) -> dict[str, Any]:
    """JSON when paasd or Cloud Foundry wrote it; YAML all the same, by its name."""
    path = layout.home / _INFO
    found = None
    if path.exists():
        with path.open("rb") as file:
            content = file.read(LIMIT_BYTES)
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = read_yaml(path, _INFO, code=PACKAGE_REFUSED)
    return _told(found, dict)


def _told(value: Any, kind: type[T]) -> T:
    """What somebody wrote into staging_info.yml, if it is of this kind; empty when nothing is there."""
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise StagingFailure("unpack", f"{_INFO} has an unexpected form", "leave it out", code=PACKAGE_REFUSED)
    return value
