"""A singleton on real hosts: its node is lost, and cut off from the others. It says when it runs; never two do.

The hosts of these tests share one kernel and so one boot clock: what instances say of their time can be compared.
"""

import base64
import itertools
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import trio

from tests.cluster.cluster import Member
from tests.cluster.scene import Scene, scene
from tests.node.harness import SERVER, SPACE

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

BEAT_S = 0.1
LEASE_S = 20.0
MARGIN_S = 2.0
START_S = 10.0
BEATS = f"""
import os, threading, time
def beat():
    while True:
        print("beat", os.environ["CF_INSTANCE_GUID"], time.monotonic(), flush=True)
        time.sleep({BEAT_S})
threading.Thread(target=beat, daemon=True).start()
"""
FILES: dict[str, str | bytes] = {"server.py": BEATS + SERVER, "Procfile": "web: python3 server.py\n"}
MANIFEST = """
applications:
- name: single
  memory: 64M
  metadata:
    labels: {paasd.io/singleton: "true"}
"""
Runs = dict[str, list[float]]
"""Moments at which an instance ran, by its guid."""


async def runs_of(member: Member, app_guid: str) -> Runs:
    """What the app has said so far, of all nodes that can be reached from one."""
    found: Runs = {}
    start = 0
    async with member.client() as client:
        while True:
            answer = await client.get(f"/api/v1/read/{app_guid}", params={"limit": 1000, "start_time": start})
            batch = answer.raise_for_status().json()["envelopes"]["batch"]
            for one in batch:
                text = base64.b64decode(one["log"]["payload"]).decode()
                if match := re.fullmatch(r"beat (\S+) (\S+)", text.strip()):
                    found.setdefault(match[1], []).append(float(match[2]))
            if not batch:
                return found
            start = int(batch[-1]["timestamp"]) + 1


def overlaps(runs: Runs) -> list[tuple[str, str]]:
    """Pairs of instances of which the later one began before the earlier one had ended."""
    ordered = sorted(runs, key=lambda guid: min(runs[guid]))
    return [(one, two) for one, two in itertools.pairwise(ordered) if max(runs[one]) >= min(runs[two])]


async def follows(scene: Scene, app_guid: str, through: Member, since: float, what: str) -> None:
    """Wait for a successor, and say how long nobody ran as far as is known yet."""

    async def begun() -> bool:
        runs = await runs_of(through, app_guid)
        return any(min(times) > since for times in runs.values())

    await scene.platform.until(begun, limit_s=LEASE_S + MARGIN_S + START_S, what="a successor", pause_s=0.5)
    runs = await runs_of(through, app_guid)
    first = min(min(times) for times in runs.values() if min(times) > since)
    scene.note(f"singleton, {what}: the next one runs {first - since:.2f} s after")


def home_of(scene: Scene, app_guid: str, through: Member) -> Member:
    """The node that has the newest instance of an app, by the rows of another node."""
    with closing(sqlite3.connect(f"file:{through.host.data / 'state.db'}?mode=ro", uri=True)) as rows:
        newest = "SELECT node_guid FROM instances WHERE app_guid = ? ORDER BY epoch DESC LIMIT 1"
        (guid,) = rows.execute(newest, [app_guid]).fetchone()
    return next(member for member in scene.platform.members if member.guid == guid)


async def test_a_singleton_never_runs_twice_whatever_happens_to_its_node(tmp_path: Path) -> None:
    async with scene(tmp_path, busy=False) as found:
        result = await found.platform.members[0].push("single", FILES, MANIFEST)
        assert result["type"] == "result", result
        async with found.platform.members[0].client() as client:
            guid = (await client.get(f"{SPACE}/apps/single")).json()["guid"]

        async def beats() -> bool:
            return any(len(times) > 10 for times in (await runs_of(found.platform.members[0], guid)).values())

        await found.platform.until(beats, limit_s=30, what="it says that it runs")
        home = home_of(found, guid, found.platform.members[0])
        through = found.others(home)[0]
        lost_at = time.monotonic()
        await trio.to_thread.run_sync(home.lose)
        await follows(found, guid, through, lost_at, f"{home.name} lost")
        home.host.power_on()
        home.start()
        await home.until_answering()
        await found.all_well()

        home = home_of(found, guid, through)
        through = found.others(home)[0]
        cut_at = time.monotonic()
        found.platform.fabric.separate([home.host])
        await follows(found, guid, through, cut_at, f"{home.name} cut off")
        found.platform.fabric.heal()
        await found.all_well()

        runs = await runs_of(through, guid)
        for one in sorted(runs, key=lambda one: min(runs[one])):
            found.note(f"instance {one} ran from {min(runs[one]) - lost_at:.2f} s to {max(runs[one]) - lost_at:.2f} s")
        assert len(runs) >= 3, "each trouble has made a successor"
        assert overlaps(runs) == []
        assert all(len(times) > 10 for times in runs.values())


def test_two_at_once_are_seen() -> None:
    assert overlaps({"one": [1.0, 2.0], "two": [1.9, 3.0]}) == [("one", "two")]
    assert overlaps({"two": [2.1, 3.0], "one": [1.0, 2.0]}) == []
