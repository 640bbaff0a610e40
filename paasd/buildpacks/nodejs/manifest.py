"""package.json and the lock file beside it: which Node.js, which package manager, and the keys of what they install."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from ..catalogue import Toolchain
from ..failure import StagingFailure
from ..hashing import digest
from ..interface import Layer, Project
from ..versions import BadRange

# Raise it when the same files would now install something else.
_FORMAT = "1"
_SETTINGS = ("NPM_CONFIG_", "npm_config_", "YARN_", "PNPM_", "NODE_", "USE_NPM_INSTALL", "BP_")
_NOT_SETTINGS = ("npm_config_cache", "NODE_EXTRA_CA_CERTS", "npm_config_cafile")
_OWN_SCRIPTS = (
    "preinstall",
    "install",
    "postinstall",
    "prepublish",
    "preprepare",
    "prepare",
    "postprepare",
    "heroku-prebuild",
)
_CONFIGURATION = (".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml", ".pnpmfile.cjs")
_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml")


@dataclass(frozen=True)
class Package:
    """What matters of package.json."""

    name: str = ""
    main: str = ""
    engines: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    package_manager: str = ""
    workspaces: tuple[str, ...] = ()
    dependencies: frozenset[str] = frozenset()
    dev_dependencies: frozenset[str] = frozenset()
    specifications: dict[str, str] = field(default_factory=dict)

    @property
    def build_script(self) -> str | None:
        """Heroku's name wins over the common one."""
        return next((name for name in ("heroku-postbuild", "build") if self.scripts.get(name)), None)


@dataclass(frozen=True)
class Manager:
    """npm comes with Node.js; the others are toolchains."""

    kind: str
    lock: str | None
    major: int
    toolchain: Toolchain | None


def read(project: Project) -> Package:
    """package.json of the app. Raises StagingFailure when it is not JSON."""
    if not project.has("package.json"):
        return Package()
    try:
        found = json.loads(project.read("package.json"))
    except (ValueError, RecursionError) as error:
        raise StagingFailure("nodejs", f"package.json is not valid JSON: {error}", "correct that line") from error
    if not isinstance(found, dict):
        raise StagingFailure("nodejs", "package.json is not an object", "see npm's documentation")
    spaces = found.get("workspaces") or ()
    spaces = spaces.get("packages") or () if isinstance(spaces, dict) else spaces
    return Package(
        name=str(found.get("name") or ""),
        main=str(found.get("main") or ""),
        engines=_strings(found.get("engines")),
        scripts=_strings(found.get("scripts")),
        package_manager=str(found.get("packageManager") or ""),
        workspaces=tuple(str(space) for space in spaces) if isinstance(spaces, list) else (),
        dependencies=frozenset(_strings(found.get("dependencies"))),
        dev_dependencies=frozenset(_strings(found.get("devDependencies"))),
        specifications={
            name: wanted
            for kind in ("devDependencies", "optionalDependencies", "dependencies")
            for name, wanted in _strings(found.get(kind)).items()
        },
    )


def _strings(found: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def choose_node(project: Project, package: Package) -> Toolchain:
    """engines.node, then .nvmrc or .node-version, then the default. Raises StagingFailure with what there is."""
    wanted, file = package.engines.get("node"), "package.json (engines.node)"
    if not wanted:
        for name in (".nvmrc", ".node-version"):
            if project.has(name):
                lines = project.read(name).strip().splitlines()
                wanted, file = (lines[0].strip() if lines else ""), name
                break
    if wanted and (wanted.startswith("lts/") or wanted in ("node", "stable", "latest", "current")):
        codenames = {"lts/iron": "20", "lts/jod": "22", "lts/krypton": "24"}
        wanted = codenames.get(wanted.lower(), "*" if not wanted.startswith("lts/") or wanted == "lts/*" else wanted)
    try:
        found = project.catalogue.pick("node", wanted, style="npm")
        if found is None and wanted and re.fullmatch(r"v?\d+\.\d+\.\d+", wanted):
            # A patch release of the same major stands in; package.json's ranges are taken at their word.
            found = project.catalogue.pick("node", wanted.lstrip("v").split(".")[0], style="npm")
    except BadRange:
        raise StagingFailure(
            "nodejs", f"{file} asks for Node.js {wanted!r}, which is no version", "write '22.x'"
        ) from None
    if found is None:
        known = ", ".join(project.catalogue.versions("node")) or "none"
        raise StagingFailure(
            "nodejs",
            f"{file} asks for Node.js {wanted}, this node has {known}",
            "ask for one of these, such as '22.x', or have the operator add that version to [[staging.toolchains]]",
        )
    return found


def choose_manager(project: Project, package: Package) -> Manager:
    """By lock file, else by packageManager, else npm."""
    lock = project.has(*_LOCKS)
    kind = {"yarn.lock": "yarn", "pnpm-lock.yaml": "pnpm"}.get(lock or "", "npm")
    named = re.fullmatch(r"(npm|yarn|pnpm)@(\d+)\..*", package.package_manager)
    if lock is None and named:
        kind = named[1]
    if kind == "npm":
        return Manager("npm", lock, 10, None)
    wanted = package.engines.get(kind)
    if named and named[1] == kind:
        wanted = named[2]
    elif kind == "yarn" and lock and "__metadata:" in project.read(lock)[:2000]:
        wanted = "4"
    elif kind == "yarn" and not wanted:
        wanted = "1"
    try:
        found = project.catalogue.pick(kind, wanted, style="npm") or project.catalogue.pick(kind, None, style="npm")
    except BadRange:
        found = project.catalogue.pick(kind, None, style="npm")
    if found is None:
        raise StagingFailure(
            "nodejs", f"this node's catalogue has no {kind}", "lock with npm, or ask the operator to add it"
        )
    if kind == "yarn" and wanted and wanted[:1].isdigit() and int(wanted[:1]) > 1 and found.version.startswith("1."):
        raise StagingFailure(
            "nodejs", f"this node has no yarn {wanted}", "ask the operator to add it to [[staging.toolchains]]"
        )
    return Manager(kind, lock, int(found.version.split(".")[0]), found)


def wants_development(project: Project, package: Package) -> bool:
    """Whether devDependencies must be there while building."""
    asked = project.env.get("NPM_CONFIG_PRODUCTION", project.env.get("YARN_PRODUCTION", "")).lower()
    if asked in ("true", "1"):
        return False
    return bool(package.dev_dependencies or package.workspaces) and bool(
        package.build_script or package.scripts.get("prepare") or package.scripts.get("postinstall")
    )


def layers(project: Project, package: Package, manager: Manager, node: str) -> tuple[Layer, ...]:
    """(production,) or (production, development): the keys under which node_modules may be found again."""
    if not project.has("package.json"):
        return ()
    files = [name for name in ("package.json", *_CONFIGURATION, manager.lock or "") if name and project.has(name)]
    # Scripts and their names do not change what is installed, unless npm runs them while installing.
    own_scripts = any(package.scripts.get(name) for name in _OWN_SCRIPTS)
    contents = [
        part
        for name in files
        for part in (name, _installing(project, name) if name == "package.json" else project.read(name))
    ]
    for path in (
        sorted(project.app.rglob("package.json")) if package.workspaces or project.has("pnpm-workspace.yaml") else ()
    ):
        relative = path.relative_to(project.app)
        if "node_modules" not in relative.parts:
            contents += [str(relative), project.read(str(relative))]
            own_scripts = own_scripts or any(
                name in path.read_text("utf-8", "replace") for name in ('"postinstall"', '"prepare"')
            )
    settings = [
        f"{name}={value}"
        for name, value in sorted(project.env.items())
        if name.startswith(_SETTINGS) and name not in _NOT_SETTINGS
    ]
    version = manager.toolchain.version if manager.toolchain is not None else ""
    moving = [] if manager.lock else [project.today]
    moving += [project.fingerprint] if own_scripts or _has_local_files(project) else []
    key = digest(
        "nodejs", _FORMAT, project.stack, project.arch, node, manager.kind, version, *contents, *settings, *moving
    )
    modules = (str(project.app / "node_modules"),)
    mounted = {digest(key, "production"), digest(key, "development")} & project.granted
    if (project.app / "node_modules").is_dir() and not mounted:
        return ()  # pushed with the app, so it is the app's
    production = Layer(digest(key, "production"), modules)
    if not wants_development(project, package):
        return (production,)
    tree = f"{project.layout.staging}/development"
    return production, Layer(digest(key, "development"), modules, launch=False, tree=tree)


def _installing(project: Project, name: str) -> str:
    """package.json without what can change on any day and installs nothing: scripts, version, description."""
    found = json.loads(project.read(name))
    kept = "dependencies devDependencies optionalDependencies peerDependencies bundledDependencies bundleDependencies"
    kept += " dependenciesMeta overrides resolutions workspaces pnpm packageManager engines"
    return json.dumps({part: found[part] for part in kept.split() if part in found}, sort_keys=True)


def _has_local_files(project: Project) -> bool:
    return bool(re.search(r'"(file:|link:|portal:|\./|\.\./)', _installing(project, "package.json")))
