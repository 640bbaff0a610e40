"""From the text of a manifest to checked structs. Pure; every problem is reported, not only the first."""

import difflib
import json
from collections.abc import Mapping
from typing import Any, Final

from msgspec import UNSET, UnsetType

from paasd.errors import Unprocessable
from paasd.model.apps import FEATURES
from paasd.model.arguments import Metadata
from paasd.model.manifests.document import (
    AppManifest,
    HealthManifest,
    Manifest,
    ManifestError,
    ProcessManifest,
    RouteManifest,
    SidecarManifest,
)
from paasd.model.manifests.fields import Fields
from paasd.model.manifests.loading import load
from paasd.model.metadata import check_metadata
from paasd.model.naming import check_name
from paasd.model.processes import COMMAND_LIMIT, ENDPOINT, HEALTH_CHECK_TYPES, INSTANCES_LIMIT, check_type
from paasd.model.routes import PROTOCOLS, TCP_PROTOCOLS

APPS_LIMIT = 50
LIMIT_BYTES = 1024 * 1024
HEALTH_KEYS: Final = tuple(
    f"{kind}health-check-{name}"
    for kind in ("", "readiness-")
    for name in ("type", "http-endpoint", "invocation-timeout", "interval")
)
PROCESS_KEYS: Final = (
    "command",
    "instances",
    "memory",
    "disk_quota",
    "disk-quota",
    "log-rate-limit-per-second",
    "timeout",
    *HEALTH_KEYS,
)
APP_KEYS: Final = (
    "name",
    "buildpack",
    "buildpacks",
    "stack",
    "lifecycle",
    "env",
    "metadata",
    "features",
    "processes",
    "sidecars",
    "routes",
    "no-route",
    "default-route",
    "random-route",
    "services",
    "docker",
    "cnb-credentials",
    "path",
    *PROCESS_KEYS,
)
ROUTE_OPTIONS: Final = ("loadbalancing", "hash_header", "hash_balance")
RESET_WORDS: Final = ("default", "null")


def parse_manifest(text: str | bytes, limit_bytes: int = LIMIT_BYTES, name: str | None = None) -> Manifest:
    """`name` is that of an only application without one. Raises ManifestError."""
    document = load(text, limit_bytes)
    if not isinstance(document, Mapping) or not isinstance(document.get("applications"), list):
        raise ManifestError(["Cannot parse manifest with no 'applications' field: it must be a list of applications"])
    raw_apps = document["applications"]
    if not raw_apps:
        raise ManifestError(["Cannot parse manifest: 'applications' is empty"])
    if len(raw_apps) > APPS_LIMIT:
        raise ManifestError([f"'applications' has {len(raw_apps)} entries, the limit is {APPS_LIMIT}"])
    if name and len(raw_apps) == 1 and isinstance(raw_apps[0], Mapping) and raw_apps[0].get("name") is None:
        raw_apps = [{**raw_apps[0], "name": name}]
    problems: list[str] = []
    warnings: list[str] = []
    applications = [_application(raw, index, problems, warnings) for index, raw in enumerate(raw_apps)]
    names = [one.name.lower() for one in applications if one is not None]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"For application '{name}': name is used by more than one application of the manifest")
    if problems:
        raise ManifestError(problems)
    return Manifest(applications=[one for one in applications if one is not None], warnings=warnings)


def _application(raw: Any, index: int, problems: list[str], warnings: list[str]) -> AppManifest | None:
    where = f"For application at index {index}"
    if not isinstance(raw, Mapping):
        problems.append(f"{where}: it must be a mapping with at least a name")
        return None
    name = Fields(raw, where, problems).text("name")
    if not isinstance(name, str):
        if raw.get("name") is None:
            problems.append(f"{where}: name must be given")
        return None
    try:
        check_name(name)
    except Unprocessable as error:
        problems.append(f"For application '{name[:80]}': name is refused: {error.detail}")
    fields = Fields(raw, f"For application '{name}'", problems)
    _warn_unknown(fields, APP_KEYS, warnings)
    _refuse_unsupported(fields)
    stack = None if fields.has("stack") and raw["stack"] is None else fields.text("stack")
    return AppManifest(
        name=name,
        buildpacks=_buildpacks(fields),
        stack=stack,
        environment=_environment(fields),
        metadata=_metadata(fields),
        features=_features(fields),
        processes=_processes(fields, warnings),
        sidecars=_sidecars(fields, warnings),
        routes=_routes(fields, warnings),
        **_route_flags(fields),
    )


def _warn_unknown(fields: Fields, known: tuple[str, ...], warnings: list[str]) -> None:
    """Cloud Foundry passes over what it does not know; a typing error should at least be told."""
    for key in fields.raw:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            warnings.append(f"{fields.where}: unknown key '{key}' was ignored{hint}")


def _refuse_unsupported(fields: Fields) -> None:
    if fields.raw.get("services"):
        fields.problem("services", "cannot be bound: this platform offers no services yet; remove the key")
    for key in ("docker", "cnb-credentials"):
        if fields.raw.get(key) is not None:
            fields.problem(key, "is not supported: apps are staged from source by buildpacks")
    lifecycle = fields.text("lifecycle")
    if isinstance(lifecycle, str) and lifecycle != "buildpack":
        fields.problem("lifecycle", f"'{lifecycle}' is not supported; use 'buildpack'")


def _buildpacks(fields: Fields) -> list[str] | UnsetType:
    if fields.has("buildpack") and fields.has("buildpacks"):
        fields.problem("buildpack", "and buildpacks fields cannot be used together")
        return UNSET
    if fields.has("buildpack"):
        value = fields.raw["buildpack"]
        if value is None or value in RESET_WORDS:
            return []
        text = fields.text("buildpack")
        return [text] if isinstance(text, str) else UNSET
    return fields.texts("buildpacks") if fields.has("buildpacks") else UNSET


def _environment(fields: Fields) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for key, value in fields.mapping("env").items():
        name = getattr(key, "text", None) or str(key)
        if name == "PORT" or name.upper().startswith("VCAP_"):
            fields.problem("env", f"cannot set '{name}': PORT and names that begin with VCAP_ belong to the platform")
        elif not name or "=" in name or "\0" in name:
            fields.problem("env", f"has the name '{name}', which cannot be empty or contain '='")
        else:
            found[name] = _env_text(value)
    return found


def _env_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    written = getattr(value, "text", None)
    return written if written is not None else json.dumps(value, separators=(",", ":"), default=str)


def _metadata(fields: Fields) -> Metadata:
    inner = Fields(fields.mapping("metadata"), f"{fields.where}: metadata", fields.problems)
    metadata = Metadata(labels=_texts_of(inner, "labels"), annotations=_texts_of(inner, "annotations"))
    try:
        check_metadata(metadata)
    except Unprocessable as error:
        fields.problem("metadata", f"is refused: {error.detail}")
    return metadata


def _texts_of(fields: Fields, key: str) -> dict[str, str | None]:
    return {str(name): _env_text(value) for name, value in fields.mapping(key).items()}


def _features(fields: Fields) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for name, value in fields.mapping("features").items():
        if name not in FEATURES:
            fields.problem("features", f"has no feature '{name}'; there are {', '.join(FEATURES)}")
        elif not isinstance(value, bool):
            fields.problem("features", f"must give true or false for '{name}'")
        else:
            found[name] = value
    return found


def _processes(fields: Fields, warnings: list[str]) -> list[ProcessManifest]:
    """Those listed; the keys at the top stand for web unless web is listed itself."""
    found: list[ProcessManifest] = []
    for index, raw in enumerate(fields.items("processes")):
        if not isinstance(raw, Mapping) or not isinstance(raw.get("type"), str) or not raw["type"]:
            fields.problem("processes", f"must specify a type for every process; the one at index {index} does not")
            continue
        if not _is_type(fields, "processes", raw["type"]):
            continue
        inner = Fields(raw, f'{fields.where}: process "{raw["type"]}"', fields.problems)
        _warn_unknown(inner, ("type", *PROCESS_KEYS), warnings)
        found.append(_process(inner, raw["type"]))
    types = [process.type for process in found]
    for repeated in sorted({one for one in types if types.count(one) > 1}):
        fields.problem("processes", f'may list process "{repeated}" only once')
    top = [key for key in PROCESS_KEYS if fields.has(key)]
    if "web" not in types:
        return [_process(fields, "web"), *found] if top else found
    if top:
        warnings.append(f'{fields.where}: {", ".join(top)} ignored, because process "web" is listed in processes')
    return found


def _is_type(fields: Fields, key: str, process_type: str) -> bool:
    try:
        check_type(process_type)
    except Unprocessable as error:
        fields.problem(key, f"is refused: {error.detail}")
        return False
    return True


def _process(fields: Fields, process_type: str) -> ProcessManifest:
    instances = fields.number("instances", least=0)
    if isinstance(instances, int) and instances > INSTANCES_LIMIT:
        fields.problem("instances", f"must be less than or equal to {INSTANCES_LIMIT}")
    return ProcessManifest(
        type=process_type,
        command=_command(fields),
        instances=instances,
        memory_mb=fields.megabytes("memory"),
        disk_mb=fields.megabytes("disk_quota", "disk-quota"),
        log_rate_limit_bytes=fields.bytes_or_unlimited("log-rate-limit-per-second"),
        health=_health(fields, "", fields.number("timeout", least=1)),
        readiness=_health(fields, "readiness-", UNSET),
    )


def _command(fields: Fields) -> str | UnsetType | None:
    if not fields.has("command"):
        return UNSET
    value = fields.raw["command"]
    if value is None or value in RESET_WORDS:
        return None
    command = fields.text("command")
    if isinstance(command, str) and len(command) > COMMAND_LIMIT:
        fields.problem("command", f"must be at most {COMMAND_LIMIT} characters")
    return command


def _health(fields: Fields, prefix: str, timeout_s: int | UnsetType) -> HealthManifest:
    kind = fields.choice(f"{prefix}health-check-type", (*HEALTH_CHECK_TYPES, "none"))
    endpoint_key = f"{prefix}health-check-http-endpoint"
    endpoint = fields.text(endpoint_key)
    if isinstance(endpoint, str) and not ENDPOINT.fullmatch(endpoint):
        fields.problem(endpoint_key, "must be a path that begins with '/', its other characters percent-encoded")
    if isinstance(endpoint, str) and isinstance(kind, str) and kind != "http":
        fields.problem(endpoint_key, f'cannot be used with {prefix}health-check-type "{kind}"; it must be "http"')
    return HealthManifest(
        type="process" if kind == "none" else kind,
        endpoint=endpoint,
        invocation_timeout_s=fields.number(f"{prefix}health-check-invocation-timeout", least=1),
        interval_s=fields.number(f"{prefix}health-check-interval", least=1),
        timeout_s=timeout_s,
    )


def _sidecars(fields: Fields, warnings: list[str]) -> list[SidecarManifest]:
    found: list[SidecarManifest] = []
    for index, raw in enumerate(fields.items("sidecars")):
        if not isinstance(raw, Mapping) or not isinstance(raw.get("name"), str) or not raw["name"]:
            fields.problem("sidecars", f"must give a name for every sidecar; the one at index {index} has none")
            continue
        inner = Fields(raw, f'{fields.where}: sidecar "{raw["name"]}"', fields.problems)
        _warn_unknown(inner, ("name", "command", "process_types", "memory"), warnings)
        if inner.has("process_types") and not inner.items("process_types"):
            inner.problem("process_types", "must have at least 1 process type")
        types = [one for one in inner.texts("process_types") if _is_type(inner, "process_types", one)]
        found.append(
            SidecarManifest(
                name=raw["name"],
                command=inner.text("command"),
                process_types=types if inner.has("process_types") else UNSET,
                memory_mb=inner.megabytes("memory"),
            )
        )
    names = [sidecar.name for sidecar in found]
    for repeated in sorted({one for one in names if names.count(one) > 1}):
        fields.problem("sidecars", f'may list sidecar "{repeated}" only once')
    return found


def _routes(fields: Fields, warnings: list[str]) -> list[RouteManifest]:
    found: list[RouteManifest] = []
    for index, raw in enumerate(fields.items("routes")):
        if not isinstance(raw, Mapping) or not isinstance(raw.get("route"), str) or not raw["route"].strip():
            fields.problem(
                "routes", f"must be a list of mappings with the key 'route'; the one at index {index} is not"
            )
            continue
        inner = Fields(raw, f"{fields.where}: route '{raw['route']}'", fields.problems)
        _warn_unknown(inner, ("route", "protocol", "options"), warnings)
        protocol = inner.choice("protocol", PROTOCOLS + TCP_PROTOCOLS)
        options = dict(inner.mapping("options"))
        for option in options:
            if option not in ROUTE_OPTIONS:
                inner.problem("options", f"has no option '{option}'; there are {', '.join(ROUTE_OPTIONS)}")
        found.append(
            RouteManifest(
                route=raw["route"].strip(),
                protocol=protocol if isinstance(protocol, str) else None,
                options={str(name): value for name, value in options.items()},
            )
        )
    return found


def _route_flags(fields: Fields) -> dict[str, bool]:
    flags = {
        "no_route": fields.flag("no-route"),
        "default_route": fields.flag("default-route"),
        "random_route": fields.flag("random-route"),
    }
    if flags["default_route"] and flags["random_route"]:
        fields.problem("random-route", "and default-route may not be used together")
    return flags
