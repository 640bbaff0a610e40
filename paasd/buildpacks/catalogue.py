"""Toolchains as data: name, version, where it comes from, digest, how it is laid out. Pure."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .versions import newest, parse

ROOT = "/opt/toolchains"


class CatalogueError(ValueError):
    """An entry is incomplete; the message names it."""


@dataclass(frozen=True)
class Toolchain:
    """One installable tool. `sha256`: architecture to digest of the download; without one the first is recorded."""

    name: str
    version: str
    kind: str  # pypi | npm | deb | file | stack
    package: str = ""
    packages: tuple[str, ...] = ()
    source: str = ""  # kind file: path of a tar archive on the node; kind stack: path of the program in the stack
    sha256: Mapping[str, str] = field(default_factory=dict)
    layout: str = ""  # how the download becomes a tree: wheel-scripts, node-wheel, npm, debs, tree
    default: bool = False

    @property
    def identity(self) -> str:
        return f"{self.name}-{self.version}"


@dataclass(frozen=True)
class Catalogue:
    """All toolchains a node offers; the order does not matter."""

    toolchains: tuple[Toolchain, ...]

    def versions(self, name: str) -> list[str]:
        """Oldest first."""
        return sorted((tool.version for tool in self.toolchains if tool.name == name), key=parse)

    def get(self, name: str, version: str) -> Toolchain | None:
        return next((tool for tool in self.toolchains if (tool.name, tool.version) == (name, version)), None)

    def pick(self, name: str, wanted: str | None, *, style: str) -> Toolchain | None:
        """The newest version that fits `wanted`; the default one without a wish. Raises BadRange."""
        if wanted is None or not wanted.strip():
            chosen = next((tool for tool in self.toolchains if tool.name == name and tool.default), None)
            if chosen is not None:
                return chosen
            wanted = "*"
        version = newest(self.versions(name), wanted, style=style)
        return self.get(name, version) if version else None

    def to_json(self) -> list[dict[str, Any]]:
        return [{**asdict(tool), "sha256": dict(tool.sha256)} for tool in self.toolchains]


def toolchain_from(entry: Mapping[str, Any]) -> Toolchain:
    """One entry, checked. Raises CatalogueError."""
    known = set(Toolchain.__dataclass_fields__)
    name = f"{entry.get('name', '?')} {entry.get('version', '?')}"
    if unknown := set(entry) - known:
        raise CatalogueError(f"toolchain {name}: unknown key {sorted(unknown)[0]!r}")
    if missing := {"name", "version", "kind"} - set(entry):
        raise CatalogueError(f"toolchain {name}: {sorted(missing)[0]!r} is missing")
    if entry["kind"] not in ("pypi", "npm", "deb", "file", "stack"):
        raise CatalogueError(f"toolchain {name}: kind {entry['kind']!r} is none of pypi, npm, deb, file, stack")
    return Toolchain(**{**entry, "packages": tuple(entry.get("packages", ()))})


def load_catalogue(extra: Sequence[Mapping[str, Any]] = ()) -> Catalogue:
    """The shipped catalogue with the operator's entries; one of the same name and version replaces the shipped one."""
    shipped = tomllib.loads(Path(__file__).with_name("catalogue.toml").read_text())
    found: dict[tuple[str, str], Toolchain] = {}
    for entry in [*shipped.get("toolchain", []), *extra]:
        tool = toolchain_from(entry)
        found[tool.name, tool.version] = tool
    return Catalogue(tuple(found.values()))
