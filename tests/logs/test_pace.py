import pytest
import trio
import trio.testing

from paasd.logs.pace import Pace


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
