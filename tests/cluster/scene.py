"""A platform of three zones, clients that ask, write, scale and push, and what they saw of a trouble, in seconds.

The app that is asked has two instances, one of them on the first node: so one node has none and reaches both others.
"""

import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import trio

from tests.cluster.cluster import Answer, Cluster, Load, Member, cluster
from tests.cluster.writers import Register
from tests.node.harness import HELLO, SPACE

HOST = "hello.apps.localhost"
ZONES = ("dc/a", "dc/b", "dc/c")
MANIFEST = "applications:\n- name: {name}\n  instances: {instances}\n  memory: 64M\n"
INSTANCES = 2
RATE_PER_S = 100
FAILED_LIMIT_S = 1.0
REPLACED_LIMIT_S = 15.0
WRITES_LIMIT_S = 3.0
SCALE_EVERY_S = 2.0
PUSH_EVERY_S = 15.0
UNDER_WAY_S = 0.2
CALM_S = 1.5


class Busy:
    """Developers at work: one scales an app, one pushes another, each time through another node that is on.

    What they were told is kept: the last number of instances that was accepted is the one that must be there in the
    end, or one of those whose answer never came.
    """

    def __init__(self, platform: Cluster) -> None:
        self._platform = platform
        self.outcomes: Counter[str] = Counter()
        self._possible = {1}
        self._stopped = trio.Event()

    def stop(self) -> None:
        """No more calls; those that are under way end."""
        self._stopped.set()

    async def run(self) -> None:
        """Until it is stopped."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._scale)
            nursery.start_soon(self._push)

    async def _scale(self) -> None:
        wanted = 1
        for turn in itertools.count():
            if await self._stopped_within(SCALE_EVERY_S):
                return
            wanted = wanted % 3 + 1
            member = self._platform.living[turn % len(self._platform.living)]
            try:
                async with member.client(15) as client:
                    answer = await client.post(f"{SPACE}/apps/scaled/scale", json={"instances": wanted})
            except httpx.HTTPError as error:
                self.outcomes[f"scale {type(error).__name__}"] += 1
                self._possible.add(wanted)
                continue
            self.outcomes[f"scale {answer.status_code}"] += 1
            if answer.status_code == 202:
                self._possible = {wanted}
            elif answer.status_code != 503:  # which says that nothing was changed
                self._possible.add(wanted)

    async def _push(self) -> None:
        for turn in itertools.count():
            if await self._stopped_within(PUSH_EVERY_S):
                return
            member = self._platform.living[turn % len(self._platform.living)]
            try:
                done = await member.push("pushed", HELLO, MANIFEST.format(name="pushed", instances=1))
            except (httpx.HTTPError, IndexError) as error:
                self.outcomes[f"push {type(error).__name__}"] += 1
            else:
                self.outcomes[f"push {done.get('status', done['type'])}"] += 1

    async def _stopped_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self._stopped.wait()
        return self._stopped.is_set()

    async def check(self, through: Member) -> None:
        """Raises AssertionError when what was acknowledged is not there."""
        async with through.client() as client:
            app = (await client.get(f"{SPACE}/apps/scaled")).raise_for_status().json()
            answer = await client.get(f"/v3/apps/{app['guid']}/processes/web")
        count = answer.raise_for_status().json()["instances"]
        assert count in self._possible, f"{count} instances; told were {self._possible} {self.outcomes}"


class Scene:
    """A platform under load; `windows` holds what was measured, for the report."""

    def __init__(
        self, platform: Cluster, load: Load, register: Register, busy: Busy | None, instances: int = INSTANCES
    ) -> None:
        self.platform = platform
        self.load = load
        self.register = register
        self.busy = busy
        self.instances = instances
        self.expected = ""
        """Problems with this text in them are meant to be there."""
        self.windows: list[str] = []

    def others(self, *gone: Member) -> list[Member]:
        return [member for member in self.platform.members if member not in gone]

    def note(self, text: str) -> None:
        self.windows.append(text)
        print(text, flush=True)

    def tell(self, what: str, since: float, through: Sequence[Member], replaced_s: float | None = None) -> None:
        """Note the windows of a trouble that began at a moment, as clients of these nodes saw it."""
        bad = Counter(answer.outcome for answer in self.failures(since, through))
        self.note(
            f"{what}: last failed request {self.last_failure_s(since, through):.2f} s, {bad.total()} of "
            f"{len(self.requests(since, through))} failed {dict(bad)}, "
            + ("" if replaced_s is None else f"replaced and serving {replaced_s:.2f} s, ")
            + f"longest pause of writes {self.register.longest_gap_s(since):.2f} s"
        )

    async def all_well(self, limit_s: float = 90.0) -> float:
        """Every machine is on, nothing is wrong and all instances run; the seconds it took."""
        found: list[str] = ["nothing yet"]

        async def well() -> bool:
            found[:] = [text for text in [await self._what_is_wrong()] if text]
            return not found

        try:
            return await self.platform.until(well, limit_s=limit_s, pause_s=0.2)
        except AssertionError:
            raise AssertionError(f"not well within {limit_s} s: {found}") from None

    async def steady(self) -> None:
        """All instances serve, no other has for a second, and no request has failed: nothing is on its way any more."""

        async def calm() -> bool:
            now = time.monotonic()
            last = [a for a in self.load.answers() if now - CALM_S <= a.began <= now - 0.1]
            guids = {a.body for a in last if a.outcome == "200"}
            places = {a.address for a in last}
            return (
                len(guids) == self.instances
                and len(places) == len(self.platform.members)
                and all(a.outcome == "200" for a in last)
            )

        await self.platform.until(calm, limit_s=30, what="all instances serve and nothing moves", pause_s=0.2)

    async def _what_is_wrong(self) -> str:
        for member in self.platform.members:
            if not await member.answers():
                return f"{member.name} does not answer"
        through = self.platform.members[0]
        problems = [
            text for text in (await through.status())["problems"] if not self.expected or self.expected not in text
        ]
        if problems:
            return str(problems)
        nodes = await through.nodes()
        wrong = [f"{one['name']} {one['state']} {one['voting']}" for one in nodes if not _is_well(one)]
        if wrong or len(nodes) != len(self.platform.members):
            return f"{len(nodes)} nodes, of which {wrong}"
        running = await through.running("hello")
        return "" if running == self.instances else f"{running} instances run"

    def holder(self, *others: Member) -> Member:
        """A node that has an instance of the app, not one of these: it answers its own clients by that one alone."""
        now = time.monotonic()
        last = [a for a in self.load.answers() if a.began >= now - 2 * CALM_S and a.outcome == "200"]
        for member in self.platform.members:
            guids = {answer.body for answer in last if answer.address == member.host.address}
            if len(guids) == 1 and member not in others:
                return member
        raise AssertionError("no node answers by itself")

    def guids_before(self, moment: float) -> set[str]:
        """The instances that had answered until then."""
        return {a.body for a in self.load.answers() if a.outcome == "200" and a.began + a.seconds <= moment}

    async def replaced(self, since: float, rest: Sequence[Member], limit_s: float = 60.0, count: int = 1) -> float:
        """Seconds from a moment until so many new instances have answered clients of these nodes."""
        known = self.guids_before(since)
        addresses = {member.host.address for member in rest}

        def fresh() -> list[float]:
            first: dict[str, float] = {}
            for answer in self.load.answers():
                new = answer.outcome == "200" and answer.body not in known and answer.address in addresses
                if new and answer.began > since:
                    first.setdefault(answer.body, answer.began + answer.seconds)
            return sorted(first.values())

        async def found() -> bool:
            await trio.lowlevel.checkpoint()
            return len(fresh()) >= count

        await self.platform.until(found, limit_s=limit_s, what="answers of new instances", pause_s=0.2)
        return fresh()[count - 1] - since

    def requests(self, since: float, through: Sequence[Member]) -> list[Answer]:
        """What was asked through these nodes since a moment, and a little before: it was under way then."""
        addresses = {member.host.address for member in through}
        return [a for a in self.load.answers() if a.began >= since - UNDER_WAY_S and a.address in addresses]

    def failures(self, since: float, through: Sequence[Member]) -> list[Answer]:
        """Those of them that did not end in 200."""
        return [answer for answer in self.requests(since, through) if answer.outcome != "200"]

    def last_failure_s(self, since: float, through: Sequence[Member]) -> float:
        """Seconds from a moment to the end of the last failed request through these nodes."""
        return max((answer.began + answer.seconds - since for answer in self.failures(since, through)), default=0.0)


def _is_well(node: dict[str, object]) -> bool:
    votes = node["voting"] == "VOTER" or node["role"] == "worker"
    return (node["state"], node["reachability"]) == ("READY", "alive") and votes


@asynccontextmanager
async def scene(
    directory: Path,
    *,
    sections: str = "",
    zones: Sequence[str] = ZONES,
    busy: bool = True,
    rate_per_s: float = RATE_PER_S,
    workers: Sequence[int] = (),
    instances: int = INSTANCES,
    kept: bool = False,
) -> AsyncIterator[Scene]:
    """A platform under load; whatever happens to it, in the end the histories of all clients must hold."""
    async with cluster(directory / "hosts", zones, sections=sections, workers=workers, started=1) as platform:
        first = platform.members[0]
        for member in platform.members:
            member.kept = kept
        await _push(first, "hello", 1)
        for member in platform.members[1:]:
            await platform.join(member, first)
        async with first.client() as client:
            guid = (await client.get(f"{SPACE}/apps/hello")).json()["guid"]
            (await client.post(f"{SPACE}/apps/hello/scale", json={"instances": instances})).raise_for_status()
        load = Load(platform, HOST, rate_per_s, platform.members)
        found = Scene(platform, load, Register(platform, guid), Busy(platform) if busy else None, instances)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.read)
            try:
                await found.all_well()
                await found.steady()
                if found.busy is not None:
                    await _push(platform.members[1], "scaled", 1)
                async with trio.open_nursery() as clients:
                    clients.start_soon(found.register.run)
                    if found.busy is not None:
                        clients.start_soon(found.busy.run)
                    await found.register.until_written(time.monotonic())
                    yield found
                    found.register.stop()
                    if found.busy is not None:
                        found.busy.stop()
            finally:
                await load.stop()
        found.register.check()
        print(dict(found.register.outcomes), dict(load.counts()), flush=True)
        if found.busy is not None:
            print(dict(found.busy.outcomes), flush=True)
            await found.busy.check(platform.living[0])


async def _push(member: Member, name: str, instances: int) -> None:
    result = await member.push(name, HELLO, MANIFEST.format(name=name, instances=instances))
    assert result["type"] == "result", result
