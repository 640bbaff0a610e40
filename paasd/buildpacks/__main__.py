"""Entry inside the sandbox: `python3 -I -c ... detect|build|pack REQUEST`. The last stands in pack.py.

An uploaded droplet has `unpack` (droplet.py) in place of the first two.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .archive import ArchiveLimits, unpack
from .catalogue import Catalogue, toolchain_from
from .droplet import unpack_droplet
from .external import External
from .failure import PACKAGE_REFUSED, StagingFailure
from .hashing import tree_digest, xxh64
from .ignore import apply_cfignore
from .interface import Layout, Project
from .lifecycle import Builder, Chosen, choose, make_plans, staging_info
from .pack import pack


def _project(request: dict[str, Any], layout: Layout, fingerprint: str) -> Project:
    return Project(
        layout=layout,
        env=request["env"],
        catalogue=Catalogue(tuple(toolchain_from(entry) for entry in request["catalogue"])),
        stack=request["stack_identity"],
        python_version=".".join(map(str, sys.version_info[:3])),
        arch=request["arch"],
        today=request["today"],
        fingerprint=fingerprint,
        granted=frozenset(request.get("granted", ())),
    )


def detect(request: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """Unpack, choose, plan. Gives plan.json."""
    started = time.monotonic()
    for folder in (layout.app, layout.deps, layout.cache, layout.profile_d, layout.staging):
        folder.mkdir(parents=True, exist_ok=True)
    limits = ArchiveLimits(**request.get("limits", {}))
    entries = unpack(Path(request["package"]), layout.app, limits)
    left_out = apply_cfignore(layout.app)
    fingerprint = tree_digest(layout.app)
    unpacked = time.monotonic()
    print(f"-----> Unpacked {entries} entries" + (f", left out {left_out}" if left_out else ""), flush=True)
    project = _project(request, layout, fingerprint)
    chosen = choose(project, request["buildpacks"], request.get("custom", {}), request.get("order"))
    plans = make_plans(chosen, project)
    for entry in chosen:
        if entry.detected:
            print(f"-----> Detected {entry.detected}", flush=True)
    return {
        "fingerprint": fingerprint,
        "timings": {"unpack": unpacked - started, "detect": time.monotonic() - unpacked},
        "buildpacks": [
            {
                "name": entry.name,
                "index": entry.index,
                "detected": entry.detected,
                "external": isinstance(entry.pack, External),
            }
            for entry in chosen
        ],
        "toolchains": [[tool.name, tool.version] for plan in plans for tool in plan.toolchains if tool.kind != "stack"],
        "layers": [asdict(layer) for plan in plans for layer in plan.layers],
        "moving": any(plan.moving for plan in plans),
    }


def build(request: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """Run the chosen buildpacks. Gives result.json."""
    plan = json.loads((layout.staging / "plan.json").read_text())
    project = _project(request, layout, plan["fingerprint"])
    chosen = [_chosen(entry, project) for entry in plan["buildpacks"]]
    builder = Builder(project, chosen)
    built = builder.build()
    launch = [
        [tool.name, tool.version]
        for entry in chosen
        if not isinstance(entry.pack, External)
        for tool in builder.plan_of(entry).launch_toolchains
        if tool.kind != "stack"
    ]
    staging_info(layout, built.detected, built.table.types, built.table.sidecars, launch)
    return {
        "process_types": built.table.types,
        "processes": [{"type": name, "command": command} for name, command in built.table.types.items()],
        "sidecars": built.table.sidecars,
        "execution_metadata": "",
        "lifecycle_type": "buildpack",
        "lifecycle_metadata": {"detected_buildpack": built.detected, "buildpacks": built.buildpacks},
        "layers": [asdict(layer) for layer in built.layers],
        "toolchains": launch,
        "suggestion": _suggestion(layout),
        "cached": any(files for _, _, files in os.walk(layout.cache)),
    }


def _suggestion(layout: Layout) -> str:
    """A command that a buildpack guessed for the error text."""
    try:
        return str(json.loads((layout.staging / "suggestion.json").read_text())["command"])
    except (OSError, ValueError, KeyError):
        return ""


def _chosen(entry: dict[str, Any], project: Project) -> Chosen:
    if entry["external"]:
        root = project.layout.buildpacks / xxh64(entry["name"].encode())
        return Chosen(entry["name"], entry["index"], External(entry["name"], root), entry["detected"])
    (found,) = choose(project, [entry["name"]], {})
    return Chosen(entry["name"], entry["index"], found.pack, entry["detected"])


PHASES: dict[str, tuple[Callable[[dict[str, Any], Layout], dict[str, Any]], str]] = {
    "detect": (detect, "plan.json"),
    "build": (build, "result.json"),
    "unpack": (unpack_droplet, "result.json"),
    "pack": (pack, "packed.json"),
}


def main(arguments: list[str]) -> int:
    """Run one phase; the exit code is Cloud Foundry's, failure.json says the rest."""
    phase, request_path = arguments[:2]
    request = json.loads(Path(request_path).read_text())
    places = {name: Path(request[name]) for name in ("home", "temporary", "toolchains", "root") if name in request}
    layout = Layout(**places)
    layout.staging.mkdir(parents=True, exist_ok=True)
    run, output = PHASES[phase]
    try:
        result = run(request, layout)
    except StagingFailure as error:
        failure = {"step": error.step, "reason": error.reason, "advice": error.advice, "code": error.code}
        print(f" !     {error.step}: {error.reason}" + (f"\n !     {error.advice}" if error.advice else ""), flush=True)
        (layout.staging / "failure.json").write_text(json.dumps(failure))
        return error.code
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
        advice = "raise disk_quota in the manifest, or push less" if error.errno in (28, 122) else ""
        print(f" !     {phase}: {reason}" + (f"\n !     {advice}" if advice else ""), flush=True)
        (layout.staging / "failure.json").write_text(
            json.dumps({"step": phase, "reason": reason, "advice": advice, "code": PACKAGE_REFUSED})
        )
        return PACKAGE_REFUSED
    (layout.staging / output).write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
