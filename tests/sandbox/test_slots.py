"""Slots are unique on a host, whoever asks."""

from pathlib import Path

import pytest

from paasd.errors import Unavailable
from paasd.sandbox import slots as module
from paasd.sandbox.slots import Slots, uid_base


def test_two_nodes_never_get_the_same_slot(tmp_path: Path) -> None:
    one, two = Slots(tmp_path / "s.json", tmp_path / "one"), Slots(tmp_path / "s.json", tmp_path / "two")
    taken = [node.take(f"c{n}") for n in range(5) for node in (one, two)]
    assert len(set(taken)) == 10
    assert set(one.mine()) == {f"c{n}" for n in range(5)}
    assert not set(one.mine().values()) & set(two.mine().values())


def test_asking_again_gives_the_same_slot_and_giving_back_frees_it(tmp_path: Path) -> None:
    node = Slots(tmp_path / "s.json", tmp_path)
    slot = node.take("a")
    assert node.take("a") == slot
    node.give_back("a")
    node.give_back("a")
    assert node.mine() == {}
    assert node.take("b") != slot, "a freed slot is the last to be used again"


def test_a_full_host_says_so_and_slots_of_deleted_nodes_are_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOT_COUNT", 3)
    here = tmp_path / "here"
    here.mkdir()
    gone = Slots(tmp_path / "s.json", tmp_path / "gone")
    kept = Slots(tmp_path / "s.json", here)
    gone.take("x")
    kept.take("a")
    kept.take("b")
    kept.take("c")
    assert gone.mine() == {}
    with pytest.raises(Unavailable, match="all 3 container slots"):
        kept.take("d")


def test_blocks_of_uids_do_not_overlap_and_stay_below_the_limit() -> None:
    assert uid_base(2) - uid_base(1) == 65536
    assert uid_base(module.SLOT_COUNT) + 65535 < 2**31
