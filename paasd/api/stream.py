"""Answers without a known end: log lines, the progress of a push."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from types import TracebackType

import trio
from quart.wrappers.response import ResponseBody

from paasd.errors import Unavailable

SHARES = 4
"""One user has no more than one of so many parts of what a node can do at once."""
Source = AbstractAsyncContextManager[AsyncIterable[bytes]]
Ends = Callable[[], Awaitable[None]]
"""Returns when a stream may stay open no longer."""


class UserShares:
    """What a node does at once at most, of one kind: `limit` altogether, a quarter for one user, whom it tells so."""

    def __init__(self, limit: int, kind: str = "streams", setting: str = "api.follow_limit") -> None:
        self._limit = limit
        self._kind = kind
        self._setting = setting
        self._scopes: dict[trio.CancelScope, str] = {}

    def check(self, who: str) -> None:
        """Raise Unavailable when there are as many as allowed, together or of this user."""
        if len(self._scopes) >= self._limit:
            raise Unavailable(f"There are {self._limit} {self._kind} open already ({self._setting}); try again later")
        share = max(1, self._limit // SHARES)
        if sum(one == who for one in self._scopes.values()) >= share:
            raise Unavailable(f"You have {share} {self._kind} open already, which is the share of one user; close one")

    @contextmanager
    def taken(self, who: str) -> Iterator[trio.CancelScope]:
        """The block that counts, with a scope to leave it early."""
        with trio.CancelScope() as scope:
            self._scopes[scope] = who
            try:
                yield scope
            finally:
                del self._scopes[scope]


class Streams(UserShares):
    """The open streams of one node, all ended when the server drains."""

    _ended = False

    def end(self) -> None:
        """End all of them: their clients get the regular end of an answer."""
        self._ended = True
        for scope in list(self._scopes):
            scope.cancel()

    @asynccontextmanager
    async def counted(self, who: str, ends: Ends | None = None) -> AsyncIterator[None]:
        """The block in which a stream is open; it is left early when all streams are ended, or `ends` returns."""
        with self.taken(who) as scope:
            if self._ended:
                scope.cancel()
            if ends is None:
                yield
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_after, ends, scope)
                yield
                nursery.cancel_scope.cancel()


async def _cancel_after(ends: Ends, scope: trio.CancelScope) -> None:
    await ends()
    scope.cancel()


class StreamBody(ResponseBody):
    """A response body whose source is opened and closed in the task that sends it."""

    def __init__(self, source: Source, streams: Streams, who: str, ends: Ends | None = None) -> None:
        self._source = source
        self._streams = streams
        self._who = who
        self._ends = ends
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> AsyncIterable[bytes]:
        await self._stack.__aenter__()
        await self._stack.enter_async_context(self._streams.counted(self._who, self._ends))
        pieces = await self._stack.enter_async_context(self._source)
        if isinstance(pieces, AsyncGenerator):
            # Left half way by a client, it must end here and not whenever it is collected.
            await self._stack.enter_async_context(aclosing(pieces))
        return pieces

    async def __aexit__(  # type: ignore[override]
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)  # noqa: ASYNC102 - each source bounds its own end
