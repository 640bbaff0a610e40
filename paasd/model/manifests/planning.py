"""What has to change so that an app is as its manifest says. Pure: (manifest, present state) -> changes, additive."""

import re
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from paasd.model.manifests.document import (
    AppManifest,
    HealthManifest,
    ManifestError,
    ProcessManifest,
    RouteManifest,
    SidecarManifest,
)
from paasd.model.records import App, Destination, Domain, HealthCheck, Process, Route, Sidecar
from paasd.model.routes import HOST_LIMIT, route_url

NOT_HOST = re.compile(r"[^a-z0-9-]+")


class RouteName(msgspec.Struct, frozen=True):
    """What names a route: its domain, and host and path or a port."""

    domain_guid: str
    host: str = ""
    path: str = ""
    port: int | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is there now. `routes` are the space's and those that the manifest names; `destinations` the app's."""

    app: App | None
    processes: list[Process] = []
    sidecars: list[Sidecar] = []
    domains: list[Domain] = []
    default_domain: Domain | None = None
    routes: list[Route] = []
    destinations: list[Destination] = []


class WantedRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route to map; `route_guid` None means that it has to be made first."""

    name: RouteName
    route_guid: str | None
    protocol: str | None = None
    options: dict[str, Any] = {}


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """In the order in which they are made. `processes` and `sidecars` hold whole wanted values by type and name."""

    create: bool
    app: dict[str, Any] = {}
    features: dict[str, bool] = {}
    processes: list[tuple[str, dict[str, Any]]] = []
    sidecars: list[tuple[str, dict[str, Any]]] = []
    unmap: list[str] = []
    routes: list[WantedRoute] = []


def plan_app(manifest: AppManifest, state: State, random_host: str = "") -> Changes:
    """`random_host` is the tail for `random-route`, drawn by the caller. Raises ManifestError."""
    problems: list[str] = []
    app: dict[str, Any] = {}
    if manifest.buildpacks is not UNSET and (state.app is None or state.app.buildpacks != manifest.buildpacks):
        app["buildpacks"] = manifest.buildpacks
    if manifest.stack is not UNSET and (state.app is None or state.app.stack != manifest.stack):
        app["stack"] = manifest.stack
    changes = Changes(
        create=state.app is None,
        app=app,
        features=_feature_changes(manifest, state),
        processes=_process_changes(manifest, state, problems),
        sidecars=_sidecar_changes(manifest, state, problems),
        unmap=[one.guid for one in state.destinations] if manifest.no_route else [],
        routes=[] if manifest.no_route else _wanted_routes(manifest, state, random_host, problems),
    )
    if problems:
        raise ManifestError([f"For application '{manifest.name}': {problem}" for problem in problems])
    return changes


def _feature_changes(manifest: AppManifest, state: State) -> dict[str, bool]:
    present = {} if state.app is None else state.app.features
    return {name: value for name, value in manifest.features.items() if present.get(name) is not value}


def _process_changes(manifest: AppManifest, state: State, problems: list[str]) -> list[tuple[str, dict[str, Any]]]:
    present = {process.type: process for process in state.processes}
    found: list[tuple[str, dict[str, Any]]] = []
    for wanted in manifest.processes:
        known = present.get(wanted.type)
        changes = _process_change(wanted, known, problems)
        if changes or known is None:
            found.append((wanted.type, changes))
    return found


def _process_change(wanted: ProcessManifest, known: Process | None, problems: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: getattr(wanted, name)
        for name in ("command", "instances", "memory_mb", "disk_mb", "log_rate_limit_bytes")
        if getattr(wanted, name) is not UNSET
    }
    base = HealthCheck(type="port" if wanted.type == "web" else "process")
    ready = HealthCheck(type="process")
    if known is not None:
        base, ready = known.health_check, known.readiness_health_check
    values["health_check"] = merge_health(wanted.health, base, f'process "{wanted.type}": health-check', problems)
    values["readiness_health_check"] = merge_health(
        wanted.readiness, ready, f'process "{wanted.type}": readiness-health-check', problems
    )
    if known is None:
        return values
    return {name: value for name, value in values.items() if getattr(known, name) != value}


def merge_health(wanted: HealthManifest, present: HealthCheck, where: str, problems: list[str]) -> HealthCheck:
    """The check with what the manifest says; an endpoint is kept only while the type is http."""
    kind = present.type if isinstance(wanted.type, UnsetType) else wanted.type
    endpoint = present.endpoint if isinstance(wanted.endpoint, UnsetType) else wanted.endpoint
    if isinstance(wanted.endpoint, str) and kind != "http":
        problems.append(f'{where}-http-endpoint needs {where.split(": ")[-1]}-type "http", but the type is "{kind}"')
    endpoint = (endpoint or "/") if kind == "http" else None

    def chosen(value: int | UnsetType, known: int | None) -> int | None:
        return known if isinstance(value, UnsetType) else value

    return HealthCheck(
        type=kind,
        endpoint=endpoint,
        timeout_s=chosen(wanted.timeout_s, present.timeout_s),
        invocation_timeout_s=chosen(wanted.invocation_timeout_s, present.invocation_timeout_s),
        interval_s=chosen(wanted.interval_s, present.interval_s),
    )


def _sidecar_changes(manifest: AppManifest, state: State, problems: list[str]) -> list[tuple[str, dict[str, Any]]]:
    present = {sidecar.name: sidecar for sidecar in state.sidecars}
    found: list[tuple[str, dict[str, Any]]] = []
    for wanted in manifest.sidecars:
        known = present.get(wanted.name)
        values = {
            name: getattr(wanted, name)
            for name in ("command", "process_types", "memory_mb")
            if getattr(wanted, name) is not UNSET
        }
        if known is None:
            _check_new_sidecar(wanted, problems)
            found.append((wanted.name, values))
            continue
        changed = {name: value for name, value in values.items() if getattr(known, name) != value}
        if changed:
            found.append((wanted.name, changed))
    return found


def _check_new_sidecar(wanted: SidecarManifest, problems: list[str]) -> None:
    for key, value in (("command", wanted.command), ("process_types", wanted.process_types)):
        if value is UNSET:
            problems.append(f'sidecar "{wanted.name}": {key} must be given for a new sidecar')


def _wanted_routes(manifest: AppManifest, state: State, random_host: str, problems: list[str]) -> list[WantedRoute]:
    """Those listed; without any, and for an app that has none yet, the default or a random one."""
    wanted = manifest.routes
    if not wanted and not state.destinations and (manifest.default_route or manifest.random_route):
        wanted = _made_up_route(manifest, state, random_host, problems)
    known = {RouteName(route.domain_guid, route.host.lower(), route.path, route.port): route for route in state.routes}
    mapped = {(one.route_guid, one.protocol) for one in state.destinations if one.process_type == "web"}
    found: list[WantedRoute] = []
    for one in wanted:
        name = parse_route(one.route, state.domains)
        if isinstance(name, str):
            problems.append(f"routes: {name}")
            continue
        route = known.get(name)
        if any(other.name == name for other in found):
            continue
        if route is not None and not one.options and _is_mapped(route, one, mapped):
            continue
        found.append(
            WantedRoute(
                name=name,
                route_guid=None if route is None else route.guid,
                protocol=one.protocol,
                options=one.options,
            )
        )
    return found


def _is_mapped(route: Route, wanted: RouteManifest, mapped: set[tuple[str, str]]) -> bool:
    if wanted.protocol is not None:
        return (route.guid, wanted.protocol) in mapped
    return any(guid == route.guid for guid, _ in mapped)


def _made_up_route(manifest: AppManifest, state: State, random_host: str, problems: list[str]) -> list[RouteManifest]:
    if state.default_domain is None:
        problems.append("default-route: there is no domain for apps; create one or list routes")
        return []
    host = NOT_HOST.sub("-", manifest.name.lower()).strip("-")[:HOST_LIMIT].strip("-")
    if manifest.random_route:
        host = f"{host[: HOST_LIMIT - len(random_host) - 1]}-{random_host}".strip("-")
    if not host:
        problems.append("default-route: the name has no letters or digits to make a host of; list routes instead")
        return []
    return [RouteManifest(route=route_url(state.default_domain, host))]


def parse_route(text: str, domains: list[Domain]) -> RouteName | str:
    """The parts of `host.domain/path` or `domain:port` by the longest domain that fits; a text says why it is none."""
    if "://" in text:
        return f"'{text}' must be written without a scheme, as in host.domain/path"
    address, slash, path = text.partition("/")
    path = (slash + path).rstrip("/")
    address, colon, port = address.lower().partition(":")
    fitting = [one for one in domains if address == one.name or address.endswith("." + one.name)]
    if not fitting:
        names = ", ".join(sorted(one.name for one in domains)) or "none"
        return f"The route '{text}' did not match any existing domains; there are {names}"
    domain = max(fitting, key=lambda one: len(one.name))
    host = address.removesuffix(domain.name).removesuffix(".")
    if domain.router_group_guid is not None:
        return _with_port(text, domain, host, path, port)
    if colon:
        return f"'{text}' has a port; '{domain.name}' is a domain of HTTP routes, which have none"
    if any(character.isspace() for character in address + path) or "?" in path or "#" in path:
        return f"The route '{text}' is not a properly formed URL"
    return RouteName(domain.guid, host, path)


def _with_port(text: str, domain: Domain, host: str, path: str, port: str) -> RouteName | str:
    if host or path or not (port.isascii() and port.isdigit() and len(port) <= 5):
        return f"'{text}' is a TCP route: it is written as domain and port, as in {domain.name}:PORT"
    return RouteName(domain.guid, port=int(port))
