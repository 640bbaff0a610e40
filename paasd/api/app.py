"""The Quart app made from the route table: routing, authentication, errors and the access line, in one place each."""

import base64
import binascii
import math
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast
from urllib.parse import quote

import msgspec
import quart
import structlog
import trio
from quart.wrappers import Response
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from paasd.actions.second_factor import warning_of
from paasd.api.addresses import client_address
from paasd.api.answers import OAuthRefusal
from paasd.api.body import Body, StreamedConnection, StreamedRequest
from paasd.api.call import JSON, Call, Reply, sent_by_another_site
from paasd.api.charging import counted_writes
from paasd.api.errors import (
    UNKNOWN_ERROR,
    UNKNOWN_REQUEST,
    HeadersTooLarge,
    TooManyRequests,
    code_of,
    envelope,
    http_status_code,
    known_error,
)
from paasd.api.limits import READING
from paasd.api.matching import compiled, endpoint
from paasd.api.payer import payer_of
from paasd.api.platform import Platform
from paasd.api.query import parse_any, parse_query
from paasd.api.repeating import KEY, repeating, with_the_way_to_repeat
from paasd.api.request_ids import request_id_of
from paasd.api.scopes import check_scope
from paasd.api.still_allowed import until_refused
from paasd.api.stream import StreamBody
from paasd.api.table import Auth, Route, RouteTable, Size
from paasd.api.turns import PIECE
from paasd.api.websockets import RefusedWebsocket
from paasd.auth import Caller, root_caller
from paasd.auth.deploy import PREFIX as DEPLOY_PREFIX
from paasd.auth.service import OAuthError
from paasd.auth.tokens import INVALID
from paasd.errors import BadRequest, Crowded, Forbidden, InvalidToken, NotAuthenticated, OutcomeUnknown
from paasd.log import traceback_of
from paasd.model.manifests import ManifestError

View = Callable[..., Awaitable[Response]]
WITH_PASSWORD = ": give name and password (curl -u NAME:PASSWORD) or an access token (Authorization: bearer TOKEN)"
WITHOUT_PASSWORD = ", or use /paasd/v1, which takes name and password; here they are exchanged first at /oauth/token"
OTHER_SITE = "A browser sends name and password for whatever page it shows: a page of another site may change nothing"
EXCHANGE = (
    "; a deploy token itself is taken under /paasd/v1 alone, here a token that it is exchanged for at /oauth/token"
    " (client_credentials, what is before its dot as client id, what is after it as secret)"
)


def make_app(platform: Platform, table: RouteTable) -> QuartTrio:
    """An ASGI app that serves `table`."""
    app = QuartTrio("paasd", static_folder=None)
    app.asgi_http_class = StreamedConnection
    app.asgi_websocket_class = RefusedWebsocket
    app.request_class = StreamedRequest
    # Our own body class and handlers set the limits; Quart's would cut streams after a minute.
    app.config.update(RESPONSE_TIMEOUT=None, BODY_TIMEOUT=None, MAX_CONTENT_LENGTH=None)
    app.url_map = compiled(table)
    log = structlog.get_logger("paasd.api")
    app.view_functions.update({endpoint(route): _view(platform, route, log) for route in table})

    async def refuse(error: HTTPException) -> Response:
        """Requests that reached no handler."""
        code = http_status_code(error.code or 500)
        detail = "Unknown request" if code == UNKNOWN_REQUEST else error.name
        return _error_response(code.status, envelope(code, detail), _request_id())

    app.register_error_handler(HTTPException, refuse)
    return app


def _view(platform: Platform, route: Route, log: Any) -> View:
    async def view(**path: str) -> Response:
        request = quart.request
        request_id = _request_id()
        started = time.monotonic()
        status = 499  # what the line says when the client went away before there was an answer
        who = ""
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                try:
                    call = await _admit(platform, route, path, request_id)
                    who = "" if call.anonymous else call.caller.username
                    with repeating(call, route), counted_writes(call, route, call.address):
                        response = await _handle(call, route)
                except Exception as error:  # noqa: BLE001 (the one place where everything becomes an answer)
                    response = _failure(error, request_id, log)
                    if response.status_code == 401 and route.auth is Auth.BASIC:
                        response.headers["WWW-Authenticate"] = 'Basic realm="paasd"'
            response.headers["X-Vcap-Request-Id"] = request_id
            response.headers.update(quart.g.get("left", {}))
            if who and call.caller.hidden_organizations:
                response.headers.add("X-Cf-Warnings", quote(warning_of(call.context, call.caller)))
            if hasattr(quart.g, "stale"):
                response.headers["X-Paasd-Stale"] = quart.g.stale
            status = response.status_code
            return response
        finally:
            log.info(
                "request",
                method=request.method,
                path=request.path,
                route=route.path,
                status=status,
                ms=round((time.monotonic() - started) * 1000, 1),
                caller=who,
                request_id=request_id,
            )

    return view


async def _handle(call: Call, route: Route) -> Response:
    """What the handler says, in the caller's turn; of uploads, which last long, nobody has more than a share."""
    if route.size is Size.UPLOAD:
        uploads = call.platform.uploads
        uploads.check(call.paying)
        with uploads.taken(call.paying):
            return _response(await route.handler(call), call)
    if call.anonymous:
        return _response(await route.handler(call), call)
    reads = route.method in READING
    ready = trio.lowlevel.checkpoint if reads else call.body.read
    async with call.platform.call_turns.turn(call.paying, "read" if reads else "change", ready):
        return _response(await route.handler(call), call)


async def _admit(platform: Platform, route: Route, path: dict[str, str], request_id: str) -> Call:
    """Check sizes, who asks, and the query; in that order, so that nobody unknown learns anything."""
    request = quart.request
    config = platform.config.api
    size = sum(len(name) + len(value) + 4 for name, value in request.headers.items()) + len(request.full_path)
    if size > config.header_limit_bytes:
        limit = config.header_limit_bytes
        raise HeadersTooLarge(f"The request line and headers are larger than {limit} bytes; send less")
    scheme = request.headers.get("Authorization", "").strip().partition(" ")[0].lower()
    if scheme == "basic" and request.method != "GET" and sent_by_another_site(request):
        raise Forbidden(OTHER_SITE)
    body = cast(Body, request.body)
    usual_bytes = config.upload_limit_bytes if route.size is Size.UPLOAD else config.body_limit_bytes
    body.limit_bytes = route.limit_bytes or usual_bytes
    body.timeout_s = config.body_timeout_s
    body.whole_s = platform.config.apps.upload_timeout_s
    await _refresh(platform, route)
    caller, payer = await _caller(platform, route), None
    if caller is not None:
        address = client_address(request, platform.config.router.trusted_hops)
        caller = msgspec.structs.replace(caller, address=address, request_id=request_id)
        payer = payer_of(platform.context.database, caller)
        quart.g.left = platform.call_limits.count(payer, route.method)
        platform.auth.seen(caller)
    check_scope(caller, route)
    raw = request.query_string.decode("latin-1")
    query = parse_any(raw) if route.any_query else parse_query(raw, route.query)
    return Call(platform, request, caller=caller, payer=payer, path=path, query=query, request_id=request_id)


async def _refresh(platform: Platform, route: Route) -> None:
    """Wait until what was acknowledged by any node can be read here. Where too few nodes are left for that, the answer
    comes from what this one has, and a header says how many seconds ago it last knew that it had everything.
    """
    if route.auth is Auth.NONE and route.method == "GET":
        return  # the platform's addresses and public keys
    if not route.waits:
        return
    database = platform.context.database
    if not await database.fresh():
        quart.g.stale = "unknown" if math.isinf(database.stale_s) else str(math.ceil(database.stale_s))


async def _caller(platform: Platform, route: Route) -> Caller | None:
    if route.auth is Auth.NONE:
        return None
    request = quart.request
    scheme, _, credentials = request.headers.get("Authorization", "").strip().partition(" ")
    credentials = credentials.strip()
    if not scheme:
        if request.scope.get("state", {}).get("peer_uid") in (0, os.geteuid()):
            return root_caller()
        raise NotAuthenticated("Authentication error" + (WITH_PASSWORD if route.auth is Auth.BASIC else ""))
    match scheme.lower():
        case "bearer" if credentials.startswith(DEPLOY_PREFIX):
            if route.auth is Auth.BASIC:
                return platform.auth.deploy.caller(credentials)
            raise InvalidToken(INVALID + EXCHANGE)
        case "bearer" if credentials:
            return platform.auth.caller(credentials)
        case "basic" if route.auth is Auth.BASIC:
            username, password = basic_credentials(credentials)
            address = client_address(request, platform.config.router.trusted_hops)
            return await platform.auth.basic(username, password, address)
        case "basic":
            raise InvalidToken(INVALID + WITHOUT_PASSWORD)
        case _:
            raise InvalidToken(INVALID)


def basic_credentials(encoded: str) -> tuple[str, str]:
    """Name and password of HTTP Basic. Raises BadRequest."""
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise BadRequest("The Authorization header is not valid Basic authentication") from error
    if not colon:
        raise BadRequest("The Authorization header is not valid Basic authentication")
    return name, password


def _response(reply: Reply[Any], call: Call) -> Response:
    if reply.stream is not None:
        streams = call.platform.streams
        streams.check(call.paying)
        ends = None if reply.may is None else partial(until_refused, call, reply)
        turn = partial(call.platform.call_turns.turn, call.paying, PIECE)
        body = StreamBody(reply.stream, streams, call.paying, turn, ends)
        response = Response(body, status=reply.status, content_type=reply.content_type)
        response.timeout = None
    else:
        content = reply.content()
        response = Response(content, status=reply.status, content_type=reply.content_type if content else None)
    response.headers.extend(reply.headers)
    if reply.content_type == JSON:
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def _failure(error: Exception, request_id: str, log: Any) -> Response:
    known = known_error(error)
    if isinstance(known, OAuthError):
        body = msgspec.json.encode(OAuthRefusal(error=known.error, error_description=known.detail))
        response = _error_response(known.status, body, request_id)
        response.headers["Cache-Control"] = "no-store"
        return response
    if known is None:
        log.error("request failed", traceback=traceback_of(error), request_id=request_id)
        detail = f"An unknown error occurred. The log has it under request id {request_id}."
        return _error_response(UNKNOWN_ERROR.status, envelope(UNKNOWN_ERROR, detail), request_id)
    code = code_of(known)
    details = known.details if isinstance(known, ManifestError) else [known.detail]
    key = quart.g.get("idempotency_key")
    if isinstance(known, OutcomeUnknown) and key is not None:
        details = [with_the_way_to_repeat(known, key)]
    response = _error_response(code.status, envelope(code, *details), request_id)
    if code.status == 401:
        response.headers["WWW-Authenticate"] = "bearer"
    if isinstance(known, OutcomeUnknown):
        response.headers["X-Paasd-Request-Id"] = known.request_id
        if key is not None:
            response.headers[KEY] = key
    if isinstance(known, TooManyRequests):
        response.headers.update(known.headers)
    if code.status == 503 or isinstance(known, Crowded):
        response.headers["Retry-After"] = "1"
    return response


def _error_response(status: int, body: bytes, request_id: str) -> Response:
    response = Response(body, status=status, content_type=JSON)
    response.headers["X-Vcap-Request-Id"] = request_id
    return response


def _request_id() -> str:
    """Of the request that is being answered."""
    request = quart.request
    if not hasattr(quart.g, "request_id"):
        sent = (request.headers.get(name) for name in ("X-Vcap-Request-Id", "X-Request-Id"))
        quart.g.request_id = request_id_of(*sent)
    return str(quart.g.request_id)


__all__ = ["basic_credentials", "make_app"]
