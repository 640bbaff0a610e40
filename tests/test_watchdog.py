import socket
import time
from pathlib import Path

import trio

from paasd.watchdog import Notifier, SlowSteps, service_notifications, watchdog_period_s


async def test_systemd_hears_ready_then_watchdog_then_stopping(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(2)
        environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "20000"}
        async with service_notifications(environment, own_pid=7):
            heard = [await trio.to_thread.run_sync(manager.recv, 100) for _ in range(4)]
        assert heard[0] == b"READY=1"
        assert heard[1:] == [b"WATCHDOG=1"] * 3
        last = b""
        while last != b"STOPPING=1":
            last = manager.recv(100)


async def test_without_a_service_manager_nothing_is_sent_and_nothing_fails(tmp_path: Path) -> None:
    async with service_notifications({}, own_pid=7) as notifier:
        assert notifier.send("STATUS=x") is False
    assert Notifier(str(tmp_path / "absent")).send("READY=1") is False


def test_the_watchdog_is_fed_at_half_its_period_and_only_by_the_process_it_watches() -> None:
    assert watchdog_period_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 7) == 15
    assert watchdog_period_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 7) is None
    assert watchdog_period_s({"WATCHDOG_USEC": "junk"}, 7) is None
    assert watchdog_period_s({}, 7) is None


async def test_a_blocking_step_is_named_and_a_waiting_one_is_not() -> None:
    reports: list[tuple[str, float, str]] = []
    steps = SlowSteps(lambda *report: reports.append(report), threshold_s=0.2)
    trio.lowlevel.add_instrument(steps)

    async def blocker() -> None:
        time.sleep(0.25)  # noqa: ASYNC251 - blocking is what the test is about
        await trio.sleep(0.01)

    async def waiter() -> None:
        await trio.sleep(0.3)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocker)
            nursery.start_soon(waiter)
    finally:
        trio.lowlevel.remove_instrument(steps)
    assert [name.split(".")[-1] for name, _, _ in reports] == ["blocker"]
    assert reports[0][1] >= 0.25
    assert "test_watchdog.py" in reports[0][2]
    assert steps.count == 1
    assert steps.longest_s >= 0.25
