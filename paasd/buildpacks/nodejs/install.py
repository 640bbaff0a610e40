"""Install node_modules with the app's package manager, unless a layer of the same key is already mounted there."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..failure import StagingFailure
from ..interface import Layer, Step
from ..multi import link_programs
from .failures import explain
from .manifest import Package, read, wants_development

_YARN_REGISTRY = "https://registry.yarnpkg.com"


def environment(step: Step) -> dict[str, str]:
    """What the package manager and scripts see."""
    temporary = step.project.layout.temporary
    modules = step.app / "node_modules" / ".bin"
    return {
        "PATH": f"{step.deps_dir}/bin:{modules}:{step.env.get('PATH', '')}",
        "NODE_HOME": step.plan.facts["node"],
        "HOME": str(temporary / "node-home"),
        "CI": "1",
        # Extraction dominates an install; keeping npm's cache gains next to nothing.
        "npm_config_cache": str(temporary / "npm-cache"),
        # A host that may not be reached is asked again for half a minute, not for two.
        "npm_config_fetch_retries": "3",
        "npm_config_fetch_retry_mintimeout": "1000",
        "npm_config_fetch_retry_maxtimeout": "15000",
        "npm_config_update_notifier": "false",
        "npm_config_fund": "false",
        "npm_config_audit": "false",
        "npm_config_progress": "false",
        "npm_config_loglevel": step.env.get("NPM_CONFIG_LOGLEVEL", "error"),
        "YARN_CACHE_FOLDER": str(temporary / "yarn-cache"),
        "YARN_ENABLE_TELEMETRY": "0",
        "YARN_ENABLE_GLOBAL_CACHE": "0",
        "YARN_NODE_LINKER": "node-modules",
        "YARN_ENABLE_IMMUTABLE_INSTALLS": "1",
        "COREPACK_ENABLE_STRICT": "0",
        "npm_config_manage_package_manager_versions": "false",
    }


def programs(step: Step) -> None:
    """deps/N/bin: node and the package managers."""
    step.project.layout.temporary.joinpath("node-home").mkdir(parents=True, exist_ok=True)
    root = step.plan.facts["node"]
    links = {name: f"{root}/bin/{name}" for name in ("node", "npm", "npx")}
    if manager_root := step.plan.facts["manager_root"]:
        folder = Path(manager_root) / "bin"
        links.update({path.name: str(path) for path in (folder.iterdir() if folder.is_dir() else ())})
    link_programs(step.deps_dir / "bin", links)


def dependencies(step: Step, package: Package) -> None:
    """node_modules with what building needs. Raises StagingFailure naming the package and the reason."""
    layers = step.plan.layers
    if layers and all(layer.key in step.granted for layer in layers):
        step.log("Dependencies unchanged: using the layer built before, nothing to install")
        return
    development = wants_development(step.project, package)
    present = (step.app / "node_modules").is_dir() and not layers
    step.log(f"Installing dependencies{' with devDependencies' if development else ''}")
    if present:
        step.log("node_modules was pushed: rebuilding what is native in it")
        manage(step, ["rebuild"], "rebuild node_modules", program="npm")
    with _reachable_lock(step):
        manage(step, _arguments(step, development=development), "install the dependencies")
    if len(layers) == 2:
        _keep_development(step, layers[1])


@contextmanager
def _reachable_lock(step: Step) -> Iterator[None]:
    """yarn 1 writes one registry's address into its lock file; what is fetched instead must have the same digests."""
    lock = step.app / "yarn.lock"
    registry = step.env.get("npm_config_registry", "").rstrip("/")
    text = lock.read_text("utf-8") if step.plan.facts["manager"] == "yarn" and lock.is_file() else ""
    if not registry or _YARN_REGISTRY not in text:
        yield
        return
    lock.write_text(text.replace(_YARN_REGISTRY, registry))
    try:
        yield
    finally:
        lock.write_text(text)


def _arguments(step: Step, *, development: bool) -> list[str]:
    manager, lock = step.plan.facts["manager"], step.project.has("package-lock.json", "npm-shrinkwrap.json")
    if manager == "yarn" and step.plan.facts["major"] >= 2:
        return ["install"] if step.project.has("yarn.lock") else ["install", "--no-immutable"]
    if manager == "yarn":
        frozen = ["--frozen-lockfile"] if step.project.has("yarn.lock") else []
        return [
            "install",
            "--non-interactive",
            "--no-progress",
            *frozen,
            f"--production={'false' if development else 'true'}",
        ]
    if manager == "pnpm":
        frozen = ["--frozen-lockfile"] if step.project.has("pnpm-lock.yaml") else ["--no-frozen-lockfile"]
        store = str(step.project.layout.temporary / "pnpm-store")
        # Copies: the store is thrown away and links into it would keep half of it alive.
        common = ["--store-dir", store, "--package-import-method", "copy", "--reporter", "append-only"]
        return ["install", *frozen, *common, *([] if development else ["--prod"])]
    present = (step.app / "node_modules").is_dir()
    clean = lock and not present and step.env.get("USE_NPM_INSTALL", "").lower() not in ("true", "1")
    return ["ci" if clean else "install", "--include=dev" if development else "--omit=dev"]


def manage(step: Step, arguments: list[str], what: str, *, program: str | None = None) -> None:
    """Run the package manager. Raises StagingFailure."""
    code, tail = step.run(
        [str(step.deps_dir / "bin" / (program or step.plan.facts["manager"])), *arguments], env=environment(step)
    )
    if code:
        reason, advice = explain(tail, read(step.project).specifications)
        raise StagingFailure("nodejs", f"cannot {what}: {reason}", advice)


def module_directories(app: Path) -> list[Path]:
    """Every node_modules of the app and its workspaces, but none inside another."""
    found = []
    for directory, folders, _ in os.walk(app):
        if "node_modules" in folders:
            path = Path(directory) / "node_modules"
            if not path.is_symlink():
                found.append(path)
            folders.remove("node_modules")
    return found


def _keep_development(step: Step, layer: Layer) -> None:
    """Hard links to everything as it is now: building and pruning come later and replace files, not contents.

    `build.run` registers it, when it has seen that the build wrote into none of them.
    """
    shutil.rmtree(layer.tree, ignore_errors=True)
    for modules in module_directories(step.app):
        target = Path(layer.tree) / modules.relative_to(step.project.layout.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["cp", "-al", str(modules), str(target)], check=False, capture_output=True)
        if done.returncode:
            shutil.rmtree(layer.tree, ignore_errors=True)
            step.log("Cannot keep the devDependencies for the next build; it will install them again")
            return


def prune(step: Step) -> None:
    """Leave only what production needs."""
    manager = step.plan.facts["manager"]
    step.log("Pruning devDependencies")
    if manager == "yarn" and step.plan.facts["major"] >= 2:
        arguments = ["workspaces", "focus", "--all", "--production"]
    elif manager == "yarn":
        arguments = [
            "install",
            "--production",
            "--ignore-scripts",
            "--prefer-offline",
            "--frozen-lockfile",
            "--no-progress",
        ]
    elif manager == "pnpm":
        store = str(step.project.layout.temporary / "pnpm-store")
        arguments = ["prune", "--prod", "--ignore-scripts", "--config.store-dir=" + store]
    else:
        arguments = ["prune", "--omit=dev", "--ignore-scripts"]
    with _reachable_lock(step):
        manage(step, arguments, "prune devDependencies")
