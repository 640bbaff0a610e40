"""The store: a dictionary and the watches to wake when it changes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import trio

from paasd.observed.facts import InstanceFact, Usage


class Watch:
    """Wakes its owner after a change. Several changes before the next `wait` are one wake-up."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[None](1)
        self.wake()  # what was put before the watch was opened is news too

    def wake(self) -> None:
        try:
            self._send.send_nowait(None)
        except trio.WouldBlock:
            return  # already woken

    async def wait(self) -> None:
        """Returns when something changed since the last return; at once the first time."""
        await self._receive.receive()


class Observed:
    """Facts by instance. One per node; every method is immediate and belongs to the trio thread."""

    def __init__(self) -> None:
        self._facts: dict[str, InstanceFact] = {}
        self._watches: set[Watch] = set()

    def put(self, fact: InstanceFact) -> None:
        """Replace what is known about the instance; the same fact again wakes nobody.

        A lower epoch than the known one is an echo of an instance that has been replaced, and is ignored.
        """
        known = self._facts.get(fact.instance_guid)
        if known == fact or (known is not None and known.epoch > fact.epoch):
            return
        self._facts[fact.instance_guid] = fact
        self._wake()

    def put_usage(self, instance_guid: str, usage: Usage) -> None:
        """Record a sample. It wakes nobody: usage changes all the time and decides nothing."""
        known = self._facts.get(instance_guid)
        if known is not None:
            self._facts[instance_guid] = msgspec.structs.replace(known, usage=usage)

    def drop(self, instance_guid: str) -> None:
        if self._facts.pop(instance_guid, None) is not None:
            self._wake()

    def get(self, instance_guid: str) -> InstanceFact | None:
        return self._facts.get(instance_guid)

    def instances(self, app_guid: str | None = None) -> list[InstanceFact]:
        """All facts, or those of one app, ordered by process type and index."""
        found = [fact for fact in self._facts.values() if app_guid is None or fact.app_guid == app_guid]
        return sorted(found, key=lambda fact: (fact.app_guid, fact.process_type, fact.index, fact.since))

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Watch]:
        watch = Watch()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def _wake(self) -> None:
        for watch in self._watches:
            watch.wake()
