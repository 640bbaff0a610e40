"""Process types and sidecars: launch.yml, bin/release of the last buildpack, then the Procfile; later ones win."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .failure import RELEASE_FAILED, StagingFailure, legible
from .plainyaml import YamlError, load

TYPE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
LIMIT_BYTES = 1024 * 1024


@dataclass
class ProcessTable:
    """What a droplet says can be run."""

    types: dict[str, str] = field(default_factory=dict)
    sidecars: list[dict[str, Any]] = field(default_factory=list)

    def check(self) -> None:
        """Raises StagingFailure for types that no process of the platform can have."""
        named = [*self.types, *(target for sidecar in self.sidecars for target in sidecar["process_types"])]
        if odd := next((name for name in named if not TYPE_NAME.fullmatch(name)), None):
            raise StagingFailure(
                "release", f"a buildpack names an invalid process type {legible(odd)}", code=RELEASE_FAILED
            )


def read_yaml(path: Path, step: str, *, code: int) -> Any:
    """A small YAML file; None when it is not there. Raises StagingFailure naming the file and line."""
    try:
        with path.open("rb") as file:
            text = file.read(LIMIT_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StagingFailure(step, f"cannot read {path.name}: {error.strerror}", code=code) from error
    if len(text) > LIMIT_BYTES:
        raise StagingFailure(step, f"{path.name} is larger than 1 MB", code=code)
    try:
        return load(text.decode("utf-8-sig"))
    except (YamlError, UnicodeDecodeError) as error:
        raise StagingFailure(step, f"{path.name} is not valid YAML: {error}", "correct that line", code=code) from error


def procfile(app: Path) -> dict[str, str]:
    """The Procfile's `type: command` lines; a bad one fails the build as Cloud Foundry does."""
    found = read_yaml(app / "Procfile", "Procfile", code=RELEASE_FAILED)
    if found is None:
        return {}
    advice = "write one 'type: command' a line, such as 'web: gunicorn app:app'"
    if not isinstance(found, dict):
        raise StagingFailure(
            "Procfile", "the Procfile is not a list of 'type: command' lines", advice, code=RELEASE_FAILED
        )
    for name, command in found.items():
        if not TYPE_NAME.fullmatch(str(name)):
            raise StagingFailure(
                "Procfile", f"the Procfile has an invalid process type {name!r}", advice, code=RELEASE_FAILED
            )
        if command is None or isinstance(command, dict | list):
            raise StagingFailure(
                "Procfile", f"process type {name!r} in the Procfile has no command", advice, code=RELEASE_FAILED
            )
    return {str(name): _command(command) for name, command in found.items()}


def _command(value: Any) -> str:
    """`true` is a program, too."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def from_launch_yml(table: ProcessTable, path: Path) -> bool:
    """Merge a buildpack's launch.yml into the table; False when the buildpack wrote none."""
    found = read_yaml(path, "launch.yml", code=RELEASE_FAILED)
    if not isinstance(found, dict):
        return False
    for process in found.get("processes") or []:
        told = process if isinstance(process, dict) else {}
        if told.get("type") in (None, "") or told.get("command") in (None, ""):
            raise StagingFailure("launch.yml", "a process has no type or no command", code=RELEASE_FAILED)
        name, command = str(process["type"]), _command(process["command"])
        platforms = process.get("platforms") or {}
        targets = ((platforms.get("cloudfoundry") or {}) if isinstance(platforms, dict) else {}).get(
            "sidecar_for"
        ) or []
        if targets:
            limits = process.get("limits") or {}
            memory = limits.get("memory") if isinstance(limits, dict) else None
            sidecar = {"name": name, "process_types": [str(target) for target in targets], "command": command}
            table.sidecars.append({**sidecar, "memory": memory} if memory else sidecar)
        else:
            table.types[name] = command
    return True


def from_release(table: ProcessTable, output: str) -> None:
    """Merge `default_process_types` of bin/release; Heroku's config_vars and addons are read past."""
    try:
        found = load(output)
    except YamlError as error:
        raise StagingFailure("release", f"bin/release wrote invalid YAML: {error}", code=RELEASE_FAILED) from error
    types = found.get("default_process_types") if isinstance(found, dict) else None
    if isinstance(types, dict):
        table.types.update({str(name): _command(command) for name, command in types.items() if command is not None})


def buildpack_metadata(deps: Path, indexes: Sequence[str]) -> list[dict[str, Any]]:
    """What each deps/N/config.yml says about its buildpack; a broken one is left out."""
    found = []
    for index in indexes:
        try:
            config = read_yaml(deps / index / "config.yml", "config.yml", code=RELEASE_FAILED)
        except StagingFailure:
            continue
        if isinstance(config, dict):
            found.append({**config, "index": index})
    return found
