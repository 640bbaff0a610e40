from hypothesis import given
from hypothesis import strategies as st

from paasd.copies.places import Place, apart, preferred, targets, wanted_zones

places = st.lists(
    st.builds(
        Place,
        guid=st.text("abcdef", min_size=1, max_size=3),
        zone=st.sampled_from(["x", "y", "z"]),
        reachable=st.booleans(),
        taking=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda place: place.guid,
)


@given(places)
def test_two_zones_are_wanted_if_as_many_can_take_copies(found: list[Place]) -> None:
    zones = {place.zone for place in found if place.reachable and place.taking}
    assert wanted_zones(found) == min(2, len(zones))


@given(places)
def test_the_best_of_every_zone_come_before_any_second_of_a_zone(found: list[Place]) -> None:
    order = preferred("sha", found)
    assert {place.guid for place in order} == {place.guid for place in found if place.reachable}
    zones = {place.zone for place in order}
    assert {place.zone for place in order[: len(zones)]} == zones


@given(places, st.randoms())
def test_all_nodes_agree_whatever_the_order_in_which_they_know_each_other(found: list[Place], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert preferred("sha", found) == preferred("sha", shuffled)


@given(places)
def test_no_copy_goes_where_one_is_or_to_a_node_that_is_away_or_leaving(found: list[Place]) -> None:
    for place in targets("sha", found, ["x"]):
        assert place.zone != "x" and place.reachable and place.taking


def test_the_loss_of_a_node_moves_only_what_it_had() -> None:
    found = [Place(guid=f"n{number}", zone=f"z{number % 3}") for number in range(9)]
    moved = 0
    for number in range(300):
        before = [place.guid for place in preferred(str(number), found)[:2]]
        after = [place.guid for place in preferred(str(number), [one for one in found if one.guid != "n4"])[:2]]
        if "n4" in before:
            moved += 1
        else:
            assert before == after
    assert 30 < moved < 120


def test_in_one_zone_every_node_counts_for_itself_and_in_two_they_do_not() -> None:
    one = [Place(guid="a1", zone="a"), Place(guid="a2", zone="a"), Place(guid="b1", zone="b", reachable=False)]
    assert wanted_zones(apart(one)) == 2
    assert wanted_zones(apart([*one, Place(guid="b2", zone="b")])) == 2
    assert [place.zone for place in apart([*one, Place(guid="b2", zone="b")])] == ["a", "a", "b", "b"]
    assert wanted_zones(apart(one[:1])) == 1
