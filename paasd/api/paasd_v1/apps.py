"""Apps by name: the same JSON as /v3, and log lines as text or NDJSON."""

import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate
from typing import Any, Final

import msgspec

from paasd.actions import apps, environment, processes
from paasd.actions import routes as route_actions
from paasd.actions.stats import stats_of
from paasd.actions.visibility import need_app
from paasd.api.answers import Lines, Page
from paasd.api.answers.apps import AllStatsShown, AppShown, ProcessShown
from paasd.api.beside import beside_if_long
from paasd.api.call import Call, Reply
from paasd.api.listing import View, list_reply, one_reply, reply_of
from paasd.api.numbers import whole
from paasd.api.paasd_v1.names import find_app, find_space
from paasd.api.present.apps import present_processes
from paasd.api.present.stats import present_stats
from paasd.api.query import QuerySpec
from paasd.api.table import Auth, Route, delete, get, post
from paasd.api.v3.app_parts import EnvironmentShown
from paasd.api.v3.apps import APPS
from paasd.api.v3.jobs import job_reply
from paasd.api.v3.processes import Scale, scale_warnings
from paasd.api.whom import DEVELOPERS, ENVIRONMENT_READERS, OPERATORS
from paasd.auth import Caller
from paasd.errors import BadQuery, NotFound
from paasd.logs import Line, Query, envelope
from paasd.model import App, Destination, Process
from paasd.model import Route as RouteRecord
from paasd.state import Eq, InSelect

RECENT_LINES = 100
RECENT_LIMIT = 1000
STATS_LIMIT: Final = 1000
"""Instances of one answer."""
NDJSON = "application/x-ndjson"
COLOR_CODES = re.compile(r"\x1b\[[0-9;]*m")


def wants_json(call: Call) -> bool:
    """Whether the client asked for NDJSON rather than text."""
    accept = call.header("Accept")
    return "ndjson" in accept or "application/json" in accept


async def list_apps(call: Call) -> Reply[Page[AppShown]]:
    """Apps of the space."""
    with call.context.database.read() as tx:
        space = find_space(call, tx)
    return await list_reply(call, APPS, Eq("space_guid", space.guid))


async def get_app(call: Call) -> Reply[AppShown]:
    """One."""
    with call.context.database.read() as tx:
        return one_reply(call, APPS, find_app(call, tx), tx)


async def delete_app(call: Call) -> Reply[None]:
    """202 with a job. Routes that lead to nothing else go with the app, as `cf delete -r` does it."""
    with call.context.database.read() as tx:
        app = find_app(call, tx)
        mapped = InSelect("guid", Destination, "route_guid", Eq("app_guid", app.guid))
        routes = [
            route.guid
            for route in tx.all(RouteRecord, mapped)
            if all(one.app_guid == app.guid for one in tx.all(Destination, route_guid=route.guid))
        ]
    # The app first: who may not delete it must not take its routes away either.
    job = await apps.delete(call.context, call.caller, app.guid)
    for guid in routes:
        with suppress(NotFound):  # somebody else deletes it, too
            await route_actions.delete(call.context, call.caller, guid)
    return job_reply(call, job)


async def restart_app(call: Call) -> Reply[AppShown]:
    """New instances."""
    app = _app(call)
    row = await apps.restart(call.context, call.caller, app.guid)
    return reply_of(call, APPS, row)


async def stop_app(call: Call) -> Reply[AppShown]:
    """No instances."""
    app = _app(call)
    row = await apps.stop(call.context, call.caller, app.guid)
    return reply_of(call, APPS, row)


async def get_env(call: Call) -> Reply[EnvironmentShown]:
    """The whole environment."""
    found = await environment.full_environment(call.context, call.caller, _app(call).guid)
    return Reply(body=EnvironmentShown(**found))


async def get_stats(call: Call) -> Reply[AllStatsShown]:
    """Every instance of every process, the first 1,000 of them."""
    app = _app(call)
    await call.context.observed.freshen(app.guid)
    with call.context.database.read() as tx:
        total = tx.total(Process, ("instances",), app_guid=app.guid)
    return await beside_if_long(call, total, partial(_stats, call))


def _stats(call: Call) -> Reply[AllStatsShown]:
    with call.context.database.read() as tx:
        app = find_app(call, tx)
        rows = tx.all(Process, app_guid=app.guid, order=("type",))
        begins = [0, *accumulate(row.instances for row in rows)]
        stats = stats_of(
            call.context, tx, [row for row, begin in zip(rows, begins, strict=False) if begin < STATS_LIMIT]
        )
    shown = [one for found in stats.values() for one in found][:STATS_LIMIT]
    left_out = begins[-1] - len(shown)
    return Reply(body=AllStatsShown(resources=present_stats(shown), left_out=left_out or msgspec.UNSET))


async def scale_app(call: Call) -> Reply[ProcessShown]:
    """Body as of the v3 scale action; `?process=` names another type than web."""
    form = await call.json(Scale)
    app = _app(call)
    process = processes.find(call.context, call.caller, app.guid, call.query.plain.get("process", "web"))
    row = await processes.scale(
        call.context,
        call.caller,
        process.guid,
        instances=form.instances,
        memory_mb=form.memory_in_mb,
        disk_mb=form.disk_in_mb,
        log_rate_limit_bytes=form.log_rate_limit_in_bytes_per_second,
    )
    with call.context.database.read() as tx:
        view = View(tx, call.urls, call.caller, call)
        return Reply(status=202, body=present_processes(view, [row])[0], headers=scale_warnings(tx, row))


async def get_logs(call: Call) -> Reply[Lines]:
    """Recent lines, oldest first; with `follow=1` also what comes, until client, token or right has gone."""
    app = _app(call)
    plain = call.query.plain
    count = whole(plain.get("lines", str(RECENT_LINES)), most=RECENT_LIMIT)
    if count is None:
        raise BadQuery(f"The query parameter is invalid: lines must be between 0 and {RECENT_LIMIT}")
    follow = plain.get("follow", "0") in ("1", "true", "yes")
    as_json = wants_json(call)
    content_type = NDJSON if as_json else "text/plain; charset=utf-8"
    if not follow:
        raw = b"".join(encode_line(line, as_json) for line in await _recent(call, app, count))
        return Reply(raw=raw, content_type=content_type)

    def may(caller: Caller) -> None:
        with call.context.database.read() as tx:
            need_app(tx, caller, app.guid)

    return Reply(stream=_follow(call, app, count, as_json), may=may, content_type=content_type)


@asynccontextmanager
async def _follow(call: Call, app: App, count: int, as_json: bool) -> AsyncIterator[AsyncIterable[bytes]]:
    logs = call.context.logs
    async with logs.follow_all(app.guid) as follower, aclosing(_lines(call, app, count, follower)) as lines:
        yield (encode_line(line, as_json) async for line in lines)


async def _lines(call: Call, app: App, count: int, follower: AsyncIterable[Line]) -> AsyncGenerator[Line, None]:
    """What is stored, then what comes. The follower is open already, so no line falls in between; none comes twice."""
    recent = await _recent(call, app, count)
    for line in recent:
        yield line
    seen = {(line.timestamp_ns, line.instance_id, line.payload) for line in recent}
    newest = recent[-1].timestamp_ns if recent else -1
    async for line in follower:
        if line.timestamp_ns > newest or (line.timestamp_ns, line.instance_id, line.payload) not in seen:
            yield line


async def _recent(call: Call, app: App, count: int) -> list[Line]:
    """The newest lines, oldest first."""
    if not count:
        return []
    lines = await call.context.logs.read_all(Query(source_id=app.guid, limit=count, descending=True))
    return lines[::-1]


def encode_line(line: Line, as_json: bool) -> bytes:
    """An envelope as one line of JSON, or `2026-01-02T03:04:05.67+0000 [APP/PROC/WEB/0] OUT text`."""
    if as_json:
        return msgspec.json.encode(envelope(line)) + b"\n"
    at = datetime.fromtimestamp(line.timestamp_ns / 1e9, UTC)
    head = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 10000:02d}+0000 [{line.source_type}/{line.instance_id}]"
    return printable(f"{head} {line.stream} ".encode()) + printable(line.payload) + b"\n"


def printable(payload: bytes) -> bytes:
    """A tenant's bytes without colours and the control characters that could rewrite a reader's terminal."""
    text = COLOR_CODES.sub("", payload.decode(errors="replace"))
    return "".join(one if one.isprintable() or one == "\t" else "\N{REPLACEMENT CHARACTER}" for one in text).encode()


def _app(call: Call) -> App:
    with call.context.database.read() as tx:
        return find_app(call, tx)


SPACE = "/paasd/v1/spaces/<organization>/<space>"
APP = f"{SPACE}/apps/<app>"
BY_NAME: dict[str, Any] = {"auth": Auth.BASIC}
ROUTES: tuple[Route, ...] = (
    get(f"{SPACE}/apps", list_apps, APPS.query, **BY_NAME),
    get(APP, get_app, APPS.single, **BY_NAME),
    delete(APP, delete_app, permission=DEVELOPERS, **BY_NAME),
    get(f"{APP}/logs", get_logs, QuerySpec(plain=("follow", "lines")), **BY_NAME),
    get(f"{APP}/env", get_env, permission=ENVIRONMENT_READERS, **BY_NAME),
    get(f"{APP}/stats", get_stats, **BY_NAME),
    post(f"{APP}/scale", scale_app, QuerySpec(plain=("process",)), permission=OPERATORS, **BY_NAME),
    post(f"{APP}/restart", restart_app, permission=OPERATORS, **BY_NAME),
    post(f"{APP}/stop", stop_app, permission=OPERATORS, **BY_NAME),
    post(f"{APP}/delete", delete_app, permission=DEVELOPERS, **BY_NAME),
)
