"""Clients that write and read one value through any node, and remember what they saw for the judge of histories."""

import itertools
import time
import uuid
from collections import Counter
from random import Random

import httpx
import trio

from tests.cluster.cluster import Cluster, Member
from tests.cluster.history import Event, is_linearizable

KEY = "register"
TIMEOUT_S = 15.0
PAUSE_S = 0.05


class Register:
    """An annotation of an app as a register; several clients use it until cancelled."""

    def __init__(self, cluster: Cluster, app_guid: str, seed: int = 0) -> None:
        self._cluster = cluster
        self._path = f"/v3/apps/{app_guid}"
        self._random = Random(seed)
        self._stopped = False
        self.silent: Member | None = None  # answers nobody for a while: all clients would soon be waiting for it
        self.history: list[Event] = []
        self.outcomes: Counter[str] = Counter()
        self.acknowledged_at: list[float] = []

    def stop(self) -> None:
        """No more calls; those that are under way end. A call that is cancelled leaves a warning of httpx behind."""
        self._stopped = True

    async def run(self, clients: int = 5) -> None:
        """Until it is stopped; each client does one thing after the other, each time through a node that is on."""
        async with trio.open_nursery() as nursery:
            for _ in range(clients):
                nursery.start_soon(self._client)

    async def _client(self) -> None:
        while not self._stopped:
            member = self._random.choice([one for one in self._cluster.living if one is not self.silent])
            began = time.monotonic()
            try:
                async with member.client(TIMEOUT_S) as client:
                    if self._random.random() < 0.5:
                        await self._write(client)
                    else:
                        await self._read(client)
            except httpx.HTTPError as error:
                self.outcomes[type(error).__name__] += 1
            await trio.sleep(max(0.0, PAUSE_S - (time.monotonic() - began)))

    async def _write(self, client: httpx.AsyncClient) -> None:
        value = uuid.uuid4().hex
        began = time.monotonic()
        number = len(self.history)
        self.history.append(Event(kind="write", value=value, began=began))
        body = {"metadata": {"annotations": {KEY: value}}}
        answer = await client.patch(self._path, json=body)
        self.outcomes[f"write {answer.status_code}"] += 1
        if answer.status_code == 200:
            ended = time.monotonic()
            self.acknowledged_at.append(ended)
            self.history[number] = Event(kind="write", value=value, began=began, ended=ended)
        elif answer.status_code == 503:
            # It says that nothing was changed, and is held to it: the value must never be seen.
            self.history[number] = Event(kind="refused", value=value, began=began, ended=time.monotonic())

    async def _read(self, client: httpx.AsyncClient) -> None:
        began = time.monotonic()
        answer = await client.get(self._path)
        if answer.status_code != 200 or "X-Paasd-Stale" in answer.headers:
            self.outcomes[
                "read that says it is old" if answer.status_code == 200 else f"read {answer.status_code}"
            ] += 1
            return
        self.outcomes["read 200"] += 1
        value = answer.json()["metadata"]["annotations"].get(KEY, "")
        self.history.append(Event(kind="read", value=value, began=began, ended=time.monotonic()))

    def check(self) -> None:
        """Raises AssertionError when no single register explains what the clients saw."""
        refused = {event.value for event in self.history if event.kind == "refused"}
        seen = {event.value for event in self.history if event.kind == "read"}
        assert not refused & seen, "a write that was refused has taken effect"
        history = [event for event in self.history if event.kind != "refused"]
        assert sum(event.kind == "read" for event in history) > 10, self.outcomes
        assert is_linearizable(history), "the answers do not fit one register"

    async def until_written(self, moment: float, limit_s: float = 30.0) -> None:
        """Until a write was acknowledged after a moment. Raises trio.TooSlowError."""
        with trio.fail_after(limit_s):
            while not self.acknowledged_at or self.acknowledged_at[-1] < moment:
                await trio.sleep(PAUSE_S)

    def longest_gap_s(self, after: float) -> float:
        """The longest time without an acknowledged write that ended after a moment, or goes on."""
        times = [*self.acknowledged_at, time.monotonic()]
        assert times[0] < after, "nobody had written before"
        return max(later - earlier for earlier, later in itertools.pairwise(times) if later >= after)
