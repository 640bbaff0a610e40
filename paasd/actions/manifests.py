"""Manifests: applied by developers, in one write; compared and written out for those who may read secrets."""

from functools import partial
from typing import Any

import msgspec
import trio

from paasd.actions import flags
from paasd.actions.context import Context, actor_of
from paasd.actions.environment import (
    check_variables,
    may_read,
    merge,
    need_readable,
    note_shown,
    open_environment,
    seal_again,
    seal_environment,
)
from paasd.actions.lifecycle import buildpack_problem, installed
from paasd.actions.permissions import Permission
from paasd.actions.visibility import need_space
from paasd.auth import Caller
from paasd.errors import Unavailable, Unprocessable
from paasd.model import App, Destination, Job, Revision, Route, Space
from paasd.model.domains import usable_domains
from paasd.model.manifests import ApplyManifest, AppManifest, AppToApply, Manifest, ManifestError, apply_manifest
from paasd.model.manifests.applying import FailManifest, StaleManifest, fail_manifest, read_state
from paasd.model.manifests.generating import describe, diff, dump, generate
from paasd.model.manifests.parsing import parse_manifest
from paasd.model.manifests.planning import State
from paasd.model.metadata import Labelling, read_metadata
from paasd.model.processes import check_number_of_types
from paasd.model.revisions import newest_revision
from paasd.model.stacks import STACKS
from paasd.state import In, ReadTx

RETRIES = 5
ADJECTIVES = (
    "bold",
    "brave",
    "bright",
    "calm",
    "clever",
    "eager",
    "fond",
    "gentle",
    "happy",
    "keen",
    "lively",
    "quick",
)
NOUNS = (
    "badger",
    "curlew",
    "falcon",
    "gannet",
    "heron",
    "kestrel",
    "lynx",
    "otter",
    "plover",
    "puffin",
    "stoat",
    "wren",
)
APPLICATIONS_LIMIT = 100
# All of a manifest is one write, for which everybody else's wait: a route takes 2 ms of it.
PARTS_LIMIT = 300
LETTERS = "abcdefghijkmnpqrstuvwxyz"


async def parse(context: Context, text: str | bytes, name: str | None = None) -> Manifest:
    """The manifest, with buildpacks and stacks that exist; `name` as of parse_manifest. Raises ManifestError.

    YAML takes its time, about a second for the longest text, so it is read in a thread.
    """
    limit_bytes = context.config.apps.manifest_limit_bytes
    manifest = await trio.to_thread.run_sync(parse_manifest, text, limit_bytes, name)
    if len(manifest.applications) > APPLICATIONS_LIMIT:
        count = len(manifest.applications)
        raise ManifestError([f"A manifest names at most {APPLICATIONS_LIMIT} applications, not {count}; split it"])
    parts = sum(len(one.routes) + len(one.processes) + len(one.sidecars) for one in manifest.applications)
    if parts > PARTS_LIMIT:
        what = "routes, processes and sidecars together"
        raise ManifestError([f"A manifest names at most {PARTS_LIMIT} {what}, not {parts}; split it"])
    known = installed(context)
    problems: list[str] = []
    for one in manifest.applications:
        names = one.buildpacks if isinstance(one.buildpacks, list) else []
        found = [f"buildpacks: {problem}" for name in names if (problem := buildpack_problem(name, known))]
        if isinstance(one.stack, str) and one.stack not in STACKS:
            found.append(f"stack must be one of {', '.join(STACKS)}, not '{one.stack}'")
        problems += [f"For application '{one.name}': {problem}" for problem in found]
    if problems:
        raise ManifestError(problems)
    return manifest


async def apply(context: Context, caller: Caller, space_guid: str, text: str | bytes) -> Job:
    """The job is at its end when this returns: COMPLETE, or FAILED when it did not fit what is there.

    Raises ManifestError when the manifest itself is wrong, NotFound, Forbidden.
    """
    with context.database.read() as tx:
        need_space(tx, caller, space_guid, Permission.WRITE_SPACE)
    manifest = await parse(context, text)
    try:
        return await apply_parsed(context, caller, space_guid, manifest)
    except ManifestError as error:
        failed = FailManifest(
            space_guid=space_guid, errors=error.details, warnings=manifest.warnings, actor=actor_of(caller)
        )
        return await context.database.write(fail_manifest, failed)


async def apply_parsed(context: Context, caller: Caller, space_guid: str, manifest: Manifest) -> Job:
    """Apply all of it or nothing. Raises ManifestError, NotFound, Forbidden."""
    for _ in range(RETRIES):
        with context.database.read() as tx:
            space = need_space(tx, caller, space_guid, Permission.WRITE_SPACE)
            known = _known(tx, space, manifest)
            _check_numbers(tx, manifest, known)
            latest = {name: newest_revision(tx, app.guid) for name, app in known.items()}
            disabled = flags.disabled(tx, caller, "app_scaling", "route_creation")
        prepared = [
            _prepare(context, one, known.get(one.name.lower()), latest.get(one.name.lower()))
            for one in manifest.applications
        ]
        arguments = ApplyManifest(
            space_guid=space_guid,
            applications=prepared,
            warnings=manifest.warnings,
            sizes=context.sizes,
            reserved=context.reserved_hosts,
            reservable=list(context.tcp_ports),
            wildcards=caller.admin,
            disabled=disabled,
            actor=actor_of(caller),
        )
        try:
            job = await context.database.write(apply_manifest, arguments)
        except StaleManifest:
            continue
        for one in prepared:
            if one.manifest.name.lower() not in known:
                context.logs.say(one.guid, "API", f"Created app with guid {one.guid}")
        return job
    raise Unavailable("the apps were being changed by others; nothing was changed, try again")


def _known(tx: ReadTx, space: Space, manifest: Manifest) -> dict[str, App]:
    names = [one.name for one in manifest.applications]
    return {app.name.lower(): app for app in tx.all(App, In("name", names), space_guid=space.guid)}


def _check_numbers(tx: ReadTx, manifest: Manifest, known: dict[str, App]) -> None:
    """Before anything is written, since all of it would be one write. Raises ManifestError."""
    problems: list[str] = []
    for one in manifest.applications:
        app = known.get(one.name.lower())
        # A new app has a web process, whatever its manifest names.
        types = [*(process.type for process in one.processes), *(["web"] if app is None else [])]
        try:
            check_number_of_types(tx, "" if app is None else app.guid, types)
        except Unprocessable as error:
            problems.append(f"For application '{one.name}': {error.detail}")
    if problems:
        raise ManifestError(problems)


def _prepare(context: Context, manifest: AppManifest, app: App | None, latest: Revision | None = None) -> AppToApply:
    """Everything that an operation may not do itself: guids, words and sealing."""
    guid = context.new_guid() if app is None else app.guid
    previous = "" if app is None else app.environment
    environment: str | None = None
    if manifest.environment:
        check_variables(manifest.environment)
        present = {} if app is None else open_environment(context, app)
        merged = merge(present, manifest.environment)
        if merged != present:
            seal = (
                partial(seal_environment, context, guid) if app is None else partial(seal_again, context, app, latest)
            )
            environment = seal(merged)
    words = [context.choose(list(ADJECTIVES)), context.choose(list(NOUNS))]
    tail = "".join(context.choose(list(LETTERS)) for _ in range(2))
    return AppToApply(
        # The values stay here: arguments of operations carry no secrets, only the names are for the audit event.
        manifest=msgspec.structs.replace(manifest, environment=dict.fromkeys(manifest.environment)),
        guid=guid,
        previous=previous,
        environment=environment,
        random_host="-".join([*words, tail]),
    )


async def generate_text(context: Context, caller: Caller, app_guid: str) -> str:
    """`GET /v3/apps/:guid/manifest`: YAML. Raises NotFound, Forbidden, FeatureDisabled."""
    with context.database.read() as tx:
        app = need_readable(tx, caller, app_guid, Permission.READ_SECRETS)
        state, labelling = _present(tx, tx.need(Space, app.space_guid), AppManifest(name=app.name))
    await note_shown(context, caller, app.guid)
    return dump([generate(state, open_environment(context, app), labelling)])


async def difference(context: Context, caller: Caller, space_guid: str, text: str | bytes) -> list[dict[str, Any]]:
    """`POST /v3/spaces/:guid/manifest_diff`: what applying would change. Raises ManifestError, NotFound, Forbidden.

    Nothing of the variables of an app where the caller may not read them: also which would not change tells of them.
    Comparing them with what may be guessed is reading them.
    """
    manifest = await parse(context, text)
    rows: list[dict[str, Any]] = []
    read: list[str] = []
    with context.database.read() as tx:
        space = need_space(tx, caller, space_guid, Permission.WRITE_SPACE)
        for index, one in enumerate(manifest.applications):
            state, labelling = _present(tx, space, one)
            present, wanted = None, describe(one)
            if state.app is not None:
                readable = may_read(tx, caller, state.app.guid)
                variables = open_environment(context, state.app) if readable else {}
                present = generate(state, variables, labelling)
                wanted = wanted if readable else {key: value for key, value in wanted.items() if key != "env"}
                read += [state.app.guid] if variables and "env" in wanted else []
            rows += diff(index, wanted, present)
    for app_guid in dict.fromkeys(read):
        await note_shown(context, caller, app_guid)
    return rows


def _present(tx: ReadTx, space: Space, manifest: AppManifest) -> tuple[State, Labelling]:
    state = read_state(tx, space, manifest)
    if state.app is None:
        return state, Labelling()
    mapped = tx.all(Destination, app_guid=state.app.guid, order=("created_at",))
    with_routes = State(
        app=state.app,
        processes=state.processes,
        sidecars=state.sidecars,
        domains=usable_domains(tx, space.organization_guid),
        default_domain=state.default_domain,
        routes=tx.all(Route, In("guid", [one.route_guid for one in mapped])),
        destinations=mapped,
    )
    return with_routes, read_metadata(tx, [state.app.guid])[state.app.guid]
