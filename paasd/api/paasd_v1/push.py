"""`POST /paasd/v1/spaces/ORG/SPACE/push`: source in, a running app out, in one call.

The body is an archive, or a multipart form with the file `bits` and perhaps `manifest`. It is on disk before anything
else happens. The push itself then runs beside the request, so that a client that goes away does not leave it half done;
with `wait=true` the answer streams how it goes, without it is a job.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import structlog
import trio

from paasd.actions import flags, jobs, push
from paasd.actions.permissions import Permission, authorise_in_space
from paasd.actions.stats import RUNNING, stats_of
from paasd.actions.storing import check_archive, incoming
from paasd.actions.visibility import need_visible
from paasd.api.answers import Lines
from paasd.api.call import Call, Reply
from paasd.api.listing import View
from paasd.api.multipart import Multipart
from paasd.api.paasd_v1.apps import BY_NAME, NDJSON, SPACE, printable, wants_json
from paasd.api.paasd_v1.names import find_space
from paasd.api.present.apps import present_apps
from paasd.api.query import QuerySpec
from paasd.api.table import Route, Size, post, put
from paasd.api.v3.jobs import job_reply
from paasd.auth import Caller
from paasd.blobs import Blob
from paasd.errors import BadQuery, PaasdError, Unprocessable
from paasd.log import traceback_of
from paasd.model import App, Job, JobError, Process, Space
from paasd.model.jobs import job_error
from paasd.model.manifests import Manifest

LISTENER_BUFFER = 500
UNEXPECTED = JobError(
    code=10001, title="UnknownError", detail="The push was broken off; push again, and see the daemon's log for why."
)
STEPS = ("upload", "build", "start", "healthy", "routed")
NEXT_STEP = {"upload": "build", "build": "start", "start": "healthy", "healthy": "routed"}
Events = trio.MemoryReceiveChannel[dict[str, Any]]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What came in: the archive on disk, the manifest with the app to push, how long receiving took."""

    bits: Blob
    manifest: Manifest
    received_s: float


async def push_app(call: Call) -> Reply[Lines] | Reply[None]:
    """200 with the progress as text or NDJSON (`wait=true`), else 202 with a job."""
    plain = call.query.plain
    wait = _flag(plain, "wait", False)
    start = _flag(plain, "start", True)
    with call.context.database.read() as tx:
        space = find_space(call, tx)
        authorise_in_space(tx, call.caller, space, Permission.WRITE_SPACE)
        flags.require(tx, call.caller, "app_bits_upload")
    source = await receive(call, space, plain.get("name"))
    runner = Runner(call, source, start=start)
    nursery = call.background()
    if not wait:
        job = await jobs.started(call.context, call.caller, "app.push", deadline_s=call.context.config.api.push_wait_s)
        await nursery.start(runner.run_as_job, job)
        return job_reply(call, job)
    call.platform.streams.check(call.paying)
    send, receive_events = trio.open_memory_channel[dict[str, Any]](LISTENER_BUFFER)
    await nursery.start(runner.run, send)
    as_json = wants_json(call)
    content_type = NDJSON if as_json else "text/plain; charset=utf-8"

    def may(caller: Caller) -> None:
        with call.context.database.read() as tx:
            authorise_in_space(tx, caller, need_visible(tx, caller, Space, space.guid), Permission.WRITE_SPACE)

    return Reply(stream=_listen(receive_events, as_json), may=may, bounded=True, content_type=content_type)


async def receive(call: Call, space: Space, name: str | None) -> Source:
    """Take the body to disk, with a manifest that can be applied and bits for which there is room.

    Raises ManifestError, Unprocessable, BadRequest, TooLarge; then nothing of it stays.
    """
    began = time.monotonic()
    config = call.context.config
    manifest: str | None = None
    async with incoming(call.context, space.guid) as upload:
        if call.header("Content-Type").startswith("multipart/"):
            parts = Multipart(call, file_field="bits", field_limit_bytes=config.apps.manifest_limit_bytes)
            async for piece in parts.file():
                await upload.write(piece)
            manifest = parts.fields.get("manifest")
        else:
            async for piece in call.body:
                await upload.write(piece)
        if upload.size_bytes == 0:
            raise Unprocessable(
                "The body is empty: send a zip or tar.gz archive (curl --data-binary @app.tar.gz),"
                " or a form (curl -F manifest=@manifest.yml -F bits=@app.zip)"
            )
        chosen = await push.choose_application(call.context, manifest, name)
        check_archive(upload.head)
        blob = await upload.keep()
    return Source(bits=blob, manifest=chosen, received_s=time.monotonic() - began)


class Runner:
    """One push beside its request."""

    def __init__(self, call: Call, source: Source, *, start: bool) -> None:
        self._call = call
        self._source = source
        self._start = start
        self._waterfall: list[dict[str, Any]] = []
        self._step = "upload"
        self._running = False

    async def run(
        self, listener: "trio.MemorySendChannel[dict[str, Any]]", task_status: "trio.TaskStatus[None]"
    ) -> None:
        """Push and tell `listener`; what is wrong from the start is raised to whoever starts this."""
        async with listener:
            try:
                await self._push(listener, task_status)
            except Exception as error:
                if not self._running:
                    raise
                if not isinstance(error, PaasdError):
                    structlog.get_logger("paasd.api").error("push failed", traceback=traceback_of(error))
                await self._tell(listener, self._error(UNEXPECTED))

    async def run_as_job(self, job: Job, task_status: "trio.TaskStatus[None]") -> None:
        """Push and close `job` with how it went, also when the daemon is being stopped."""
        send, events = trio.open_memory_channel[dict[str, Any]](LISTENER_BUFFER)
        outcome: dict[str, Any] = {}

        async def remember() -> None:
            async for event in events:
                outcome.update(event)

        errors = [UNEXPECTED]
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(remember)
                await nursery.start(self.run, send)
                task_status.started()
            if outcome.get("type") == "result":
                errors = []
            elif outcome.get("type") == "error":
                errors = [msgspec.convert({key: outcome[key] for key in ("code", "title", "detail")}, JobError)]
        except BaseExceptionGroup as group:
            known = [error for error in group.exceptions if isinstance(error, PaasdError)]
            errors = [job_error(known[0])] if known else errors
            raise
        finally:
            with trio.move_on_after(5, shield=True):
                await self._close(job, errors)

    async def _close(self, job: Job, errors: list[JobError]) -> None:
        try:
            await jobs.finish(self._call.context, job, errors)
        except PaasdError as error:
            structlog.get_logger("paasd.api").warning("job left to its deadline", job=job.guid, error=error.detail)

    async def _push(
        self, listener: "trio.MemorySendChannel[dict[str, Any]]", task_status: "trio.TaskStatus[None]"
    ) -> None:
        call = self._call
        async with push.open_push(
            call.context,
            call.caller,
            organization=call.path["organization"],
            space=call.path["space"],
            manifest=self._source.manifest,
            name=None,
            chunks=self._source.bits,
            start=self._start,
        ) as pushing:
            self._running = True
            task_status.started()
            await self._tell(listener, {"type": "step", "name": "upload", "state": "begun"})
            async for event in pushing.events:
                for shown in self._translate(event):
                    await self._tell(listener, shown)

    async def _tell(self, listener: "trio.MemorySendChannel[dict[str, Any]]", event: dict[str, Any]) -> None:
        try:
            await listener.send(event)
        except trio.BrokenResourceError:
            await trio.lowlevel.checkpoint()  # nobody listens any more; the push goes on

    def _translate(self, event: push.PushEvent) -> list[dict[str, Any]]:
        """One event of the action as the lines that clients read."""
        if event.kind == "log":
            return [{"type": "log", **event.data, "line": event.text}]
        if event.kind == "error":
            return [{"type": "error", **event.data, "step": self._step}]
        if event.kind == "result":
            return [self._result(event)]
        if event.step not in STEPS:
            stream = "ERR" if event.step == "warning" else "OUT"
            return [{"type": "log", "stream": stream, "source_type": "API", "line": event.text}]
        return self._step_done(event)

    def _step_done(self, event: push.PushEvent) -> list[dict[str, Any]]:
        duration_s = float(event.data.get("duration_s", 0.0))
        if event.step == "upload":
            duration_s += self._source.received_s
        timings = event.data.get("timings") or []
        parts = [_step(one["step"], one["duration_s"]) for one in timings]
        if parts:
            # What the node that built does not account for is the wait for it.
            parts.insert(0, _step("wait", max(0.0, duration_s - sum(one["duration_s"] for one in parts))))
        self._waterfall += parts or [_step(event.step, duration_s)]
        done = {"type": "step", "state": "done", **_step(event.step, duration_s)}
        lines: list[dict[str, Any]] = [{**done, "parts": parts} if parts else done]
        following = NEXT_STEP.get(event.step)
        if following is not None and (self._start or following == "build"):
            self._step = following
            lines.append({"type": "step", "name": following, "state": "begun"})
        return lines

    def _result(self, event: push.PushEvent) -> dict[str, Any]:
        call = self._call
        with call.context.database.read() as tx:
            app = tx.need(App, event.data["app_guid"])
            shown = present_apps(View(tx, call.urls, call.caller, call), [app])[0]
            stats = stats_of(call.context, tx, tx.all(Process, app_guid=app.guid))
        states = [one.state for process in stats.values() for one in process]
        return {
            "type": "result",
            "app": shown,
            "urls": [call.platform.app_url(url) for url in event.data.get("urls", [])],
            "waterfall": self._waterfall,
            "instances": {"running": states.count(RUNNING), "total": len(states)},
            "droplet": {"guid": event.data.get("droplet_guid")},
            "duration_s": round(event.data.get("duration_s", 0.0) + self._source.received_s, 3),
        }

    def _error(self, error: JobError) -> dict[str, Any]:
        return {"type": "error", **msgspec.to_builtins(error), "step": self._step}


@asynccontextmanager
async def _listen(events: Events, as_json: bool) -> AsyncIterator[AsyncIterable[bytes]]:
    with events:
        yield _lines(events, as_json)


async def _lines(events: Events, as_json: bool) -> AsyncGenerator[bytes, None]:
    async for event in events:
        yield msgspec.json.encode(event) + b"\n" if as_json else text_line(event)


def text_line(event: dict[str, Any]) -> bytes:
    """One event as a line for a person; the last line is the result."""
    match event["type"]:
        case "log":
            return b"   " + printable(str(event["line"]).encode()) + b"\n"
        case "step" if event["state"] == "begun":
            return f"-- {event['name']} ...\n".encode()
        case "step":
            parts = ", ".join(f"{one['name']} {one['duration_s']:.2f}" for one in event.get("parts", ()))
            return f"-- {event['name']} done in {event['duration_s']:.2f} s{parts and f' ({parts})'}\n".encode()
        case "result":
            running = event["instances"]
            urls = " ".join(event["urls"]) or "no route"
            head = f"OK {event['app'].name}: {running['running']} of {running['total']} instances running"
            return f"{head}, {urls}, {event['duration_s']:.2f} s\n".encode()
        case _:
            detail = " ".join(str(event["detail"]).split())
            return f"FAILED at {event['step']}: {detail} ({event['title']})\n".encode()


def _step(name: str, duration_s: float) -> dict[str, Any]:
    return {"name": name, "duration_s": round(duration_s, 3)}


def _flag(plain: Any, name: str, default: bool) -> bool:
    value = plain.get(name)
    if value is None:
        return default
    if value.lower() not in ("true", "false", "1", "0", ""):
        raise BadQuery(f"The query parameter is invalid: {name} must be true or false")
    return value.lower() in ("true", "1", "")


PUSH: dict[str, Any] = {"size": Size.UPLOAD, "permission": "space_developer", **BY_NAME}
QUERY = QuerySpec(plain=("wait", "name", "start"))
ROUTES: tuple[Route, ...] = (
    post(f"{SPACE}/push", push_app, QUERY, **PUSH),
    # `curl -T app.zip URL` puts; nobody should have to know that it can be told to post.
    put(f"{SPACE}/push", push_app, QUERY, **PUSH),
)
