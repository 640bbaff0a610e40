"""Whole platforms in virtual time: every seed is another story of cuts, losses, slow disks, odd clocks and clients.

The laws are checked at every moment (`joint/laws.py`) and what must be true afterwards at the end (`joint/story.py`).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.joint.laws import BrokenLaw, Laws
from tests.simulation.joint.story import play

SHARE = 5
"""Of the seeds of the simulation of gossip one in so many is told here: a story takes about a second."""


def test_laws_hold_and_everything_is_as_it_should_be_after_the_faults(seeds: range, tmp_path: Path) -> None:
    leased = deaths = acknowledged = failed = 0
    broken: list[str] = []
    for seed in seeds[::SHARE]:
        try:
            story = play(seed, tmp_path)
        except BrokenLaw as error:
            broken.append(str(error))
            continue
        leased, deaths = leased + story.laws.leased, deaths + story.laws.deaths
        acknowledged += sum(len(client.told) for client in story.clients)
        failed += sum(client.failed for client in story.clients)
    assert not broken, f"{len(broken)} stories end badly:\n" + "\n\n".join(broken[:5])
    if len(seeds) >= 100:
        assert leased > 25, "hardly a singleton ran, so nothing was tested"
        assert deaths > 5, "hardly a node was declared dead"
        assert acknowledged > 100 and failed > 50, "hardly a write was hindered"


def test_a_story_replays_bit_for_bit_in_another_process(tmp_path: Path) -> None:
    here = [str(play(seed, tmp_path / "here").trace) for seed in (12, 19, 3230)]
    assert here[0] != here[1], "another seed is another story"
    script = (
        "from pathlib import Path; from tests.simulation.joint.story import play;"
        f"print(*(play(seed, Path({str(tmp_path)!r}) / 'there').trace for seed in (3230, 19, 12)))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    out = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.split() == here[::-1]


def test_a_broken_law_names_its_seed_and_the_last_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: Laws) -> None:
        raise AssertionError("a singleton runs")

    monkeypatch.setattr(Laws, "check_leased", never)
    with pytest.raises(BrokenLaw, match=r"(?s)seed 12, \d+\.\d+ s: a singleton runs.* runs: "):
        play(12, tmp_path)
