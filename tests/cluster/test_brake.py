"""Half of all nodes vanish at once from a platform on real hosts: nothing is replaced until they are back or somebody
says that they are lost.
"""

import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.cluster.scene import FAILED_LIMIT_S, REPLACED_LIMIT_S, WRITES_LIMIT_S, Scene, scene

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

ZONES = ("dc/a", "dc/b", "dc/c", "dc/a", "dc/b", "dc/c")
WORKERS = (3, 4, 5)
HELD_S = 15.0


async def lose_workers(scene: Scene) -> float:
    """All three at once; when that was."""
    began = time.monotonic()
    async with trio.open_nursery() as nursery:
        for number in WORKERS:
            nursery.start_soon(trio.to_thread.run_sync, scene.platform.members[number].lose)
    return began


async def braked(scene: Scene) -> bool:
    """Whether the platform says that it replaces nothing."""
    return "release-brake" in str((await scene.platform.members[0].status())["problems"])


def held_by_workers(scene: Scene) -> int:
    """How many instances are placed there: some may have moved when only two of the three were back."""
    workers = [scene.platform.members[number].guid for number in WORKERS]
    with closing(sqlite3.connect(f"file:{scene.platform.members[0].host.data / 'state.db'}?mode=ro", uri=True)) as rows:
        return sum(guid in workers for (guid,) in rows.execute("SELECT node_guid FROM instances"))


async def come_back(scene: Scene) -> None:
    for number in WORKERS:
        scene.platform.members[number].host.power_on()
        scene.platform.members[number].start()
    for number in WORKERS:
        await scene.platform.members[number].until_answering()


async def test_half_of_all_nodes_are_not_replaced_until_somebody_says_so(tmp_path: Path) -> None:
    async with scene(tmp_path, zones=ZONES, workers=WORKERS, instances=6, busy=False) as found:
        control = found.platform.members[:3]
        began = await lose_workers(found)
        known = found.guids_before(began)
        assert len(known) == 6
        await found.platform.until(partial(braked, found), limit_s=30, what="the brake is on")
        await trio.sleep(max(0.0, began + HELD_S - time.monotonic()))
        found.tell("three workers of six nodes lost at once", began, control)
        assert found.guids_before(time.monotonic()) <= known, "something was replaced"
        assert found.last_failure_s(began, control) <= FAILED_LIMIT_S
        assert found.register.longest_gap_s(began) <= WRITES_LIMIT_S

        await come_back(found)
        found.note(f"they are back, the brake lets go by itself: well after {await found.all_well():.2f} s")
        await found.steady()

        count = held_by_workers(found)
        assert count > 0
        began = await lose_workers(found)
        await found.platform.until(partial(braked, found), limit_s=30, what="the brake is on")
        released = time.monotonic()
        await trio.to_thread.run_sync(partial(control[1].paasd, "node", "release-brake"))
        replaced_s = await found.replaced(released, control, count=count)
        found.note(f"brake released by hand: all {count} instances replaced and serving after {replaced_s:.2f} s")
        assert replaced_s <= REPLACED_LIMIT_S
        await come_back(found)
        await found.all_well()
