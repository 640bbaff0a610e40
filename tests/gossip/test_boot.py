from pathlib import Path
from random import Random

from paasd.gossip.boot import next_boot, store_boot, take_boot


def test_each_start_has_a_higher_number_and_it_is_kept(tmp_path: Path) -> None:
    boots = [take_boot(tmp_path, Random(seed)) for seed in range(20)]
    assert boots == sorted(set(boots))
    store_boot(tmp_path, 1 << 30)
    assert take_boot(tmp_path, Random(1)) > 1 << 30


def test_a_machine_that_is_set_back_does_not_take_the_same_number_again(tmp_path: Path) -> None:
    store_boot(tmp_path, 5 << 16)
    first = take_boot(tmp_path, Random(1))
    store_boot(tmp_path, 5 << 16)
    assert take_boot(tmp_path, Random(2)) != first


def test_a_damaged_file_counts_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "boot").write_text("")
    assert take_boot(tmp_path, Random(1)) >> 16 == 1
    assert next_boot(0, Random(1)) >> 16 == 1
