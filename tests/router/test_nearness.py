import pytest
from hypothesis import given
from hypothesis import strategies as st

from paasd.router import Endpoint
from paasd.router.nearness import distance, tiers


def at(far: int, name: str = "i", app: str = "a", weight: int = 1) -> Endpoint:
    return Endpoint(instance_guid=name, index=0, address="10.0.0.1", port=1, app_guid=app, weight=weight, distance=far)


def shares(endpoints: list[Endpoint]) -> dict[str, float]:
    """What each app gets of the requests that the first tier takes."""
    first = tiers(endpoints)[0]
    total = sum(weight for _, weight in first)
    found: dict[str, float] = {}
    for endpoint, weight in first:
        found[endpoint.app_guid] = found.get(endpoint.app_guid, 0) + weight / total
    return found


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("aws/eu-west-2a", "aws/eu-west-2a", 0),
        ("aws/eu-west-2a", "aws/eu-west-2b", 1),
        ("aws/eu-west-2a", "gcp/europe-west2-b", 2),
        ("dc1/rack4", "dc1/rack5", 1),
        ("default", "default", 0),
        ("", "", 0),
        ("a", "b", 2),
    ],
)
def test_distance_is_by_zone_and_then_by_cloud(ours: str, theirs: str, expected: int) -> None:
    assert distance(ours, theirs) == distance(theirs, ours) == expected


def test_the_nearest_come_first_and_no_tier_is_empty() -> None:
    far, near, here = at(2, "far"), at(1, "near"), at(0, "here")
    assert [[one.instance_guid for one, _ in tier] for tier in tiers([far, near, here])] == [
        ["here"],
        ["near"],
        ["far"],
    ]
    assert [[one.instance_guid for one, _ in tier] for tier in tiers([far])] == [["far"]]
    assert tiers([]) == []


def test_a_split_between_apps_is_kept_although_one_is_not_in_the_zone() -> None:
    canary = [at(0, "s1", "stable", 9), at(1, "s2", "stable", 9), at(1, "c", "canary", 1)]
    assert shares(canary) == pytest.approx({"stable": 18 / 19, "canary": 1 / 19})
    assert len(tiers(canary)) == 1


def test_a_split_is_kept_when_both_have_some_in_the_zone_but_not_alike_many() -> None:
    uneven = [at(0, "s1", "stable", 3), at(1, "s2", "stable", 3), at(1, "s3", "stable", 3), at(0, "c", "canary", 1)]
    assert shares(uneven) == pytest.approx({"stable": 9 / 10, "canary": 1 / 10})
    assert [len(tier) for tier in tiers(uneven)] == [2, 2]


@given(
    st.lists(
        st.builds(at, st.integers(0, 2), st.just("i"), st.sampled_from("abc"), st.integers(1, 10)),
        min_size=1,
        max_size=12,
    )
)
def test_every_endpoint_is_in_one_tier_and_shares_are_those_of_the_whole(endpoints: list[Endpoint]) -> None:
    weights = {endpoint.app_guid: endpoint.weight for endpoint in endpoints}
    alike = [at(one.distance, app=one.app_guid, weight=weights[one.app_guid]) for one in endpoints]
    found = tiers(alike)
    assert sorted((one.app_guid, one.distance) for tier in found for one, _ in tier) == sorted(
        (one.app_guid, one.distance) for one in alike
    )
    assert all(found)
    total = sum(one.weight for one in alike)
    whole = {app: sum(one.weight for one in alike if one.app_guid == app) / total for app in weights}
    assert shares(alike) == pytest.approx(whole, abs=0.02)
