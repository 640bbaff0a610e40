import pytest
import trio
import trio.testing

from paasd.logs.rate import Pace, TokenBucket


def test_a_burst_passes_then_the_rate_and_refusals_are_counted_once() -> None:
    bucket = TokenBucket(per_s=10, burst=5, now=0)
    assert [bucket.admit(0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert bucket.admit(0.1)
    assert not bucket.admit(0.1)
    assert bucket.take_refused() == 3
    assert bucket.take_refused() == 0


def test_something_larger_than_the_burst_passes_a_full_bucket_and_is_paid_for() -> None:
    bucket = TokenBucket(per_s=10, burst=10, now=0)
    assert bucket.admit(0, 30)
    assert not bucket.admit(1.9, 1)
    assert bucket.admit(2.2, 1)


def test_a_clock_that_steps_back_neither_fills_nor_drains() -> None:
    bucket = TokenBucket(per_s=1, burst=2, now=100)
    assert bucket.admit(100)
    assert bucket.admit(50)
    assert not bucket.admit(50)
    assert bucket.admit(51)


def test_idle_means_full_and_nothing_to_tell() -> None:
    bucket = TokenBucket(per_s=1, burst=1, now=0)
    assert bucket.idle(0)
    bucket.admit(0)
    assert not bucket.idle(0.5)
    assert bucket.idle(1)
    with pytest.raises(ValueError, match="above 0"):
        TokenBucket(0, 1, 0)


async def test_a_pace_holds_back_and_gives_turns(autojump_clock: trio.testing.MockClock) -> None:
    pace = Pace(per_s=100)
    passed: list[tuple[str, float]] = []

    async def take(name: str, amount: int) -> None:
        for _ in range(3):
            await pace.take(amount)
            passed.append((name, trio.current_time()))

    await trio.sleep(10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take, "noisy", 100)
        nursery.start_soon(take, "quiet", 1)
    quiet = [at for name, at in passed if name == "quiet"]
    assert max(quiet) <= 10 + 2.1
    assert max(at for _, at in passed) == pytest.approx(10 + 2.03)
