"""What a handler is given and what it gives back."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import msgspec
import quart
import trio
from quart.wrappers import Request
from quart_trio import QuartTrio

from paasd.api.answers import Link
from paasd.api.body import Body
from paasd.api.payer import Payer, payer_of
from paasd.api.query import Query
from paasd.api.stream import Source
from paasd.api.wording import in_words
from paasd.auth import Caller
from paasd.errors import BadRequest, NotAuthenticated, Unprocessable
from paasd.packing import UNREADABLE
from paasd.state import current_request

if TYPE_CHECKING:
    from paasd.api.platform import Platform

T = TypeVar("T")
B = TypeVar("B")
JSON = "application/json"
ENTRIES_LIMIT: Final = 1000
"""Of each list and each object in a body of JSON."""
NUL_IN_JSON: Final = b"\\u0000"
VARIABLES: Final = ("var", "environment_variables")
HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")


class Form(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of request bodies: unknown fields are refused by name."""


class Reply(msgspec.Struct, Generic[B], kw_only=True):
    """An answer: `body` is encoded as JSON unless `raw` or `stream` is given.

    The description of the API says of each call what stands in the brackets of its handler's return type: a struct (see
    `paasd.api.answers`), `Literal` media types for what is no JSON, or None for an answer without content.

    A `stream` asks `may` whenever rights change, with the caller as of then, and ends when that raises. It also ends
    with the token that it was asked for with, unless it is `bounded`: has an end of its own.
    """

    status: int = 200
    body: B | None = None
    raw: bytes | None = None
    stream: Source | None = None
    may: Callable[[Caller], object] | None = None
    bounded: bool = False
    headers: dict[str, str] = {}
    content_type: str = JSON

    def content(self) -> bytes:
        """The bytes of a reply that is not a stream."""
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else msgspec.json.encode(self.body)


def created(body: B) -> Reply[B]:
    """201 with the new resource."""
    return Reply(status=201, body=body)


def no_content() -> Reply[None]:
    """204."""
    return Reply(status=204)


class Urls:
    """Absolute addresses on the name that the client used."""

    def __init__(self, base: str) -> None:
        self.base = base

    def v3(self, *parts: str) -> str:
        """`/v3/...`."""
        return "/".join((self.base, "v3", *parts))

    def link(self, *parts: str, method: str | None = None) -> Link:
        """A link object to `/v3/...`."""
        return Link(href=self.v3(*parts), method=msgspec.UNSET if method is None else method)


class Call:
    """One request after routing and authentication."""

    def __init__(
        self,
        platform: "Platform",
        request: Request,
        *,
        caller: Caller | None,
        payer: Payer | None,
        path: Mapping[str, str],
        query: Query,
        request_id: str,
    ) -> None:
        self.platform = platform
        self.context = platform.context
        self.request = request
        self.path = path
        self.query = query
        self.request_id = request_id
        self.urls = Urls(base_url(request))
        self.anonymous = caller is None
        self._caller = caller
        self.payer = payer
        """Nobody until somebody has signed in."""

    @property
    def caller(self) -> Caller:
        """Who asks. Raises NotAuthenticated on a route that admits anybody and where nobody signed in."""
        if self._caller is None:
            raise NotAuthenticated("Authentication error")
        return self._caller

    @property
    def paying(self) -> Payer:
        """Who pays; who has not signed in, together with all that have not."""
        return self.payer or Payer("")

    def signed_in(self, caller: Caller) -> None:
        """From here on the call is counted for somebody who was found to be behind it."""
        self.payer = payer_of(self.context.database, caller)

    @property
    def body(self) -> Body:
        """The body as a stream of pieces."""
        return cast(Body, self.request.body)

    def background(self) -> trio.Nursery:
        """Where work goes on beside requests; it ends with the server."""
        return cast(QuartTrio, quart.current_app).nursery

    def header(self, name: str) -> str:
        """A request header, "" when absent."""
        return self.request.headers.get(name, "")

    async def json(self, kind: type[T]) -> T:
        """The JSON body as `kind`. An empty body counts as `{}`. Raises BadRequest, Unprocessable."""
        raw = await self._read()
        try:
            value = msgspec.json.decode(raw) if raw.strip() else {}
        except UNREADABLE as error:
            raise BadRequest(f"Request invalid due to parse error: {error}") from error
        if not isinstance(value, dict):
            raise BadRequest("Request invalid due to parse error: the body is not a JSON object")
        check_lengths(value)
        if NUL_IN_JSON in raw:
            check_texts(value)
        return convert(value, kind)

    async def _read(self) -> bytes:
        raw = await self.body.read()
        if (request := current_request()) is not None:
            request.bind(raw)
        return raw


def check_lengths(body: Any) -> None:
    """Raise Unprocessable for a list or an object that is too long: what is looked up for each entry would add up."""
    todo = [body]
    while todo:
        one = todo.pop()
        if len(one) > ENTRIES_LIMIT:
            kind = "A list" if isinstance(one, list) else "An object"
            raise Unprocessable(f"{kind} in the body has {len(one)} entries; send at most {ENTRIES_LIMIT} in one call")
        todo += [inner for inner in (one if isinstance(one, list) else one.values()) if isinstance(inner, list | dict)]


def check_texts(body: dict[str, Any]) -> None:
    """Raise Unprocessable for a text with NUL: no command, no file name and no argument of a program can have one.

    Variables have a check of their own, which names them, and lets one of such a name be taken away.
    """
    todo = [(name, one) for name, one in body.items() if name not in VARIABLES]
    while todo:
        place, one = todo.pop()
        match one:
            case dict():
                todo += [(f"{place}.{name}", inner) for name, inner in one.items()]
            case list():
                todo += [(place, inner) for inner in one]
        if "\0" in place or (isinstance(one, str) and "\0" in one):
            raise Unprocessable(f"{place!a} cannot contain the character NUL")


def convert(value: Any, kind: type[T]) -> T:
    """`value` as `kind`. Raises Unprocessable in Cloud Foundry's words."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise Unprocessable(in_words(str(error))) from error


def sent_by_another_site(request: Request) -> bool:
    """Whether a browser says that a page of another origin made it send this; an app's page is another one, too."""
    site, origin = request.headers.get("Sec-Fetch-Site", ""), request.headers.get("Origin", "")
    return site not in ("", "same-origin", "none") or origin not in ("", base_url(request))


def base_url(request: Request) -> str:
    """scheme://host as the client typed it, through the router or directly."""
    scheme = request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip()
    host = request.headers.get("X-Forwarded-Host", "").split(",")[0].strip() or request.headers.get("Host", "")
    if scheme not in ("http", "https"):
        scheme = "http"
    return f"{scheme}://{host}" if HOST.fullmatch(host) else f"{scheme}://localhost"
