"""One call that pushes, made of the same actions that clients call one by one; it tells how it goes on the way."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
import trio.lowlevel

from paasd.actions import apps, builds, flags, manifests, packages
from paasd.actions.context import Context
from paasd.actions.permissions import Permission
from paasd.actions.stats import CRASHED, RUNNING, stats_of
from paasd.actions.visibility import need_space, visible
from paasd.auth import Caller
from paasd.blobs import Blob
from paasd.errors import NotFound, PaasdError, Unavailable, Unprocessable
from paasd.logs import Following, Line, Query
from paasd.model import App, Build, Organization, Process, Space
from paasd.model.jobs import job_error
from paasd.model.manifests import AppManifest, Manifest
from paasd.model.vcap import application_uris

EVENTS_BUFFER = 200
DEFAULT_START_TIMEOUT_S = 60.0
START_MARGIN_S = 15.0
POLL_S = 1.0
LAST_WORDS_LINES = 10
ROUTED_TIMEOUT_S = 20.0
"""The router is told within milliseconds; this long means that it is not there."""


class PushEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of progress. `kind` is step, log, result or error; result and error are the last. `at` is unix time."""

    kind: str
    text: str
    at: float
    step: str = ""
    data: dict[str, Any] = {}


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be pushed, checked: the place and the one application of the manifest."""

    space: Space
    manifest: Manifest
    events: "trio.MemoryReceiveChannel[PushEvent]"


def find_space(context: Context, caller: Caller, organization: str, space: str) -> Space:
    """A space that the caller may see, by names. Raises NotFound."""
    with context.database.read() as tx:
        owner = tx.find(Organization, *visible(tx, caller, Organization), name=organization)
        if owner is None:
            raise NotFound("Organization", f"Organization '{organization}' not found")
        found = tx.find(Space, *visible(tx, caller, Space), organization_guid=owner.guid, name=space)
        if found is None:
            raise NotFound("Space", f"Space '{space}' not found in organization '{organization}'")
        return found


def find_app(context: Context, caller: Caller, space: Space, name: str) -> App:
    """An app that the caller may see, by name. Raises NotFound."""
    with context.database.read() as tx:
        found = tx.find(App, *visible(tx, caller, App), space_guid=space.guid, name=name)
    if found is None:
        raise NotFound("App", f"App '{name}' not found in space '{space.name}'")
    return found


async def choose_application(context: Context, text: str | bytes | None, name: str | None) -> Manifest:
    """The manifest with just the application to push, given a default route unless it says otherwise.

    Raises ManifestError, Unprocessable when it is not clear which one.
    """
    if text is None:
        if not name:
            raise Unprocessable("Send a manifest or name the app with the query parameter 'name'.")
        return Manifest(applications=[AppManifest(name=name, default_route=True)])
    manifest = await manifests.parse(context, text, name)
    chosen = [one for one in manifest.applications if name is None or one.name.lower() == name.lower()]
    if not chosen and len(manifest.applications) == 1 and name:
        chosen = [msgspec.structs.replace(manifest.applications[0], name=name)]
    if len(chosen) != 1:
        names = ", ".join(one.name for one in manifest.applications)
        raise Unprocessable(f"Name one app of the manifest to push with the query parameter 'name'; it has {names}.")
    app = chosen[0]
    if not (app.routes or app.no_route or app.random_route):
        app = msgspec.structs.replace(app, default_route=True)
    return Manifest(applications=[app], warnings=manifest.warnings)


def start_advice(details: str, process: Process) -> str:
    """What a developer can do about an instance that ended as `details` say."""
    if "out of memory" in details:
        return f"give it more than {process.memory_mb} MB of memory; the app's logs say more"
    if "TCP connection" in details:
        return "make it listen on 0.0.0.0:$PORT, or give it a longer timeout; the app's logs say more"
    return "see the app's logs"


@asynccontextmanager
async def open_push(
    context: Context,
    caller: Caller,
    *,
    organization: str,
    space: str,
    manifest: Manifest | str | bytes | None,
    name: str | None,
    chunks: AsyncIterable[bytes] | Blob,
    start: bool = True,
) -> AsyncIterator[Push]:
    """Check what can be checked, then push inside the block; read `events` to their end to know how it went.

    `manifest` is what `choose_application` gave, or what it takes.

    Raises NotFound, Forbidden, ManifestError, Unprocessable before anything was changed.
    """
    place = find_space(context, caller, organization, space)
    with context.database.read() as tx:
        need_space(tx, caller, place.guid, Permission.WRITE_SPACE)
        flags.require(tx, caller, "app_bits_upload")
    chosen = manifest if isinstance(manifest, Manifest) else await choose_application(context, manifest, name)
    send, receive = trio.open_memory_channel[PushEvent](EVENTS_BUFFER)
    async with trio.open_nursery() as nursery:
        steps = _Steps(context, caller, place, chosen, send, start=start)
        nursery.start_soon(steps.run, chunks)
        with receive:
            yield Push(space=place, manifest=chosen, events=receive)
        nursery.cancel_scope.cancel()


class _Steps:
    """The calls of a push in order, each followed by an event."""

    def __init__(
        self,
        context: Context,
        caller: Caller,
        space: Space,
        manifest: Manifest,
        send: "trio.MemorySendChannel[PushEvent]",
        *,
        start: bool,
    ) -> None:
        self.context = context
        self.caller = caller
        self.space = space
        self.manifest = manifest
        self.start = start
        self._send = send
        self._began = context.clock()
        self._step_began = self._began

    async def run(self, chunks: AsyncIterable[bytes] | Blob) -> None:
        async with self._send:
            try:
                await self._push(chunks)
            except PaasdError as error:
                failure = job_error(error)
                data = {"code": failure.code, "title": failure.title, "detail": failure.detail}
                await self._tell("error", error.detail, data=data)

    async def _push(self, chunks: AsyncIterable[bytes] | Blob) -> None:
        context, caller = self.context, self.caller
        for warning in self.manifest.warnings:
            await self._tell("step", warning, step="warning")
        await manifests.apply_parsed(context, caller, self.space.guid, self.manifest)
        app = find_app(context, caller, self.space, self.manifest.applications[0].name)
        await self._done("manifest", f"Applied the manifest of {app.name}", app_guid=app.guid)
        package = await packages.create(context, caller, app_guid=app.guid)
        if isinstance(chunks, Blob):
            package = await packages.attach(context, caller, package.guid, chunks)
        else:
            package = await packages.upload(context, caller, package.guid, chunks)
        await self._done("upload", f"Uploaded {package.size_bytes} bytes", package_guid=package.guid)
        build = await self._stage(app, package.guid)
        await self._done("build", f"Staged droplet {build.droplet_guid}", timings=msgspec.to_builtins(build.timings))
        await apps.set_current_droplet(context, caller, app.guid, build.droplet_guid or "")
        if self.start:
            await apps.restart(context, caller, app.guid)
            await self._done("start", f"Starting {app.name}")
            await self._wait_until_healthy(app)
            await self._done("healthy", f"{app.name} is running")
            await self._wait_until_routed(app)
        with context.database.read() as tx:
            urls = application_uris(tx, app)
        total_s = context.clock() - self._began
        data = {"app_guid": app.guid, "droplet_guid": build.droplet_guid, "urls": urls, "duration_s": round(total_s, 3)}
        await self._tell("result", f"{app.name} is pushed: {', '.join(urls) or 'it has no route'}", data=data)

    async def _stage(self, app: App, package_guid: str) -> Build:
        """Create the build and pass its log lines on until it ends. Raises Unprocessable when it fails."""
        context, build = self.context, None
        failure: PaasdError | None = None
        async with context.logs.follow_all(app.guid) as lines, trio.open_nursery() as nursery:
            try:
                build = await builds.create(context, self.caller, package_guid=package_guid)
                nursery.start_soon(self._pass_on, lines)
                build = await self._wait_until_built(build)
                # What was said before the end, on whichever node, is told first.
                await lines.settle()
            except PaasdError as error:
                failure = error  # raised outside the nursery, which would wrap it into a group
            nursery.cancel_scope.cancel()
        if failure is not None or build is None:
            raise failure or Unprocessable("StagingError - staging failed")
        if build.state != "STAGED":
            raise Unprocessable(build.error or "StagingError - staging failed")
        return build

    async def _pass_on(self, lines: Following) -> None:
        async for line in lines:
            if line.source_type.startswith("STG"):
                await self._tell_line(line, "build")

    async def _wait_until_built(self, build: Build) -> Build:
        context = self.context
        async with context.database.watch("builds") as changes:
            while True:
                changes.take()
                with context.database.read() as tx:
                    found = tx.get(Build, build.guid)
                if found is None:
                    raise NotFound("Build", "The app was deleted while it was staged")
                if found.state != "STAGING":
                    return found
                await changes.wait()

    async def _wait_until_healthy(self, app: App) -> None:
        """Until each process that wants instances has one running. Raises Unprocessable, Unavailable when late."""
        context = self.context
        deadline = context.clock() + self._start_timeout_s(app)
        async with context.observed.watch() as watch:
            while True:
                with trio.move_on_after(POLL_S):
                    await watch.wait()
                with context.database.read() as tx:
                    processes = [one for one in tx.all(Process, app_guid=app.guid) if one.instances]
                    stats = stats_of(context, tx, processes)
                states = [{one.state for one in stats[process.guid]} for process in processes]
                if all(RUNNING in found for found in states):
                    return
                for process, found in zip(processes, states, strict=True):
                    details = next((one.details for one in stats[process.guid] if one.details), None)
                    if found == {CRASHED}:
                        await self._tell_last_words(app)
                        why = f": {details}" if details else ""
                        advice = start_advice(details or "", process)
                        raise Unprocessable(f"Process {process.type} crashed at start{why}; {advice}")
                    if details and details.startswith("insufficient resources"):
                        raise Unprocessable(f"Process {process.type} has no place to run: {details}")
                if context.clock() > deadline:
                    raise Unavailable("The app did not become healthy in time; it goes on starting, see its logs")

    async def _tell_last_words(self, app: App) -> None:
        """What the app printed before it ended: mostly the answer."""
        query = Query(
            source_id=app.guid,
            start_ns=int(self._step_began * 1e9),
            limit=LAST_WORDS_LINES,
            descending=True,
            source_types=["APP"],
            flush=True,
        )
        for line in reversed(await self.context.logs.read_all(query)):
            await self._tell_line(line, "healthy")

    async def _tell_line(self, line: Line, step: str) -> None:
        data = {"stream": line.stream, "source_type": line.source_type}
        await self._tell("log", line.payload.decode(errors="replace"), step=step, data=data)

    async def _wait_until_routed(self, app: App) -> None:
        """The app is what was pushed whether or not the router is there, so lateness is a warning."""
        with trio.move_on_after(ROUTED_TIMEOUT_S):
            await self.context.routed(app.guid)
            await self._done("routed", f"{app.name} is served")
            return
        text = "The router does not answer; its routes follow when it is back (`paasd status`, and the daemon's log)"
        await self._tell("step", text, step="warning")

    def _start_timeout_s(self, app: App) -> float:
        with self.context.database.read() as tx:
            processes = tx.all(Process, app_guid=app.guid)
        longest = max((one.health_check.timeout_s or DEFAULT_START_TIMEOUT_S for one in processes), default=0.0)
        return longest + START_MARGIN_S

    async def _done(self, step: str, text: str, **data: Any) -> None:
        now = self.context.clock()
        await self._tell("step", text, step=step, data={**data, "duration_s": round(now - self._step_began, 3)})
        self._step_began = now

    async def _tell(self, kind: str, text: str, *, step: str = "", data: dict[str, Any] | None = None) -> None:
        event = PushEvent(kind=kind, text=text, at=self.context.clock(), step=step, data=data or {})
        try:
            await self._send.send(event)
        except trio.BrokenResourceError:
            return  # nobody listens any more; `open_push` ends the push
