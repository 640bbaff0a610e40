"""The manifest of what is there, and what another manifest would change. Pure."""

from typing import Any

import yaml

from paasd.model.manifests.document import AppManifest, ProcessManifest
from paasd.model.manifests.planning import State
from paasd.model.manifests.sizes import format_bytes, format_mb
from paasd.model.metadata import Labelling
from paasd.model.records import Destination, Domain, HealthCheck, Process, Route, Sidecar
from paasd.model.routes import route_url


def generate(state: State, environment: dict[str, str], labelling: Labelling) -> dict[str, Any]:
    """One entry of `applications` that, applied to an empty space, makes the same app."""
    app = state.app
    if app is None:
        raise ValueError("there is no app to write a manifest of")
    entry: dict[str, Any] = {"name": app.name}
    if app.stack is not None:
        entry["stack"] = app.stack
    if app.buildpacks:
        entry["buildpacks"] = app.buildpacks
    if environment:
        entry["env"] = dict(sorted(environment.items()))
    if app.features:
        entry["features"] = app.features
    metadata = {name: value for name, value in _metadata(labelling).items() if value}
    if metadata:
        entry["metadata"] = metadata
    routes = _routes(state.routes, state.destinations, state.domains)
    if routes:
        entry["routes"] = routes
    entry["processes"] = [_process(process) for process in sorted(state.processes, key=_web_first)]
    sidecars = [_sidecar(sidecar) for sidecar in state.sidecars if sidecar.origin == "user"]
    if sidecars:
        entry["sidecars"] = sidecars
    return entry


def dump(entries: list[dict[str, Any]]) -> str:
    """YAML text of a whole manifest."""
    return yaml.safe_dump({"applications": entries}, sort_keys=False, allow_unicode=True, explicit_start=True)


def _web_first(process: Process) -> tuple[bool, str]:
    return (process.type != "web", process.type)


def _metadata(labelling: Labelling) -> dict[str, dict[str, str]]:
    return {"labels": labelling.labels, "annotations": labelling.annotations}


def _process(process: Process) -> dict[str, Any]:
    rate = process.log_rate_limit_bytes
    entry: dict[str, Any] = {"type": process.type, "instances": process.instances}
    entry["memory"] = format_mb(process.memory_mb)
    entry["disk_quota"] = format_mb(process.disk_mb)
    entry["log-rate-limit-per-second"] = rate if rate <= 0 else format_bytes(rate)
    if process.command is not None:
        entry["command"] = process.command
    entry |= _health("", process.health_check)
    if process.health_check.timeout_s is not None:
        entry["timeout"] = process.health_check.timeout_s
    return entry | _health("readiness-", process.readiness_health_check)


def _health(prefix: str, check: HealthCheck) -> dict[str, Any]:
    entry: dict[str, Any] = {f"{prefix}health-check-type": check.type}
    for name, value in (
        ("http-endpoint", check.endpoint),
        ("invocation-timeout", check.invocation_timeout_s),
        ("interval", check.interval_s),
    ):
        if value is not None:
            entry[f"{prefix}health-check-{name}"] = value
    return entry


def _sidecar(sidecar: Sidecar) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": sidecar.name,
        "process_types": sidecar.process_types,
        "command": sidecar.command,
    }
    if sidecar.memory_mb is not None:
        entry["memory"] = format_mb(sidecar.memory_mb)
    return entry


def _routes(routes: list[Route], destinations: list[Destination], domains: list[Domain]) -> list[dict[str, Any]]:
    """Routes to the web process: a manifest can say no others."""
    by_guid = {route.guid: route for route in routes}
    names = {domain.guid: domain for domain in domains}
    entries: dict[str, dict[str, Any]] = {}
    for one in destinations:
        route = by_guid.get(one.route_guid)
        domain = None if route is None else names.get(route.domain_guid)
        if route is None or domain is None or one.process_type != "web":
            continue
        url = route_url(domain, route.host, route.path, route.port)
        entries[url] = {"route": url, "protocol": one.protocol}
        if route.options:
            entries[url]["options"] = route.options
    return [entries[url] for url in sorted(entries)]


def diff(index: int, wanted: dict[str, Any], present: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Changes that applying `wanted` would make to what `generate` gave, as `op`, `path`, `was`, `value`.

    Both are entries as `describe` and `generate` write them. Only what a manifest resets by null is a `remove`.
    """
    root = f"/applications/{index}"
    if present is None:
        return [{"op": "add", "path": root, "value": wanted}]
    rows: list[dict[str, Any]] = []
    for key, value in wanted.items():
        _compare(rows, f"{root}/{key}", value, present.get(key))
    return rows


IDENTITIES = {"processes": "type", "sidecars": "name", "routes": "route"}


def _compare(rows: list[dict[str, Any]], path: str, value: Any, was: Any) -> None:
    key = path.rsplit("/", 1)[-1]
    if isinstance(value, dict):
        for name, inner in value.items():
            _compare(rows, f"{path}/{name}", inner, was.get(name) if isinstance(was, dict) else None)
    elif key in IDENTITIES and isinstance(value, list):
        identity = IDENTITIES[key]
        known = {one[identity]: (position, one) for position, one in enumerate(was or [])}
        added = len(known)
        for one in value:
            position, before = known.get(one[identity], (added, None))
            if before is None:
                rows.append({"op": "add", "path": f"{path}/{position}", "value": one})
                added += 1
            else:
                _compare(rows, f"{path}/{position}", one, before)
    elif value is None and was is not None:
        rows.append({"op": "remove", "path": path, "was": was})
    elif value != was and value is not None:
        op = "add" if was is None else "replace"
        row: dict[str, Any] = {"op": op, "path": path, "value": value}
        rows.append(row if was is None else {**row, "was": was})


def describe(manifest: AppManifest) -> dict[str, Any]:
    """What a manifest mentions, in the form of `generate`, so that the two can be compared."""
    entry: dict[str, Any] = {"name": manifest.name}
    if isinstance(manifest.stack, str):
        entry["stack"] = manifest.stack
    if isinstance(manifest.buildpacks, list):
        entry["buildpacks"] = manifest.buildpacks
    if manifest.environment:
        entry["env"] = dict(manifest.environment)
    if manifest.features:
        entry["features"] = dict(manifest.features)
    metadata = {"labels": manifest.metadata.labels, "annotations": manifest.metadata.annotations}
    if any(metadata.values()):
        entry["metadata"] = {name: value for name, value in metadata.items() if value}
    if manifest.routes:
        entry["routes"] = [_describe_route(one.route, one.protocol, one.options) for one in manifest.routes]
    entry["processes"] = [_describe_process(process) for process in manifest.processes]
    if manifest.sidecars:
        entry["sidecars"] = [
            {"name": one.name}
            | ({"process_types": one.process_types} if isinstance(one.process_types, list) else {})
            | ({"command": one.command} if isinstance(one.command, str) else {})
            | ({"memory": format_mb(one.memory_mb)} if isinstance(one.memory_mb, int) else {})
            for one in manifest.sidecars
        ]
    return entry


def _describe_route(route: str, protocol: str | None, options: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {"route": route.lower()}
    if protocol is not None:
        entry["protocol"] = protocol
    return entry | ({"options": options} if options else {})


def _describe_process(process: ProcessManifest) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": process.type}
    if isinstance(process.instances, int):
        entry["instances"] = process.instances
    if isinstance(process.memory_mb, int):
        entry["memory"] = format_mb(process.memory_mb)
    if isinstance(process.disk_mb, int):
        entry["disk_quota"] = format_mb(process.disk_mb)
    rate = process.log_rate_limit_bytes
    if isinstance(rate, int):
        entry["log-rate-limit-per-second"] = rate if rate <= 0 else format_bytes(rate)
    if process.command is None or isinstance(process.command, str):
        entry["command"] = process.command
    for prefix, check in (("", process.health), ("readiness-", process.readiness)):
        values = (
            (f"{prefix}health-check-type", check.type),
            (f"{prefix}health-check-http-endpoint", check.endpoint),
            (f"{prefix}health-check-invocation-timeout", check.invocation_timeout_s),
            (f"{prefix}health-check-interval", check.interval_s),
            ("timeout", check.timeout_s),
        )
        entry |= {name: value for name, value in values if isinstance(value, str | int)}
    return entry
