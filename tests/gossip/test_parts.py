"""The small parts of the core: waiting times, the queue of news, the roster."""

from random import Random

import msgspec
import pytest

from paasd.config import GossipConfig
from paasd.gossip.swim.news import News
from paasd.gossip.swim.roster import Roster, Rounds
from paasd.gossip.swim.waiting import RoundTrips, retransmissions, stall_penalty, suspicion_s, witnesses_wanted

CONFIG = GossipConfig()


def raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(text))


@pytest.mark.parametrize(("members", "wanted"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 2), (100, 2)])
def test_as_many_witnesses_are_wanted_as_there_can_be(members: int, wanted: int) -> None:
    assert witnesses_wanted(CONFIG, members) == wanted


@pytest.mark.parametrize(
    ("members", "confirmations", "wanted", "expected_s"),
    [
        (3, 0, 1, 12.0),
        (3, 1, 1, 2.0),
        (10, 0, 2, 12.0),
        (10, 1, 2, 5.69),
        (10, 2, 2, 2.0),
        (10, 5, 2, 2.0),
        (2, 0, 0, 2.0),
    ],
)
def test_a_suspicion_falls_from_the_longest_to_the_shortest(
    members: int, confirmations: int, wanted: int, expected_s: float
) -> None:
    assert suspicion_s(CONFIG, members, confirmations, wanted) == pytest.approx(expected_s, abs=0.01)


def test_only_clusters_above_thirty_need_more_time_for_news_to_arrive() -> None:
    times = [suspicion_s(CONFIG, members, 2, 2) for members in (3, 30, 300, 3000)]
    assert times == pytest.approx([2.0, 2.0, 4.0, 6.0])


def test_the_wait_for_an_answer_follows_the_round_trip_between_its_limits() -> None:
    trips = RoundTrips(CONFIG)
    assert trips.timeout_s("b", "z") == 0.5
    for _ in range(50):
        trips.add("b", "z", 0.150)
        trips.add("near", "y", 0.001)
        trips.add("far", "x", 3.0)
    assert trips.timeout_s("b", "z") == pytest.approx(0.45, abs=0.02)
    assert trips.timeout_s("never heard, same zone", "z") == trips.timeout_s("b", "z")
    assert trips.timeout_s("near", "y") == CONFIG.probe_timeout_min_s
    assert trips.timeout_s("far", "x") == CONFIG.probe_timeout_limit_s
    trips.add("b", "z", 0.500)
    assert trips.timeout_s("b", "z") > 1.0


@pytest.mark.parametrize(("late_s", "points"), [(-1.0, 0), (0.05, 0), (0.1, 1), (0.25, 2), (1.0, 4), (30.0, 9)])
def test_a_longer_stall_weighs_more(late_s: float, points: int) -> None:
    assert stall_penalty(late_s, 0.1) == points


def test_news_goes_out_the_least_told_first_and_a_limited_number_of_times() -> None:
    news = News(10)
    news.add("b", "", raw("one"))
    assert news.fresh
    assert news.fill(1000, 10, 3)[0] == [raw("one")]
    assert not news.fresh
    news.add("c", "", raw("two"))
    assert news.fill(1000, 1, 3)[0] == [raw("two")]
    assert [news.fill(1000, 10, 3)[0] for _ in range(3)] == [[raw("two"), raw("one")], [raw("two"), raw("one")], []]
    assert len(news) == 0


def test_newer_news_takes_the_place_of_older() -> None:
    news = News(10)
    news.add("b", "", raw("old"))
    news.add("b", "", raw("new"))
    news.add("b", "c", raw("detail"))
    assert sorted(news.fill(1000, 10, 9)[0], key=bytes) == sorted([raw("new"), raw("detail")], key=bytes)
    news.withdraw("b")
    assert len(news) == 0
    assert not news.fresh


def test_what_does_not_fit_waits_and_the_queue_has_a_limit() -> None:
    news = News(3)
    news.add("large", "", raw("x" * 100))
    news.add("small", "", raw("y"))
    assert news.fill(50, 10, 9) == ([raw("y")], 48)
    for number in range(5):
        news.add(str(number), "", raw("z"))
    assert len(news) == 3


def test_each_member_comes_once_a_round_and_rounds_differ() -> None:
    roster = Roster({f"n{number:02d}": "z" for number in range(17)})
    rounds = Rounds(Random(3))
    first, second = ([guid for guid, _ in zip(rounds.take(roster), range(17), strict=False)] for _ in range(2))
    assert sorted(first) == sorted(second) == list(roster.guids)
    assert first != second


def test_the_ring_goes_round() -> None:
    roster = Roster(dict.fromkeys("abcd", "z"))
    assert list(roster.after("c"))[:3] == ["d", "a", "b"]
    assert list(roster.after("d"))[:1] == ["a"]


def test_a_member_of_another_zone_is_found_if_there_is_one() -> None:
    assert Roster({"a": "z", "b": "z"}).elsewhere("z", Random(1)) is None
    roster = Roster({"a": "z", "b": "z", "c": "y"})
    assert {roster.elsewhere("z", Random(seed)) for seed in range(20)} == {"c"}


@pytest.mark.parametrize(("members", "times"), [(1, 4), (9, 4), (10, 8), (99, 8), (100, 12)])
def test_the_more_members_the_more_often_news_is_sent_on(members: int, times: int) -> None:
    assert retransmissions(CONFIG, members) == times
