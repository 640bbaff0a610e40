"""What one client may have in a time, and at once."""

import pytest

from paasd.rate import Bucket, Buckets, Shares


def test_a_burst_passes_then_the_rate() -> None:
    bucket = Bucket(per_s=10, burst=5, now=0)
    assert [bucket.take(0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert bucket.take(0.1)
    assert not bucket.take(0.1)


def test_something_larger_than_the_burst_passes_a_full_bucket_and_is_paid_for() -> None:
    bucket = Bucket(per_s=10, burst=10, now=0)
    assert bucket.take(0, 30)
    assert not bucket.take(1.9, 1)
    assert bucket.take(2.2, 1)


def test_a_clock_that_steps_back_neither_fills_nor_drains() -> None:
    bucket = Bucket(per_s=1, burst=2, now=100)
    assert bucket.take(100)
    assert bucket.take(50)
    assert not bucket.take(50)
    assert bucket.take(51)


def test_a_bucket_that_refused_something_may_be_forgotten_once_it_is_full_again() -> None:
    bucket = Bucket(per_s=1, burst=1, now=0)
    assert bucket.full(0)
    assert [bucket.take(0), bucket.take(0)] == [True, False]
    assert not bucket.full(0.5)
    assert bucket.full(1)


def test_no_limit_is_no_bucket() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Bucket(0, 1, 0)


def test_a_bucket_fills_again_and_not_above_its_burst():
    buckets = Buckets(per_s=2, burst=3, clients=10)
    assert [buckets.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b", 0.0)
    assert [buckets.take("a", 0.5) for _ in range(2)] == [True, False]
    assert [buckets.take("a", 1000.0) for _ in range(4)] == [True, True, True, False]


def test_only_so_many_clients_are_remembered():
    buckets = Buckets(per_s=1, burst=1, clients=2)
    assert buckets.take("a", 0.0)
    assert not buckets.take("a", 0.0)
    assert buckets.take("b", 0.0)
    assert buckets.take("c", 0.0)
    assert buckets.take("a", 0.0), "forgotten, so it starts anew"
    assert not buckets.take("c", 0.0)


def test_one_client_has_its_share_and_all_together_the_whole():
    shares = Shares(limit=5, share=2)
    assert [shares.take("a") for _ in range(3)] == [True, True, False]
    assert [shares.take("b") for _ in range(3)] == [True, True, False]
    assert [shares.take("c") for _ in range(2)] == [True, False], "together they are five"
    shares.give_back("a")
    assert shares.take("c")
    assert not shares.take("d")
