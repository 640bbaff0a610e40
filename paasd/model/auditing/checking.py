"""Finds the first event that was changed, taken away, put in or moved, in the chain of the platform or an organization.

Rows are read in portions, each in a snapshot of its own, so that checking a year of events holds nothing up: a chain
only grows at its end, and what goes from its beginning says so.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

import msgspec

from paasd.model.auditing.chain import PLATFORM, content
from paasd.model.auditing.following import Follower, Head, missing
from paasd.model.auditing.kept import Kept
from paasd.model.auditing.lines import place
from paasd.model.auditing.trimming import EXPIRED_EVENT
from paasd.model.records import AuditChain, AuditEvent
from paasd.state import Eq, Ge, Le, Ne, ReadTx

PORTION: Final = 500
Read = Callable[[], AbstractContextManager[ReadTx]]


class Checked(msgspec.Struct, kw_only=True):
    """What was found. `problem` None: everything fits, from event `first` to the head; `former` events are older than
    the chain and not covered by it. `unknown`: numbers of heads whose events have gone from the beginning.
    """

    scope: str
    events: int = 0
    first: int = 0
    former: int = 0
    sequence: int = 0
    hash: str = ""
    unknown: list[int] = []
    problem: str | None = None


class Check:
    """One check of one chain; `portions()` yields after each portion, so that others get their turn.

    `heads` were kept by whoever asks, `seen` by a node, which keeps them for longer than their events are there.
    """

    def __init__(
        self, read: Read, scope: str = PLATFORM, heads: tuple[Head, ...] = (), seen: tuple[Head, ...] = ()
    ) -> None:
        self._read = read
        self._scope = scope
        self._asked = Kept(heads)
        self._heads = Kept((*heads, *seen))
        self._organizations: dict[str, Follower] = {}
        self._expired: dict[str, Any] | None = None
        self.found = Checked(scope=scope)

    def portions(self) -> Iterator[None]:
        """Check all of it; the result is in `found`."""
        while True:
            chain = yield from self._once()
            with self._read() as tx:
                now = tx.get(AuditChain, self._scope)
            if self.found.problem is None or chain is None or now is None:
                return
            if now.trimmed_sequence == chain.trimmed_sequence:
                return
            # Old events went while it looked at them: that is no gap.
            self.found, self._organizations, self._expired = Checked(scope=self._scope), {}, None

    def _once(self) -> Generator[None, None, AuditChain | None]:
        with self._read() as tx:
            chain = tx.get(AuditChain, self._scope)
            if chain is None:
                self._without_chain(tx)
                return None
            self.found.first = chain.trimmed_sequence + 1
            self.found.unknown = self._asked.before(chain.trimmed_sequence)
            self.found.problem = self._heads.compare(chain.trimmed_sequence, chain.trimmed_hash)
            self.found.problem = self.found.problem or self._former(tx, chain)
        follower = Follower(chain.trimmed_sequence, chain.trimmed_hash)
        while self.found.problem is None:
            with self._read() as tx:
                rows = self._next(tx, follower, chain.sequence)
                for row in rows:
                    self.found.problem = self._one(tx, follower, row)
                    if self.found.problem is not None:
                        break
                    self.found.events += 1
            if len(rows) < PORTION:
                break
            yield
        self.found.sequence, self.found.hash = follower.sequence, follower.hash
        if self.found.problem is None:
            self.found.problem = follower.end(chain.sequence, chain.hash) or self._ends(chain)
        return chain

    def _without_chain(self, tx: ReadTx) -> None:
        events = AuditEvent
        known = tx.exists(events) if self._scope == PLATFORM else tx.exists(events, organization_guid=self._scope)
        if known or self._scope == PLATFORM or self._asked.beyond(0) is not None:
            self.found.problem = "the head of the chain is missing, and with it what says how many events there are"

    def _former(self, tx: ReadTx, chain: AuditChain) -> str | None:
        if self._scope != PLATFORM:
            return None
        self.found.former = tx.count(AuditEvent, sequence=0)
        negative = tx.find(AuditEvent, Le("sequence", -1))
        if negative is not None:
            return f"event {negative.guid} has the number {negative.sequence}, which none has"
        if self.found.former != chain.former:
            return (
                f"{self.found.former} events have no number, as if they were from before the chain; of those there are "
                f"{chain.former}"
            )
        return None

    def _next(self, tx: ReadTx, follower: Follower, upto: int) -> list[AuditEvent]:
        """The next portion. It begins with the last one again: another with its number must be seen."""
        own = self._scope != PLATFORM
        column = "organization_sequence" if own else "sequence"
        rows = tx.all(
            AuditEvent,
            *((Eq("organization_guid", self._scope),) if own else ()),
            Ge(column, max(1, follower.sequence)),
            Le(column, upto),
            order=(column,),
            limit=PORTION + 1,
        )
        return rows[1:] if rows and place(rows[0], self._scope) == (follower.sequence, follower.hash) else rows

    def _one(self, tx: ReadTx, follower: Follower, row: AuditEvent) -> str | None:
        fields = content(row)
        now = place(row, self._scope)
        problem = follower.follow(*now, fields) or self._heads.compare(*now)
        if self._scope != PLATFORM:
            return problem
        if problem is None and row.organization_guid is not None:
            problem = self._in_organization(tx, row, fields)
        if row.type == EXPIRED_EVENT:
            self._expired = row.data
        return problem

    def _in_organization(self, tx: ReadTx, row: AuditEvent, fields: dict[str, Any]) -> str | None:
        guid = row.organization_guid or ""
        follower = self._organizations.get(guid)
        if follower is None:
            chain = tx.get(AuditChain, guid)
            if chain is None:
                return f"the head of the chain of organization {guid} is missing"
            follower = self._organizations[guid] = Follower(chain.trimmed_sequence, chain.trimmed_hash)
        problem = follower.follow(row.organization_sequence, row.organization_hash, fields)
        return None if problem is None else f"organization {guid}: {problem}"

    def _ends(self, chain: AuditChain) -> str | None:
        """What is wrong beside the events: with the beginning, the heads of organizations, heads kept elsewhere."""
        lost = self._heads.beyond(chain.sequence)
        if lost is not None:
            return missing(chain.sequence + 1, lost)
        if self._scope != PLATFORM:
            return None
        told = (self._expired or {}).get("sequence", 0), (self._expired or {}).get("hash", "")
        if told != (chain.trimmed_sequence, chain.trimmed_hash):
            return (
                f"the chain begins after event {chain.trimmed_sequence}, but the platform took away old events only up "
                f"to event {told[0]}"
            )
        with self._read() as tx:
            for own in tx.all(AuditChain, Ne("scope", PLATFORM)):
                newest = tx.find(AuditEvent, organization_guid=own.scope, organization_sequence=own.sequence)
                if own.sequence > own.trimmed_sequence and (newest is None or newest.organization_hash != own.hash):
                    return f"organization {own.scope}: the head of its chain was changed"
        return None
