"""Cloud Foundry's builder: choose buildpacks, run supply and finalize (or compile and release), say what came out."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import builtin, multi
from .external import External, fetch
from .failure import COMPILE_FAILED, DETECT_FAILED, RELEASE_FAILED, SUPPLY_FAILED, StagingFailure
from .hashing import xxh64
from .interface import Buildpack, Layer, Layout, Plan, Project, Step
from .processes import ProcessTable, buildpack_metadata, from_launch_yml, from_release, procfile


@dataclass(frozen=True)
class Chosen:
    """One buildpack of this build, at its place."""

    name: str
    index: str
    pack: Buildpack | External
    detected: str


def choose(
    project: Project, names: list[str], custom: Mapping[str, str], order: list[str] | None = None
) -> list[Chosen]:
    """The buildpacks named by the developer, or the first that knows the app. Raises StagingFailure (222)."""
    if names:
        width = len(str(len(names)))
        found = [_named(name, custom, project) for name in names]
        return [
            Chosen(name, f"{at:0{width}d}", pack, "") for at, (name, pack) in enumerate(zip(names, found, strict=True))
        ]
    for name in order or [pack.name for pack in builtin.ORDER]:
        pack = _named(name, custom, project)
        shown = pack.detect(project.app, project.env) if isinstance(pack, External) else pack.detect(project)
        if shown is not None:
            return [Chosen(name, "0", pack, shown or name)]
    holds = sorted(path.name for path in project.app.iterdir())[:8]
    raise StagingFailure(
        "detect",
        f"no buildpack knows this app (it holds {', '.join(holds) or 'nothing'})",
        "add requirements.txt, pyproject.toml, package.json, Staticfile or a Procfile at the app's root, "
        "or name a buildpack in the manifest",
        code=DETECT_FAILED,
    )


def _named(name: str, custom: Mapping[str, str], project: Project) -> Buildpack | External:
    if name in custom:
        return fetch(name, custom[name], project.layout, project.env)
    if (pack := builtin.resolve(name)) is not None:
        return pack
    if "://" in name:
        return fetch(name, name, project.layout, project.env)
    known = ", ".join(pack.name for pack in builtin.ORDER)
    raise StagingFailure(
        "detect", f"there is no buildpack {name!r}", f"use one of {known}, or the address of one", code=DETECT_FAILED
    )


def make_plans(chosen: list[Chosen], project: Project) -> list[Plan]:
    """What each buildpack will need; third-party ones say nothing beforehand."""
    return [
        Plan() if isinstance(entry.pack, External) else entry.pack.plan(replace(project, index=entry.index))
        for entry in chosen
    ]


@dataclass
class Built:
    """What a build leaves behind, for result.json."""

    table: ProcessTable
    layers: list[Layer]
    detected: str
    buildpacks: list[dict[str, Any]]


class Builder:
    """One build. The order of calls is Cloud Foundry's, so that buildpacks of others find what they expect."""

    def __init__(self, project: Project, chosen: list[Chosen]) -> None:
        self._project = project
        self._layout = project.layout
        self._chosen = chosen
        self._layers: list[Layer] = []
        self._plans: dict[str, Plan] = {}

    def build(self) -> Built:
        *earlier, last = self._chosen
        self._require_supply(earlier)
        self._tidy_cache([entry.name for entry in earlier])
        for entry in self._chosen:
            self._layout.deps.joinpath(entry.index).mkdir(parents=True, exist_ok=True)
        for entry in earlier:
            self._supply(entry)
        table = self._finish(last, earlier)
        table.types.update(procfile(self._layout.app))
        if "web" not in table.types:
            print("       No web process: name a command in the manifest or a Procfile if this app answers requests")
        return Built(table, self._layers, last.detected or last.name, self._metadata())

    def plan_of(self, entry: Chosen) -> Plan:
        """What the buildpack at this place wanted, as of its own turn."""
        return self._plans.get(entry.index, Plan())

    def _require_supply(self, earlier: list[Chosen]) -> None:
        for entry in earlier:
            if isinstance(entry.pack, External) and not entry.pack.has("supply"):
                raise StagingFailure(
                    "supply",
                    f"buildpack {entry.name} has no bin/supply, so it can only be the last one",
                    "put it last in the manifest's list",
                    code=SUPPLY_FAILED,
                )

    def _tidy_cache(self, names: list[str]) -> None:
        """Caches of buildpacks that are no longer used go; `final` survives a change of buildpacks."""
        kept = {"final", "packages", *(xxh64(name.encode()) for name in names)}
        self._layout.cache.mkdir(parents=True, exist_ok=True)
        for entry in self._layout.cache.iterdir():
            if entry.name not in kept and entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
        for name in kept:
            self._layout.cache.joinpath(name).mkdir(exist_ok=True)

    def _step(self, entry: Chosen) -> Step:
        project = replace(self._project, index=entry.index)
        env = multi.staging_environment(self._layout.deps, project.env)
        plan = Plan()
        if not isinstance(entry.pack, External):
            # Planned again: an earlier buildpack may have changed the app.
            plan = self._plans.setdefault(entry.index, entry.pack.plan(project))
        return Step(project, plan, env, self._layers)

    def _supply(self, entry: Chosen) -> None:
        if not isinstance(entry.pack, External):
            try:
                entry.pack.supply(self._step(entry))
            except StagingFailure as error:
                error.code = SUPPLY_FAILED if error.code == COMPILE_FAILED else error.code
                raise
            return
        cache = self._layout.cache / xxh64(entry.name.encode())
        arguments = (self._layout.app, cache, self._layout.deps, entry.index)
        if code := entry.pack.run("supply", *arguments, env=self._project.env, cwd=entry.pack.root):
            raise StagingFailure(
                "supply",
                f"bin/supply of {entry.name} exited with {code}",
                "its lines above say why",
                code=SUPPLY_FAILED,
            )

    def _finish(self, last: Chosen, earlier: list[Chosen]) -> ProcessTable:
        table = ProcessTable()
        if isinstance(last.pack, External):
            self._finish_external(last, last.pack, bool(earlier))
        else:
            last.pack.supply(self._step(last))
            last.pack.finalize(self._step(last))
            multi.write_profile(self._layout.deps, self._layout.profile_d)
        for entry in earlier:
            from_launch_yml(table, self._launch_yml(entry.index))
        if not from_launch_yml(table, self._launch_yml(last.index)) and isinstance(last.pack, External):
            self._release(last.pack, table)
        table.check()
        return table

    def _launch_yml(self, index: str) -> Path:
        """Upstream looks under the index without its leading zero; buildpacks write under either."""
        padded = self._layout.deps / index / "launch.yml"
        return padded if padded.exists() else self._layout.deps / str(int(index)) / "launch.yml"

    def _finish_external(self, last: Chosen, pack: External, after_others: bool) -> None:
        cache = self._layout.cache / "final"
        common = (self._layout.app, cache)
        if pack.has("finalize"):
            steps: list[tuple[str, tuple[Path | str, ...]]] = []
            if pack.has("supply"):
                steps.append(("supply", (*common, self._layout.deps, last.index)))
            steps.append(("finalize", (*common, self._layout.deps, last.index, self._layout.profile_d)))
        else:
            if after_others:
                print("       Warning: the last buildpack knows no other buildpacks and cannot use what they supplied")
            shutil.rmtree(self._layout.deps / last.index, ignore_errors=True)
            steps = [("compile", (*common, self._environment_directory()))]
        for program, arguments in steps:
            if code := pack.run(program, *arguments, env=self._project.env, cwd=pack.root):
                raise StagingFailure(
                    program, f"bin/{program} of {last.name} exited with {code}", "its lines above say why"
                )

    def _environment_directory(self) -> Path:
        """Heroku's third argument: every variable as a file."""
        folder = self._layout.staging / "env"
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in self._project.env.items():
            if name.replace("_", "").isalnum():
                (folder / name).write_text(value)
        return folder

    def _release(self, pack: External, table: ProcessTable) -> None:
        if not pack.has("release"):
            return
        command = [str(pack.root / "bin" / "release"), str(self._layout.app)]
        done = subprocess.run(
            command,
            env=dict(self._project.env),
            cwd=pack.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            raise StagingFailure("release", f"bin/release exited with {done.returncode}", code=RELEASE_FAILED)
        from_release(table, done.stdout[: 1024 * 1024].decode("utf-8", "replace"))

    def _metadata(self) -> list[dict[str, Any]]:
        told = {
            entry["index"]: entry
            for entry in buildpack_metadata(self._layout.deps, [one.index for one in self._chosen])
        }
        found = []
        for entry in self._chosen:
            config = told.get(entry.index, {})
            plan = self._plans.get(entry.index, Plan())
            name = config.get("name") or (entry.name if isinstance(entry.pack, External) else entry.pack.name)
            found.append(
                {
                    "key": entry.name,
                    "name": str(name),
                    "version": str(config.get("version") or plan.version),
                    "detect_output": entry.detected,
                }
            )
        return found


def staging_info(
    layout: Layout,
    detected: str,
    types: Mapping[str, str],
    sidecars: Sequence[Mapping[str, Any]] = (),
    toolchains: Sequence[Sequence[str]] = (),
) -> None:
    """staging_info.yml, which is JSON: part of the droplet, read by Cloud Foundry's own tools.

    What stands under `paasd` is for a paasd that a downloaded droplet is uploaded to: the toolchains are its own.
    """
    ours = {"process_types": types, "sidecars": sidecars, "toolchains": toolchains}
    info = {"detected_buildpack": detected, "start_command": types.get("web", ""), "config": {}, "paasd": ours}
    layout.home.joinpath("staging_info.yml").write_text(json.dumps(info))
