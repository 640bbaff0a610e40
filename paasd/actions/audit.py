"""Reading the chains of audit events: their heads, a check of all of it, an export that can be checked elsewhere.

The chain of the platform is for who sees all of it, that of an organization also for its managers and auditors.
"""

from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

from paasd.actions.audit_heads import FILE as HEADS
from paasd.actions.audit_heads import heads_of, problem_of, problem_of_end
from paasd.actions.context import Context
from paasd.actions.permissions import NOT_ALLOWED, authorise_to_read_all
from paasd.actions.visibility import visible
from paasd.auth import Caller
from paasd.chained_file import find_break, read_records
from paasd.errors import Forbidden, NotFound
from paasd.model import AuditChain, AuditEvent, Organization, Role
from paasd.model.auditing import PLATFORM
from paasd.model.auditing.checking import Check, Checked
from paasd.model.auditing.following import Follower, Head
from paasd.model.auditing.lines import encode_event, encode_first, encode_last, place
from paasd.model.refusals import EVENT as REFUSALS_EVENT
from paasd.state import Condition, Eq, Ge, Gt, In, Le, ReadTx

READERS: Final = ("organization_auditor", "organization_manager")
PORTION: Final = 200
DONE: Final = object()
REFUSALS: Final = "refusals.jsonl"
"""A file of a node, a chain itself: whom it turned away."""


class Scope(msgspec.Struct, frozen=True):
    """One chain: of the platform, or of an organization, whose name it has for people."""

    chain: str
    organization: str = ""


def scope(context: Context, caller: Caller, organization: str | None) -> Scope:
    """The chain that is meant, if the caller may read it. Raises NotFound, Forbidden."""
    if organization is None:
        authorise_to_read_all(caller)
        return Scope(PLATFORM)
    with context.database.read() as tx:
        found = tx.find(Organization, *visible(tx, caller, Organization), name=organization)
        if found is None:
            raise NotFound("Organization", f"Organization '{organization}' not found, or you have no role in it.")
        mine = {"user_guid": caller.user_guid, "organization_guid": found.guid}
        if not caller.sees_everything and not tx.exists(Role, In("type", READERS), **mine):
            raise Forbidden(NOT_ALLOWED)
        return Scope(found.guid, found.name)


def check_scope(context: Context, caller: Caller, kept: Scope) -> None:
    """Raise NotFound, Forbidden for who may not read the chain any more, whatever its organization is called by now."""
    name = None
    if kept.chain != PLATFORM:
        with context.database.read() as tx:
            found = tx.get(Organization, kept.chain)
        name = "" if found is None else found.name
    scope(context, caller, name)


def head(context: Context, scope: Scope) -> Head:
    """The newest event of the chain; 0 when there is none."""
    with context.database.read() as tx:
        chain = tx.get(AuditChain, scope.chain)
    return Head(sequence=0, hash="") if chain is None else Head(sequence=chain.sequence, hash=chain.hash)


async def check(context: Context, scope: Scope, heads: tuple[Head, ...] = ()) -> Checked:
    """Look at every event, and at the heads that this node saw: at the newest one, for the platform at all of them."""
    folder = context.database.path.parent
    whole = scope.chain == PLATFORM
    seen = tuple(context.seen_heads)
    written = await trio.to_thread.run_sync(read_records, folder / HEADS)
    kept = (*heads_of(written), *seen)
    if not whole:
        with context.database.read() as tx:
            gone = problem_of_end(tx, kept)
        if gone is not None:
            return Checked(scope=scope.chain, problem=gone)
        kept = ()
    looking = Check(context.database.read, scope.chain, (*kept, *heads))
    portions = looking.portions()
    async with context.apart.turn(scope.chain):
        while await context.apart.run(lambda: next(portions, DONE)) is not DONE:
            pass
    found = looking.found
    if whole and found.problem is None:
        found.problem = await trio.to_thread.run_sync(_check_refusals, context, folder / REFUSALS)
    if whole and found.problem is None:
        with context.database.read() as tx:
            found.problem = problem_of(tx, written, seen, context.node_guid)
    return found


def _check_refusals(context: Context, path: Path) -> str | None:
    """Whether the file of refusals of this node still is what it was when its head went into the log."""
    with context.database.read() as tx:
        witnessed = tx.all(AuditEvent, type=REFUSALS_EVENT, target_guid=context.node_guid, order=("sequence",))
    records = read_records(path)
    if (broken := find_break(records)) is not None:
        return f"{path.name} of this node: {broken}"
    hashes = {record.number: record.hash for record in records}
    oldest, newest = min(hashes, default=0), max(hashes, default=0)
    for event in witnessed:
        count = event.data["count"]
        if count > newest or (count >= oldest and hashes[count] != event.data["head"]):
            return f"{path.name} of this node: record {count} is not the one that event {event.sequence} witnessed"
    return None


async def export(
    context: Context, scope: Scope, since: str | None, until: str | None, follow: Callable[[], bool], reader: str
) -> AsyncGenerator[bytes, None]:
    """The lines of the chain, of events between two times; while `follow` says so also those to come.

    They are read and encoded beside the loop, of all exports of one `reader` one portion at a time.
    """
    with context.database.read() as tx:
        chain = tx.get(AuditChain, scope.chain) or AuditChain(scope=scope.chain)
        follower = _start(tx, scope, chain, since)
    yield encode_first(scope.chain, scope.organization, follower, chain.former if scope.chain == PLATFORM else 0)
    events = 0
    async with context.database.watch("audit_events") as changes:
        while True:
            async with context.apart.turn(reader):
                read = await context.apart.run(partial(_portion, context, scope, follower.sequence, until))
            if read.kept:
                follower.sequence, follower.hash = read.upto
                events += read.kept
                yield read.lines
            if read.kept < read.rows or (read.rows < PORTION and not follow()):
                break
            if read.rows < PORTION:
                await changes.wait()
                changes.take()
    yield encode_last(events, Head(sequence=follower.sequence, hash=follower.hash))


def _columns(scope: Scope) -> tuple[str, tuple[Condition, ...]]:
    """The column that numbers the chain, and what its events have in common."""
    if scope.chain == PLATFORM:
        return "sequence", ()
    return "organization_sequence", (Eq("organization_guid", scope.chain),)


class _Portion(msgspec.Struct, frozen=True):
    """So many rows were there, of which so many were before the end; `upto` is the place of the last of these."""

    rows: int
    kept: int
    lines: bytes
    upto: tuple[int, str]


def _portion(context: Context, scope: Scope, after: int, until: str | None) -> _Portion:
    column, own = _columns(scope)
    with context.database.read() as tx:
        rows = tx.all(AuditEvent, *own, Gt(column, after), order=(column,), limit=PORTION)
    kept = [row for row in rows if until is None or row.created_at < until]
    lines = b"".join(encode_event(row, scope.chain) for row in kept)
    return _Portion(len(rows), len(kept), lines, place(kept[-1], scope.chain) if kept else (after, ""))


def _start(tx: ReadTx, scope: Scope, chain: AuditChain, since: str | None) -> Follower:
    """What the first event of the export follows."""
    follower = Follower(chain.trimmed_sequence, chain.trimmed_hash)
    if since is None:
        return follower
    column, own = _columns(scope)
    first = tx.all(AuditEvent, *own, Ge("created_at", since), Gt(column, 0), order=(column,), limit=1)
    upto = place(first[0], scope.chain)[0] - 1 if first else chain.sequence
    before = tx.all(AuditEvent, *own, Gt(column, 0), Le(column, upto), order=("-" + column,), limit=1)
    return Follower(*place(before[0], scope.chain)) if before else follower
