"""The app's own build, then the decision what of node_modules is a layer and what goes with the app."""

import os
import re
from dataclasses import replace
from pathlib import Path

from ..failure import StagingFailure
from ..hashing import tree_listing
from ..interface import Step
from .install import environment, module_directories, prune
from .manifest import Package, wants_development

# Tools keep scratch files there; they say nothing about what the app needs.
_SCRATCH = frozenset({".cache", ".vite", ".vite-temp"})


def run_script(step: Step, package: Package, name: str) -> None:
    """Run a script of package.json when there is one. Raises StagingFailure."""
    if not package.scripts.get(name):
        return
    step.title(f"Running {name}: {package.scripts[name]}")
    manager = step.plan.facts["manager"]
    env = {**environment(step), "NODE_ENV": step.env.get("NODE_ENV", "production")}
    code, tail = step.run([str(step.deps_dir / "bin" / manager), "run", name], env=env)
    if code:
        said = _cause(tail)
        missing = re.search(r"(?:sh: \d+: |sh: line \d+: |^)(\S+): (?:command )?not found", "\n".join(tail), re.M)
        advice = (
            f"add the package that has '{missing[1]}' to the dependencies"
            if missing
            else "the lines above are its output"
        )
        raise StagingFailure("nodejs", f"the script '{name}' failed: {said}", advice)


def _cause(tail: list[str]) -> str:
    lines = [line.strip() for line in tail if line.strip() and not line.startswith(("npm error", "npm ERR!", "> "))]
    error = next((line for line in reversed(lines) if re.search(r"\b\w*Error\b|\berror\b|not found", line)), None)
    return (error or (lines[-1] if lines else "no output"))[:240]


def run(step: Step, package: Package) -> None:
    """Build, prune, and register the production layer, unless the build itself wrote into node_modules."""
    reused = bool(step.plan.layers) and all(layer.key in step.granted for layer in step.plan.layers)
    roots = module_directories(step.app)
    changed = False
    if package.build_script:
        before = [tree_listing(root, ignored=_SCRATCH) for root in roots]
        run_script(step, package, package.build_script)
        changed = before != [tree_listing(root, ignored=_SCRATCH) for root in roots]
    if changed and step.plan.layers:
        step.log("The build wrote into node_modules, so it goes with the app instead of into a layer of its own")
    if wants_development(step.project, package) and (changed or not reused):
        prune(step)
    if step.plan.layers and not changed:
        paths = tuple(str(root) for root in roots if os.path.lexists(root))
        step.built.extend(layer for layer in step.plan.layers[1:] if reused or Path(layer.tree).is_dir())
        if paths:
            step.built.append(replace(step.plan.layers[0], paths=paths))
