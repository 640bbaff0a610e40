"""A failure ends the work that it happened in, and nothing else; what is to end more than that passes."""

from collections.abc import Awaitable, Callable

import pytest
import structlog
import trio
import trio.testing

from paasd.containment import contained


def raising(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        raise error

    return work


async def nothing() -> None:
    await trio.lowlevel.checkpoint()


async def test_work_that_ends_well_says_nothing() -> None:
    with structlog.testing.capture_logs() as said:
        assert await contained("a call", nothing)
    assert said == []


@pytest.mark.parametrize(
    "error",
    [ValueError("odd"), ExceptionGroup("both", [OSError("one"), ExceptionGroup("more", [ValueError("odd")])])],
)
async def test_a_failure_ends_here_and_is_told_with_its_traceback(error: Exception) -> None:
    with structlog.testing.capture_logs() as said:
        assert not await contained("a call", raising(error), peer="192.0.2.7")
    assert [(one["event"], one["peer"], one["log_level"]) for one in said] == [("a call failed", "192.0.2.7", "error")]
    assert "ValueError: odd" in said[0]["traceback"]


async def test_one_a_second_of_each_name_is_told_and_the_others_are_counted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            await contained("a call", raising(ValueError()))
            await contained("another", raising(ValueError()))
        await trio.sleep(1)
        await contained("a call", raising(ValueError()))
    assert [(one["event"], one.get("unsaid")) for one in said] == [
        ("a call failed", None),
        ("another failed", None),
        ("a call failed", 2),
    ]


async def test_cancellation_passes() -> None:
    went_on = False
    with trio.CancelScope() as scope:
        scope.cancel()
        await contained("a call", trio.sleep_forever)
        went_on = True
    assert scope.cancelled_caught and not went_on


async def test_cancellation_passes_beside_a_failure() -> None:
    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(failing_at_the_end)
            await trio.sleep_forever()

    async def failing_at_the_end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("odd")

    went_on = False
    with structlog.testing.capture_logs() as said, trio.CancelScope() as scope:
        scope.cancel()
        await contained("a call", work)
        went_on = True
    assert scope.cancelled_caught and not went_on
    assert len(said) == 1 and "ValueError: odd" in said[0]["traceback"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
async def test_what_is_to_end_the_daemon_passes(error: BaseException) -> None:
    with pytest.raises(type(error)):
        await contained("a call", raising(error))
    with pytest.RaisesGroup(type(error)):
        await contained("a call", raising(BaseExceptionGroup("both", [ValueError(), error])))
