"""The read barrier: what is the newest entry of the log, asked once for all who came before the question was sent.

Who comes while a question is under way waits for the next one: its answer may be older than a write that was
acknowledged before they came.
"""

from collections.abc import Awaitable, Callable

import msgspec
import trio

from paasd.errors import Unavailable
from paasd.state.log import LogUnavailable


class _Question(msgspec.Struct):
    answered: trio.Event = msgspec.field(default_factory=trio.Event)
    index: int | None = None
    why: str = "the log does not answer; nothing was changed"


class Barrier:
    """`ask` gives the newest index of the log; it is asked by `serve`, never twice at a time."""

    def __init__(self, ask: Callable[[], Awaitable[int]], patience_s: float) -> None:
        self._ask = ask
        self._patience_s = patience_s
        self._next = _Question()
        self._wake = trio.Event()
        self._contact = -float("inf")
        self.asked = 0

    @property
    def age_s(self) -> float:
        """Seconds since a question was sent that was answered."""
        return trio.current_time() - self._contact

    async def newest(self) -> int:
        """Index of the newest entry at some time after this call began. Raises LogUnavailable."""
        question = self._next
        self._wake.set()
        await question.answered.wait()
        if question.index is None:
            raise LogUnavailable(question.why)
        return question.index

    async def serve(self) -> None:
        """Ask, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            question, self._next = self._next, _Question()
            sent = trio.current_time()
            self.asked += 1
            try:
                with trio.move_on_after(self._patience_s):
                    question.index = await self._ask()
                    self._contact = sent
            except Unavailable as error:
                question.why = error.detail
            finally:
                question.answered.set()
