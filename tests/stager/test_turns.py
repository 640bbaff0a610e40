"""One organization's builds do not keep those of others waiting, and those that wait do not run out of time."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from paasd.config import StagingConfig
from paasd.model import Build, DropletUpload, Job
from paasd.model.arguments import unix_seconds
from paasd.stager.turns import HALF_FORGOTTEN_S, Turns, Used

from .test_uploads import begin as begin_upload
from .world import World


class Builds:
    """Builds that end when told to."""

    def __init__(self, parallel: int, nursery: trio.Nursery) -> None:
        self.now = 0.0
        self.turns = Turns(parallel, lambda: self.now)
        self.running: list[str] = []
        self._ends: dict[str, trio.Event] = {}
        self.scopes: dict[str, trio.CancelScope] = {}
        self._nursery = nursery

    async def ask(self, *names: str) -> list[str]:
        """`A1` is a build of organization A. Gives what runs then."""
        for name in names:
            self._ends[name], self.scopes[name] = trio.Event(), trio.CancelScope()
            self._nursery.start_soon(self._build, name)
            await wait_all_tasks_blocked()
        return self.running

    async def end(self, name: str) -> list[str]:
        self._ends[name].set()
        await wait_all_tasks_blocked()
        return self.running

    async def _build(self, name: str) -> None:
        with self.scopes[name]:
            async with self.turns.turn(name[0]):
                self.running.append(name)
                try:
                    await self._ends[name].wait()
                finally:
                    self.running.remove(name)


@asynccontextmanager
async def builds(parallel: int) -> AsyncIterator[Builds]:
    async with trio.open_nursery() as nursery:
        yield Builds(parallel, nursery)
        nursery.cancel_scope.cancel()


async def test_an_organization_that_holds_every_turn_keeps_nobody_else_out() -> None:
    async with builds(2) as some:
        assert await some.ask("A1", "A2", "A3") == ["A1", "A2"]
        assert await some.ask("B1", "C1") == ["A1", "A2", "B1"]
        assert await some.end("A1") == ["A2", "B1", "C1"]
        assert await some.end("A2") == ["B1", "C1", "A3"]


async def test_a_free_turn_goes_to_whom_the_fewest_run_of_and_among_equals_to_the_first() -> None:
    async with builds(3) as some:
        await some.ask("A1", "A2", "A3", "B1", "A4", "B2", "B3")
        assert some.running == ["A1", "A2", "A3", "B1"]
        await some.end("A1")
        assert await some.end("A2") == ["A3", "B1", "A4"]
        assert await some.end("A3") == ["B1", "A4", "B2"]


async def test_two_organizations_that_go_together_do_not_have_the_kept_turn_again_and_again() -> None:
    async with builds(2) as some:
        assert await some.ask("A1", "A2", "B1") == ["A1", "A2", "B1"]
        await some.ask("B2", "A3", "C1")
        some.now += 890
        assert await some.end("B1") == ["A1", "A2", "C1"], "B built long enough, C has not at all"
        some.now += 30
        assert await some.end("C1") == ["A1", "A2"], "the turn is kept, though B waits"
        assert await some.ask("D1") == ["A1", "A2", "D1"]
        assert await some.end("A1") == ["A2", "D1"], "D has the place of A; the one more is kept again"
        assert await some.end("D1") == ["A2", "B2"]


def test_what_an_organization_built_is_forgotten_by_halves() -> None:
    used = Used()
    used.add("A", 800, 0.0)
    used.add("B", 10, HALF_FORGOTTEN_S)
    assert (used.of("A", HALF_FORGOTTEN_S), used.of("B", HALF_FORGOTTEN_S), used.of("C", 0.0)) == (400, 10, 0)
    used.add("B", 5, 20 * HALF_FORGOTTEN_S)
    assert used.of("A", 20 * HALF_FORGOTTEN_S) == 0


async def test_what_is_cancelled_gives_its_turn_and_its_place_back() -> None:
    async with builds(1) as some:
        await some.ask("A1", "A2", "A3")
        some.scopes["A2"].cancel()
        some.scopes["A1"].cancel()
        await wait_all_tasks_blocked()
        assert some.running == ["A3"]
        assert await some.end("A3") == []


@pytest.mark.root
async def test_the_deadline_of_a_build_that_waits_is_put_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paasd.stager.turns._LOOKS", 100)
    before = time.time()
    async with world.staging(StagingConfig(parallel=1, timeout_s=10)) as stager, stager.turns.turn("org"):
        guid = await world.begin(await world.app("app"), {"notes.txt": "hello"})

        def seen() -> Build:
            with world.database.read() as tx:
                return tx.need(Build, guid)

        with trio.fail_after(20):
            async with world.database.watch("builds") as changes:
                while (build := seen()).deadline_at.startswith("2999"):
                    await changes.wait()
                    changes.take()
        assert build.state == "STAGING"
        assert int(before) + 10 <= unix_seconds(build.deadline_at) <= time.time() + 10


@pytest.mark.root
async def test_an_uploaded_droplet_that_waits_has_its_time_from_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paasd.stager.turns._LOOKS", 100)
    before = time.time()
    async with world.staging(StagingConfig(parallel=1, timeout_s=10)) as stager, stager.turns.turn("org"):
        await world.app("app")
        droplet = await begin_upload(world, "app", b"no archive")

        def seen() -> tuple[str, str]:
            with world.database.read() as tx:
                upload = tx.need(DropletUpload, droplet.guid)
                return upload.deadline_at, tx.need(Job, upload.job_guid).deadline_at

        asked_for, _ = seen()
        with trio.fail_after(20):
            async with world.database.watch("droplet_uploads") as changes:
                while (deadlines := seen())[0] == asked_for:
                    await changes.wait()
                    changes.take()
        for deadline_at in deadlines:
            assert int(before) + 10 <= unix_seconds(deadline_at) <= time.time() + 10
