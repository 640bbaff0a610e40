"""Answers without a known end: log lines, the progress of a push."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from types import TracebackType

import trio
from quart.wrappers.response import ResponseBody

from paasd.api.payer import Payer
from paasd.api.turns import ORGANIZATION
from paasd.errors import Unavailable

SHARES = 4
"""One organization has no more than one of so many parts of what a node can do at once."""
Source = AbstractAsyncContextManager[AsyncIterable[bytes]]
Turn = Callable[[], AbstractAsyncContextManager[None]]
Ends = Callable[[], Awaitable[None]]
"""Returns when a stream may stay open no longer."""


class UserShares:
    """What a node does at once at most, of one kind: `limit` altogether, a quarter of it for one organization, half of
    that for one user. Who is refused is told which. Administrators never are: they look after it.
    """

    def __init__(self, limit: int, kind: str = "streams", setting: str = "api.follow_limit") -> None:
        self._limit = limit
        self._kind = kind
        self._setting = setting
        self._share = max(1, limit // SHARES)
        self._own = max(1, limit // SHARES // ORGANIZATION)
        self._scopes: set[trio.CancelScope] = set()
        self._held: Counter[tuple[str, str]] = Counter()

    def check(self, payer: Payer) -> None:
        """Raise Unavailable when there are as many as allowed, together, of this user or of its organization."""
        if payer.free:
            return
        if len(self._scopes) >= self._limit:
            raise Unavailable(f"There are {self._limit} {self._kind} open already ({self._setting}); try again later")
        user, organization = self._keys(payer)
        if self._held[user] >= self._own:
            raise Unavailable(
                f"You have {self._own} {self._kind} open already, which is the share of one user; close one"
            )
        if self._held[organization] >= self._share:
            raise Unavailable(
                f"The people of your organization have {self._share} {self._kind} open already, which is its share;"
                " close one"
            )

    def _keys(self, payer: Payer) -> tuple[tuple[str, str], tuple[str, str]]:
        """The user, and the organization of theirs that has the fewest; one of its own for who has none."""
        user = ("user", payer.person)
        keys = [("organization", guid) for guid in payer.organizations]
        return user, min(keys, key=lambda key: self._held[key], default=("nowhere", payer.person))

    @contextmanager
    def taken(self, payer: Payer) -> Iterator[trio.CancelScope]:
        """The block that counts, with a scope to leave it early."""
        keys = self._keys(payer)
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            self._held.update(keys)
            try:
                yield scope
            finally:
                self._scopes.remove(scope)
                self._held.subtract(keys)
                for key in keys:
                    if not self._held[key]:
                        del self._held[key]


class Streams(UserShares):
    """The open streams of one node, all ended when the server drains."""

    _ended = False

    def end(self) -> None:
        """End all of them: their clients get the regular end of an answer."""
        self._ended = True
        for scope in list(self._scopes):
            scope.cancel()

    @asynccontextmanager
    async def counted(self, payer: Payer, ends: Ends | None = None) -> AsyncIterator[None]:
        """The block in which a stream is open; it is left early when all streams are ended, or `ends` returns."""
        with self.taken(payer) as scope:
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
    """A response body whose source is opened and closed in the task that sends it.

    Each piece goes through a turn of who asked for it, which lasts until the loop has gone round: however many streams
    somebody has, others wait for a few pieces of them at a time. What takes long to make, a source makes beside the
    loop.
    """

    def __init__(self, source: Source, streams: Streams, payer: Payer, turn: Turn, ends: Ends | None = None) -> None:
        self._source = source
        self._streams = streams
        self._payer = payer
        self._turn = turn
        self._ends = ends
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> AsyncIterable[bytes]:
        await self._stack.__aenter__()
        await self._stack.enter_async_context(self._streams.counted(self._payer, self._ends))
        pieces = await self._stack.enter_async_context(self._source)
        if isinstance(pieces, AsyncGenerator):
            # Left half way by a client, it must end here and not whenever it is collected.
            await self._stack.enter_async_context(aclosing(pieces))
        return await self._stack.enter_async_context(aclosing(self._in_turns(pieces)))

    async def _in_turns(self, pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        async for piece in pieces:
            async with self._turn():
                await trio.lowlevel.checkpoint()
            yield piece

    async def __aexit__(  # type: ignore[override]
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)  # noqa: ASYNC102 - each source bounds its own end
