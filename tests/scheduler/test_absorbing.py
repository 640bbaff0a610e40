"""What the loss of a zone would leave without room."""

from msgspec.structs import replace

from paasd.scheduler import not_absorbed
from tests.scheduler.test_desired import NODE, instance

A, B, C = (replace(NODE, guid=f"n{number}", zone=zone) for number, zone in enumerate("abc", 1))


def test_a_zone_whose_instances_would_fit_elsewhere_is_no_concern() -> None:
    rows = [instance(index, node_guid=f"n{index % 3 + 1}") for index in range(12)]
    assert not_absorbed([A, B, C], rows) == {}


def test_what_would_be_missing_is_told_by_zone() -> None:
    rows = [instance(0, node_guid="n1", memory_mb=900), instance(1, node_guid="n2", memory_mb=800)]
    assert not_absorbed([A, B], rows) == {"a": 700, "b": 700}
    assert not_absorbed([A, B, C], rows) == {}
    assert not_absorbed([A, B, replace(C, state="DRAINING")], rows) == {"a": 700, "b": 700}


def test_a_single_zone_cannot_be_absorbed_and_nobody_is_told_so_every_time() -> None:
    assert not_absorbed([A], [instance(0, node_guid="n1", memory_mb=900)]) == {}
