"""Which file names the dependencies, and the key under which what it installs can be found again."""

import json
import os
import re
import tomllib
from dataclasses import dataclass
from typing import Any

from ..failure import StagingFailure
from ..hashing import digest
from ..interface import Project

# Cloud Foundry's order first (requirements.txt, Pipfile), then the newer lock files, then ranges without a lock.
ORDER = ("requirements.txt", "Pipfile.lock", "Pipfile", "uv.lock", "poetry.lock", "pyproject.toml", "setup.py")
# Raise it when the same files would now install something else.
_FORMAT = "1"
_SETTINGS = ("UV_", "PIP_", "BP_")
# Where tools of the build keep their own things; it does not change what is installed.
_NOT_SETTINGS = ("UV_CACHE_DIR",)


@dataclass(frozen=True)
class Source:
    """The file that counts; `files` are all that it draws in, `locked` says whether they fix every version."""

    name: str
    files: tuple[str, ...]
    locked: bool
    depends_on_app: bool
    ignored: tuple[str, ...]


def find(project: Project) -> Source | None:
    """The app's source of dependencies; None when it has none."""
    present = [name for name in ORDER if project.has(name)]
    if "uv.lock" in present and "pyproject.toml" not in present:
        present.remove("uv.lock")
    if "poetry.lock" in present and "pyproject.toml" not in present:
        present.remove("poetry.lock")
    if not present:
        return None
    name = present[0]
    ignored = tuple(other for other in present[1:] if other not in ("pyproject.toml", "setup.py", "Pipfile"))
    if name == "requirements.txt":
        files, locked, local = _requirements(project, name, set())
        return Source(name, tuple(files), locked, local, ignored)
    files = [name]
    if name in ("uv.lock", "poetry.lock"):
        files.append("pyproject.toml")
    elif name == "Pipfile.lock" and project.has("Pipfile"):
        files.append("Pipfile")
    local = name == "setup.py" or (name == "uv.lock" and _has_local_packages(project))
    return Source(name, tuple(files), name.endswith(".lock"), local, ignored)


def _has_local_packages(project: Project) -> bool:
    """Whether uv.lock draws in other directories of the app (workspace members, path dependencies)."""
    text = project.read("uv.lock")
    return bool(re.search(r'source = \{ (?:editable|directory|path) = "(?!\."\s)', text))


def _requirements(project: Project, name: str, seen: set[str]) -> tuple[list[str], bool, bool]:
    """Files included by `-r` and `-c`, whether every line is pinned, whether a line installs from the app itself."""
    seen.add(name)
    files, locked, local = [name], True, False
    text = re.sub(r"\\\r?\n", " ", project.read(name))
    for raw in text.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        include = re.match(r"(?:-r|--requirement|-c|--constraint)[\s=]*(\S+)", line)
        if include:
            path = os.path.normpath(os.path.join(os.path.dirname(name), include[1]))  # noqa: PTH118, PTH120 - app names
            if path.startswith(("..", "/")):
                raise StagingFailure("python", f"{name} includes {include[1]}, which lies outside the app")
            if not (project.app / path).is_file():
                raise StagingFailure(
                    "python", f"{name} includes {include[1]}, which is not there", "push it too (.cfignore?)"
                )
            if path not in seen:
                more, more_locked, more_local = _requirements(project, path, seen)
                files += more
                locked, local = locked and more_locked, local or more_local
        elif re.match(r"(-e\b|--editable\b|\.{1,2}(/|$|\[)|file:)", line) or "@ file:" in line:
            local = True
        elif line and not line.startswith("-") and not re.search(r"(===?\s*[^\s*,]+(\s|;|$))|@\s*\S+#sha256=", line):
            locked = False
    return files, locked, local


def layer_key(project: Project, source: Source | None, python: str, uv: str) -> str:
    """Changes with whatever changes what is installed. Ranges without a lock are resolved again every day."""
    if source is None:
        return ""
    contents = [part for name in source.files for part in (name, project.read(name))]
    settings = [
        f"{name}={value}"
        for name, value in sorted(project.env.items())
        if name.startswith(_SETTINGS) and name not in _NOT_SETTINGS
    ]
    moving = [] if source.locked else [project.today]
    if source.depends_on_app or (project.app / "vendor").is_dir():
        moving.append(project.fingerprint)
    return digest(
        "python", _FORMAT, project.stack, project.arch, python, uv, project.index, *contents, *settings, *moving
    )


def pyproject(project: Project) -> dict[str, Any]:
    """pyproject.toml; empty when there is none. Raises StagingFailure when it is not TOML."""
    return read_toml(project, "pyproject.toml") if project.has("pyproject.toml") else {}


def read_toml(project: Project, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(project.read(name))
    except tomllib.TOMLDecodeError as error:
        raise StagingFailure("python", f"{name} is not valid TOML: {error}", "correct that line") from error


def read_json(project: Project, name: str) -> dict[str, Any]:
    try:
        found = json.loads(project.read(name))
    except (ValueError, RecursionError) as error:
        raise StagingFailure(
            "python", f"{name} is not valid JSON: {error}", "lock again and push the new file"
        ) from error
    if not isinstance(found, dict):
        raise StagingFailure("python", f"{name} is not a lock file", "lock again and push the new file")
    return found
