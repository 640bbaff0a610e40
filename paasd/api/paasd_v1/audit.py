"""The chains of audit events: for administrators, and for managers and auditors of an organization its own."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Literal

from paasd.actions import audit as actions
from paasd.api.answers import Answer
from paasd.api.call import Call, Reply
from paasd.api.numbers import whole
from paasd.api.query import TIMESTAMP, QuerySpec
from paasd.api.table import Auth, Route, get
from paasd.auth import Caller
from paasd.errors import BadQuery
from paasd.model.auditing.following import Head

READER = "admin_read_only, global_auditor; of an organization also organization_manager, organization_auditor"
NDJSON = "application/x-ndjson"


class AuditHead(Answer):
    """Number and hash of the newest event of a chain."""

    chain: str
    organization: str
    sequence: int
    hash: str
    head: str


class AuditVerdict(Answer):
    """What checking a chain found; `problem` is null when every event is there and as it was."""

    chain: str
    organization: str
    events: int
    first: int
    former: int
    head: str
    problem: str | None


def _scope(call: Call) -> actions.Scope:
    return actions.scope(call.context, call.caller, call.query.plain.get("organization"))


async def head(call: Call) -> Reply[AuditHead]:
    """Number and hash of the newest event, to be kept elsewhere."""
    scope = _scope(call)
    newest = actions.head(call.context, scope)
    body = AuditHead(
        chain=scope.chain,
        organization=scope.organization,
        sequence=newest.sequence,
        hash=newest.hash,
        head=str(newest),
    )
    return Reply(body=body)


async def verify(call: Call) -> Reply[AuditVerdict]:
    """`problem` is null, or names the first event that was changed, taken away or put in."""
    scope = _scope(call)
    found = await actions.check(call.context, scope, _heads(call))
    body = AuditVerdict(
        chain=scope.chain,
        organization=scope.organization,
        events=found.events,
        first=found.first,
        former=found.former,
        head=str(Head(sequence=found.sequence, hash=found.hash)),
        problem=found.problem,
    )
    return Reply(body=body)


async def export(call: Call) -> Reply[Literal["application/x-ndjson"]]:
    """A JSON object a line; the first says what the chain goes on from, the last where it ends."""
    plain = call.query.plain
    scope = _scope(call)
    since, until = _time(call, "since"), _time(call, "until")
    follow = plain.get("follow", "0") in ("1", "true", "yes")

    @asynccontextmanager
    async def lines() -> AsyncIterator[AsyncIterable[bytes]]:
        exported = actions.export(call.context, scope, since, until, lambda: follow, call.paying.person)
        async with aclosing(exported) as pieces:
            yield pieces

    def may(caller: Caller) -> None:
        actions.check_scope(call.context, caller, scope)

    return Reply(stream=lines(), may=may, content_type=NDJSON)


def _time(call: Call, name: str) -> str | None:
    text = call.query.plain.get(name)
    if text is not None and not TIMESTAMP.fullmatch(text):
        raise BadQuery(f"The query parameter is invalid: {name} must be a time such as 2026-01-31T00:00:00Z")
    return text


def _heads(call: Call) -> tuple[Head, ...]:
    found = []
    for text in call.query.plain.get("heads", "").split(","):
        if not text:
            continue
        number, _, hash = text.partition(":")
        sequence = whole(number)
        if sequence is None or len(hash) != 64:
            raise BadQuery("The query parameter is invalid: heads must be NUMBER:HASH, as of /paasd/v1/audit/head")
        found.append(Head(sequence=sequence, hash=hash))
    return tuple(found)


HEAD = QuerySpec(plain=("organization",))
VERIFY = QuerySpec(plain=("organization", "heads"))
EXPORT = QuerySpec(plain=("organization", "since", "until", "follow"))
ROUTES: tuple[Route, ...] = (
    get("/paasd/v1/audit/head", head, HEAD, auth=Auth.BASIC, permission=READER),
    get("/paasd/v1/audit/verify", verify, VERIFY, auth=Auth.BASIC, permission=READER),
    get("/paasd/v1/audit/events", export, EXPORT, auth=Auth.BASIC, permission=READER),
)
