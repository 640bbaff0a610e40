"""Which Python: what the app asks for, against what the stack and the catalogue have."""

from dataclasses import dataclass

from ..catalogue import Toolchain
from ..failure import StagingFailure
from ..interface import Project
from ..versions import BadRange, newest, parse
from .sources import Source, pyproject, read_json

STACK_PROGRAM = "/usr/bin/python3"


@dataclass(frozen=True)
class Interpreter:
    """A Python to run the app with; `toolchain` is None for the stack's own."""

    version: str
    program: str
    toolchain: Toolchain | None


@dataclass(frozen=True)
class Wish:
    """A version asked for, and the file that does."""

    version: str
    file: str
    strict: bool  # a range that must hold, as opposed to a patch release that a sibling may stand in for


def wish(project: Project, source: Source | None) -> Wish | None:
    """runtime.txt, then .python-version, then Pipfile.lock, then pyproject.toml."""
    if project.has("runtime.txt"):
        text = project.read("runtime.txt").strip()
        if not text.startswith("python-") and not text[:1].isdigit():
            raise StagingFailure(
                "python",
                f"runtime.txt says {text[:60]!r}, which is no Python version",
                "write for example 'python-3.11.x'",
            )
        return Wish(text.removeprefix("python-"), "runtime.txt", False)
    if project.has(".python-version"):
        lines = [line.strip() for line in project.read(".python-version").splitlines()]
        text = next((line for line in lines if line and not line.startswith("#")), "")
        if text and text not in ("system", "pypy"):
            return Wish(text.removeprefix("python-"), ".python-version", False)
    if source is not None and source.name == "Pipfile.lock":
        requires = (read_json(project, "Pipfile.lock").get("_meta") or {}).get("requires") or {}
        wanted = requires.get("python_full_version") or requires.get("python_version")
        if wanted:
            return Wish(str(wanted), "Pipfile.lock", False)
    own = pyproject(project)
    wanted = (own.get("project") or {}).get("requires-python")
    if wanted is None:
        poetry = ((own.get("tool") or {}).get("poetry") or {}).get("dependencies") or {}
        wanted = poetry.get("python") if isinstance(poetry, dict) else None
    return Wish(wanted, "pyproject.toml", True) if isinstance(wanted, str) and wanted.strip() else None


def choose(project: Project, source: Source | None) -> Interpreter:
    """The newest interpreter that fits. Raises StagingFailure naming the file and what there is instead."""
    offered = {project.python_version: Interpreter(project.python_version, STACK_PROGRAM, None)}
    for version in project.catalogue.versions("python"):
        tool = project.catalogue.get("python", version)
        if tool is not None:
            offered[version] = Interpreter(version, f"{project.root_of(tool)}/bin/python3", tool)
    asked = wish(project, source)
    if asked is None:
        return offered[max(offered, key=parse)]
    try:
        found = newest(offered, asked.version, style="python")
        if found is None and not asked.strict:
            found = newest(offered, ".".join(asked.version.split(".")[:2]), style="python")
    except BadRange:
        raise StagingFailure(
            "python",
            f"{asked.file} asks for Python {asked.version[:60]!r}, which is no version",
            "write for example 3.11",
        ) from None
    if found is None:
        known = ", ".join(sorted(offered, key=parse))
        minor = ".".join(max(offered, key=parse).split(".")[:2])
        raise StagingFailure(
            "python",
            f"{asked.file} asks for Python {asked.version}, this node has {known}",
            f"ask for {minor} in {asked.file}, or have the operator add that Python to [[staging.toolchains]]",
        )
    return offered[found]


def notes(project: Project, source: Source | None, version: str) -> list[str]:
    """What a developer should know about the choice."""
    asked = wish(project, source)
    found = []
    if (
        asked is not None
        and not asked.strict
        and asked.version.count(".") >= 2
        and asked.version[-1:].isdigit()
        and asked.version != version
    ):
        found.append(f"{asked.file} asks for {asked.version}; taking {version}, the patch release that this node has")
    if source is not None and source.ignored:
        found.append(f"Using {source.name}, not {', '.join(source.ignored)}")
    return found
