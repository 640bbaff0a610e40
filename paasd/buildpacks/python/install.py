"""Fill the dependency layer deps/N/python with uv, unless a layer of the same key is already mounted there."""

import re
import shutil
from pathlib import Path

from ..failure import StagingFailure
from ..interface import Step
from ..multi import link_programs
from .failures import explain
from .pipfile import requirement_lines
from .sources import Source, pyproject

# Exports poetry.lock; only used when that layer is not there yet.
_POETRY = ("--from", "poetry==2.2.1", "--with", "poetry-plugin-export==1.9.0")


def _uv_environment(step: Step) -> dict[str, str]:
    return {
        "UV_CACHE_DIR": str(step.package_cache / "uv"),
        # Hard links would let the app's files change the cache.
        "UV_LINK_MODE": "copy",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "UV_NO_MANAGED_PYTHON": "1",
        "UV_PYTHON": step.plan.facts["python"],
        "UV_TOOL_DIR": str(step.package_cache / "uv-tools"),
        # The layer has one time for all its files, so bytecode is checked by what its source holds.
        "PYC_INVALIDATION_MODE": "CHECKED_HASH",
        "VIRTUAL_ENV": str(step.deps_dir / "python"),
        "HOME": str(step.project.layout.temporary / "uv-home"),
    }


def dependencies(step: Step, source: Source | None) -> None:
    """Install what `source` names. Raises StagingFailure naming the dependency and the reason."""
    target = step.deps_dir / "python"
    if step.plan.layers and step.plan.layers[0].key in step.granted:
        step.log(
            f"{source.name if source else 'dependencies'} unchanged: using the layer built before, nothing to install"
        )
        step.built.extend(step.plan.layers)
        return
    shutil.rmtree(target, ignore_errors=True)
    _uv(
        step,
        ["venv", "--quiet", "--no-project", "--python", step.plan.facts["python"], str(target)],
        "create the environment",
    )
    if source is None:
        return
    step.log(f"Installing dependencies from {source.name}")
    arguments = ["pip", "install", "--compile-bytecode", "--python", str(target), *_requirements(step, source)]
    vendor = step.app / "vendor"
    if (
        source.name == "requirements.txt"
        and vendor.is_dir()
        and any(vendor.glob("*.whl")) | any(vendor.glob("*.tar.gz"))
    ):
        step.log("Using the packages in vendor/ only")
        arguments += ["--no-index", "--find-links", str(vendor)]
    _uv(step, arguments, f"install {source.name}")
    step.built.extend(step.plan.layers)


def _requirements(step: Step, source: Source) -> list[str]:
    """Arguments that name what to install; lock files of other tools become a requirements file."""
    listed = step.project.layout.temporary / f"requirements-{step.project.index}.txt"
    if source.name in ("Pipfile.lock", "Pipfile"):
        listed.write_text("\n".join(requirement_lines(step.project, source.name)) + "\n")
        return ["-r", str(listed)]
    if source.name == "uv.lock":
        command = ["export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--format", "requirements-txt"]
        _uv(step, [*command, "--output-file", str(listed)], "read uv.lock")
        return ["-r", str(listed)]
    if source.name == "poetry.lock":
        command = ["tool", "run", *_POETRY, "poetry", "export", "--only", "main", "--format", "requirements.txt"]
        _uv(step, [*command, "--output", str(listed)], "read poetry.lock")
        return ["-r", str(listed)]
    own = pyproject(step.project) if source.name == "pyproject.toml" else {}
    if "project" not in own and "poetry" in (own.get("tool") or {}):
        raise StagingFailure(
            "python",
            "pyproject.toml names its dependencies for Poetry, and there is no poetry.lock",
            "run 'poetry lock' and push the lock file too",
        )
    return ["-r", source.name]


def _uv(step: Step, arguments: list[str], what: str) -> None:
    code, tail = step.run([step.plan.facts["uv"], *arguments], env=_uv_environment(step))
    if code:
        reason, advice = explain(tail)
        raise StagingFailure("python", f"cannot {what}: {reason}", advice)


def own_package(step: Step, source: Source | None) -> None:
    """An app that is a package itself is installed too, beside the layer: it changes with every push."""
    own = pyproject(step.project)
    poetry = (own.get("tool") or {}).get("poetry") or {}
    packaged = "build-system" in own and (own.get("project") or poetry) and poetry.get("package-mode") is not False
    uv_settings = (own.get("tool") or {}).get("uv") or {}
    if source is None or source.name == "requirements.txt" or uv_settings.get("package") is False:
        return
    if not packaged and source.name != "setup.py":
        return
    target = step.deps_dir / "project"
    arguments = [
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--compile-bytecode",
        "--python",
        str(step.deps_dir / "python"),
    ]
    code, tail = step.run(
        [step.plan.facts["uv"], *arguments, "--target", str(target), "."], env=_uv_environment(step), quiet=True
    )
    if code:
        # Many apps carry a build-system table and were never meant to be built; their code is on PYTHONPATH anyway.
        step.log(f"The app itself is not installed as a package ({explain(tail)[0]}); it runs from its directory")


def programs(step: Step) -> None:
    """deps/N/bin: what the environment offers; python through a script, or it would not find its environment."""
    folder = step.deps_dir / "bin"
    inside = step.deps_dir / "python" / "bin"
    links: dict[str, str] = {}
    for entry in sorted(path.name for path in inside.iterdir()):
        if (
            re.fullmatch(r"python[0-9.]*", entry) is None
            and not entry.lower().startswith("activate")
            and entry != "pydoc.bat"
        ):
            links[entry] = str(inside / entry)
    project = step.deps_dir / "project" / "bin"
    if project.is_dir():
        links.update({path.name: str(path) for path in project.iterdir()})
    link_programs(folder, links)
    for name in ("python", "python3", f"python{'.'.join(step.plan.version.split('.')[:2])}"):
        _wrapper(folder / name, inside / "python")


def _wrapper(path: Path, program: Path) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
    path.chmod(0o755)
