"""Applies a manifest in one operation: all of it or nothing, and again without further effect."""

from typing import Any, Final

import msgspec

from paasd.errors import NotFound, Unprocessable
from paasd.model.apps import CreateApp, SetFeature, UpdateApp, create_app, set_feature, update_app
from paasd.model.arguments import Actor, Arguments
from paasd.model.auditing import difference
from paasd.model.domains import default_domain, usable_domains
from paasd.model.events import record_app_event
from paasd.model.jobs import job_error, open_job
from paasd.model.manifests.document import AppManifest, ManifestError
from paasd.model.manifests.planning import Changes, RouteName, State, WantedRoute, parse_route, plan_app
from paasd.model.metadata import merge_metadata
from paasd.model.processes import (
    Sizes,
    add_process,
    check_command,
    check_health_check,
    check_room_for_sidecars,
    check_scale,
)
from paasd.model.quotas.accounting import accounting
from paasd.model.records import App, Destination, Domain, Job, Process, Route, RouteShare, Sidecar, Space
from paasd.model.routes import (
    CreateRoute,
    NewDestination,
    UpdateRoute,
    create_route,
    map_route,
    route_url,
    unmap_route,
    update_route,
)
from paasd.model.sidecars import CreateSidecar, UpdateSidecar, create_sidecar, update_sidecar
from paasd.model.tcp_routes import CreateTcpRoute, create_tcp_route
from paasd.state import ReadTx, Tx, operation

SIZES: Final = frozenset({"instances", "memory_mb", "disk_mb", "log_rate_limit_bytes"})


class AppToApply(Arguments):
    """One application with what must be drawn or sealed outside the transaction.

    `guid` is for an app that has to be made, or that of the one that is there. `environment` is the sealed whole after
    the merge, None for no change; `previous` is what it was merged with. `random_host` ends a random route.
    """

    manifest: AppManifest
    guid: str
    previous: str = ""
    environment: str | None = None
    random_host: str = ""


class ApplyManifest(Arguments):
    """Arguments of `apply_manifest`. `disabled` are feature flags that stop the actor, and what is said then.

    `wildcards` as in `CreateRoute`, `reservable` as in `CreateTcpRoute`.
    """

    space_guid: str
    applications: list[AppToApply]
    warnings: list[str] = []
    sizes: Sizes
    reserved: list[str] = []
    disabled: dict[str, str] = {}
    wildcards: bool = False
    reservable: list[tuple[int, int]] = []
    actor: Actor


class StaleManifest(Unprocessable):
    """An app was made, deleted or given another environment since the arguments were prepared: prepare again."""


@operation("manifest.apply", version=1)
def apply_manifest(tx: Tx, args: ApplyManifest) -> Job:
    """A job that is COMPLETE already. Raises ManifestError, NotFound, StaleManifest; then nothing was changed."""
    space = tx.need(Space, args.space_guid)
    if space.deleting:
        raise NotFound("Space")
    for one in args.applications:
        try:
            _apply_app(tx, args, space, one)
        except (ManifestError, StaleManifest):
            raise
        except Unprocessable as error:
            raise ManifestError([f"For application '{one.manifest.name}': {error.detail}"]) from error
    return open_job(
        tx,
        "space.apply_manifest",
        resource_type="space",
        resource_guid=space.guid,
        state="COMPLETE",
        warnings=args.warnings,
        by=args.actor,
    )


class FailManifest(Arguments):
    """Arguments of `fail_manifest`."""

    space_guid: str
    errors: list[str]
    warnings: list[str] = []
    actor: Actor | None = None


@operation("manifest.fail", version=1)
def fail_manifest(tx: Tx, args: FailManifest) -> Job:
    """A FAILED job for a manifest that could not be applied as the platform stands."""
    job = open_job(
        tx,
        "space.apply_manifest",
        resource_type="space",
        resource_guid=args.space_guid,
        state="FAILED",
        warnings=args.warnings,
        by=args.actor,
    )
    return tx.update(job, errors=[job_error(Unprocessable(text)) for text in args.errors])


def read_state(tx: ReadTx, space: Space, manifest: AppManifest) -> State:
    """What there is of one application, and the routes that its manifest may lead to."""
    app = tx.find(App, space_guid=space.guid, name=manifest.name)
    domains = usable_domains(tx, space.organization_guid)
    default = default_domain(tx, space.organization_guid)
    wanted = [parse_route(one.route, domains) for one in manifest.routes]
    names = [one for one in wanted if isinstance(one, RouteName)]
    routes = [_find_route(tx, name) for name in names]
    found: list[Route] = [route for route in routes if route is not None]
    if default is not None:
        found += tx.all(Route, space_guid=space.guid, domain_guid=default.guid, path="")
    if app is None:
        return State(app=None, domains=domains, default_domain=default, routes=found)
    return State(
        app=app,
        processes=tx.all(Process, app_guid=app.guid, order=("created_at",)),
        sidecars=tx.all(Sidecar, app_guid=app.guid, order=("created_at",)),
        domains=domains,
        default_domain=default,
        routes=found,
        destinations=tx.all(Destination, app_guid=app.guid, order=("created_at",)),
    )


def _find_route(tx: ReadTx, name: RouteName) -> Route | None:
    if name.port is not None:
        return tx.find(Route, domain_guid=name.domain_guid, port=name.port)
    return tx.find(Route, domain_guid=name.domain_guid, host=name.host, path=name.path)


def _apply_app(tx: Tx, args: ApplyManifest, space: Space, one: AppToApply) -> None:
    state = read_state(tx, space, one.manifest)
    changes = plan_app(one.manifest, state, one.random_host)
    if state.app is not None and state.app.deleting:
        raise Unprocessable("the app is being deleted; wait for that to end and try again")
    app = _create(tx, args, one) if state.app is None else state.app
    if app.guid != one.guid or (
        one.environment is not None and state.app is not None and app.environment != one.previous
    ):
        raise StaleManifest("The app was changed by others while the manifest was applied")
    _change_app(tx, args, one, app, changes, created=state.app is None)
    processes = {process.type: process for process in tx.all(Process, app_guid=app.guid)}
    with accounting(tx, app.guid, args.sizes.instances_limit):
        for process_type, values in changes.processes:
            changed = _change_process(tx, args, app, process_type, values, processes.get(process_type))
            # The first sizes of an app are free; a further process of one that is there makes it larger.
            if changed & SIZES and state.app is not None:
                _refuse_disabled(args, "app_scaling")
    for name, values in changes.sidecars:
        _change_sidecar(tx, args, app, name, values, state)
    for process in tx.all(Process, app_guid=app.guid):
        former = processes.get(process.type)
        if former is None or former.memory_mb != process.memory_mb:
            check_room_for_sidecars(tx, process)
    for destination in state.destinations:
        if destination.guid in changes.unmap:
            unmap_route(tx, tx.need(Route, destination.route_guid), destination, args.actor)
    for wanted in changes.routes:
        _map(tx, args, space, app, wanted)


def _create(tx: Tx, args: ApplyManifest, one: AppToApply) -> App:
    return create_app(
        tx,
        CreateApp(
            guid=one.guid,
            name=one.manifest.name,
            space_guid=args.space_guid,
            environment=one.environment or "",
            sizes=args.sizes,
            actor=args.actor,
        ),
    )


def _change_app(tx: Tx, args: ApplyManifest, one: AppToApply, app: App, changes: Changes, *, created: bool) -> None:
    if changes.app:
        app = update_app(tx, UpdateApp(app_guid=app.guid, actor=args.actor, **changes.app))
    if not created and one.environment is not None and one.environment != app.environment:
        app = tx.update(app, environment=one.environment)
        names = sorted(one.manifest.environment)
        record_app_event(tx, "audit.app.update", args.actor, app, {"environment_variables": names})
    merge_metadata(tx, "app", app.guid, one.manifest.metadata)
    data = difference(app, app, one.manifest.metadata)
    for feature, enabled in changes.features.items():
        set_feature(tx, SetFeature(app_guid=app.guid, feature=feature, enabled=enabled, actor=args.actor))
    record_app_event(tx, "audit.app.apply_manifest", args.actor, app, data)


def _change_process(
    tx: Tx, args: ApplyManifest, app: App, process_type: str, values: dict[str, Any], process: Process | None
) -> set[str]:
    """The names of what is another now."""
    sizes = {name: value for name, value in values.items() if name in SIZES}
    check_scale(args.sizes, **sizes)
    check_command(values.get("command"))
    for name in ("health_check", "readiness_health_check"):
        if name in values:
            check_health_check(values[name])
    if process is None:
        process = add_process(tx, app, process_type, args.sizes)
    changed = {name: value for name, value in values.items() if getattr(process, name) != value}
    if not changed:
        return set()
    former, process = process, tx.update(process, **changed)
    data = {
        "process_guid": process.guid,
        "process_type": process_type,
        "changed": sorted(changed),
        **difference(former, process),
    }
    verb = "scale" if changed.keys() <= sizes.keys() else "update"
    record_app_event(tx, f"audit.app.process.{verb}", args.actor, app, data)
    return set(changed)


def _refuse_disabled(args: ApplyManifest, flag: str) -> None:
    if flag in args.disabled:
        raise Unprocessable(args.disabled[flag])


def _change_sidecar(tx: Tx, args: ApplyManifest, app: App, name: str, values: dict[str, Any], state: State) -> None:
    known = next((sidecar for sidecar in state.sidecars if sidecar.name == name), None)
    if known is None:
        create_sidecar(tx, CreateSidecar(app_guid=app.guid, name=name, actor=args.actor, **values))
    else:
        update_sidecar(tx, UpdateSidecar(sidecar_guid=known.guid, actor=args.actor, **values))


def _make_route(tx: Tx, args: ApplyManifest, wanted: WantedRoute) -> Route:
    name = wanted.name
    if name.port is not None:
        reserving = CreateTcpRoute(
            domain_guid=name.domain_guid,
            space_guid=args.space_guid,
            port=name.port,
            reservable=args.reservable,
            options=wanted.options,
            actor=args.actor,
        )
        return create_tcp_route(tx, reserving)
    made = CreateRoute(
        domain_guid=name.domain_guid,
        space_guid=args.space_guid,
        host=name.host,
        path=name.path,
        options=wanted.options,
        reserved=args.reserved,
        wildcards=args.wildcards,
        actor=args.actor,
    )
    return create_route(tx, made)


def _map(tx: Tx, args: ApplyManifest, space: Space, app: App, wanted: WantedRoute) -> None:
    name = wanted.name
    # Looked up again: an application before this one in the manifest may have made it.
    route = _find_route(tx, name)
    if route is None:
        _refuse_disabled(args, "route_creation")
        route = _make_route(tx, args, wanted)
    else:
        route = _present_route(tx, args, space, route, wanted)
    map_route(tx, route, NewDestination(app_guid=app.guid, protocol=wanted.protocol), args.actor)


def _present_route(tx: Tx, args: ApplyManifest, space: Space, route: Route, wanted: WantedRoute) -> Route:
    """With the options that are wanted. Raises Unprocessable for one that is neither the space's nor shared with it."""
    own = route.space_guid == space.guid
    url = route_url(tx.need(Domain, route.domain_guid), route.host, route.path, route.port)
    if not own and tx.get(RouteShare, route.guid, space.guid) is None:
        other = "host" if route.port is None else "port"
        raise Unprocessable(
            f"routes: Route already exists: '{url}' belongs to another space; choose another {other}. "
            "Routes cannot be mapped to destinations in different spaces."
        )
    if wanted.options and msgspec.json.encode(route.options) != msgspec.json.encode(wanted.options):
        if not own:
            raise Unprocessable(f"routes: the options of '{url}' are set in the space that shares it with this one")
        return update_route(tx, UpdateRoute(route_guid=route.guid, options=wanted.options, actor=args.actor))
    return route
