"""log-cache: the lines of one app, for `cf logs`. Strict JSON: clients refuse fields that they do not know.

What one may not see is 404, never 403. Times are nanoseconds and may be negative.
"""

from urllib.parse import parse_qsl

from paasd.actions.visibility import need_visible, visible
from paasd.api.answers import Answer, Refusal
from paasd.api.call import Call, Reply
from paasd.api.numbers import LEAST, MOST, whole
from paasd.api.platform import LOG_CACHE_VERSION
from paasd.api.table import Auth, Route, get
from paasd.errors import BadQuery, NotFound
from paasd.logs import Query, ReadAnswer, read_response
from paasd.model import App

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
LOG_TYPES = ("LOG", "ANY")


class LogRefusal(Refusal):
    """Why a call of this door was refused, in the form of its own."""

    error: str
    code: int
    message: str


class LogInfo(Answer):
    """The version decides which paths a client uses."""

    version: str
    vm_uptime: str


class Extent(Answer):
    """From when to when there are lines of a source, in unix nanoseconds."""

    count: str
    expired: str
    oldestTimestamp: str
    newestTimestamp: str


class Meta(Answer):
    """The sources that have lines, by guid."""

    meta: dict[str, Extent]


NOT_FOUND = LogRefusal(error="app not found, unauthorized, or deprecated endpoint", code=5, message="not found")


async def info(call: Call) -> Reply[LogInfo]:
    """`GET /api/v1/info`: the version decides which paths a client uses."""
    return Reply(body=LogInfo(version=LOG_CACHE_VERSION, vm_uptime="0"))


async def read(call: Call) -> Reply[ReadAnswer] | Reply[LogRefusal]:
    """`GET /api/v1/read/:source_id`."""
    plain = _plain(call)
    source_id = call.path["source_id"]
    if not _may_read(call, source_id):
        return Reply(status=404, body=NOT_FOUND)
    types = [kind for name, kind in plain if name == "envelope_types"]
    values = dict(plain)
    limit = _number(values, "limit", DEFAULT_LIMIT)
    if not 0 <= limit <= MAX_LIMIT:
        raise BadQuery(f"The query parameter is invalid: limit must be between 0 and {MAX_LIMIT}")
    if types and not any(kind in LOG_TYPES for kind in types):
        return Reply(body=read_response([]))
    lines = await call.context.logs.read_all(
        Query(
            source_id=source_id,
            start_ns=_number(values, "start_time", LEAST),
            end_ns=_number(values, "end_time", MOST),
            limit=limit or DEFAULT_LIMIT,
            descending=values.get("descending", "false") == "true",
        )
    )
    return Reply(body=read_response(lines))


async def meta(call: Call) -> Reply[Meta]:
    """`GET /api/v1/meta`: the sources that the caller may read, of those that have lines."""
    found: dict[str, Extent] = {}
    with call.context.database.read() as tx:
        guids = [app.guid for app in tx.all(App, *visible(tx, call.caller, App), order=("guid",), limit=MAX_LIMIT)]
    for guid, (oldest_ns, newest_ns) in (await call.context.logs.extent_all(guids)).items():
        found[guid] = Extent(count="1", expired="0", oldestTimestamp=str(oldest_ns), newestTimestamp=str(newest_ns))
    return Reply(body=Meta(meta=found))


def _may_read(call: Call, source_id: str) -> bool:
    with call.context.database.read() as tx:
        try:
            need_visible(tx, call.caller, App, source_id)
        except NotFound:
            return False
    return True


def _plain(call: Call) -> list[tuple[str, str]]:
    return parse_qsl("&".join(call.query.raw), keep_blank_values=True, max_num_fields=50)


def _number(values: dict[str, str], name: str, default: int) -> int:
    text = values.get(name, "")
    if not text:
        return default
    if (found := whole(text, LEAST)) is None:
        raise BadQuery(f"The query parameter is invalid: {name} must be an integer of 64 bits")
    return found


ROUTES: tuple[Route, ...] = (
    get("/api/v1/info", info, auth=Auth.NONE, any_query=True),
    get("/api/v1/read/<source_id>", read, any_query=True),
    get("/api/v1/meta", meta, any_query=True),
)
