"""Tells systemd that the daemon lives, and names the code that keeps its event loop from living.

`service_notifications` speaks the sd_notify protocol; without NOTIFY_SOCKET it does nothing. The watchdog is fed from
the loop itself, so a loop that hangs is restarted. `SlowSteps` is a trio instrument: a task step that runs for longer
than the threshold is reported with the name of the task and the line on which it then waits.
"""

import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import FrameType

import trio


class Notifier:
    """Sends sd_notify datagrams. `address` is the value of NOTIFY_SOCKET; None makes every call a no-op."""

    def __init__(self, address: str | None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self.goes_on = False
        """Whether the daemon stays although the block ends: it goes on as something else."""

    def send(self, state: str) -> bool:
        """Whether `state` (such as "READY=1") reached the service manager."""
        if not self._address:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(state.encode(), self._address)
            except OSError:
                return False  # the manager went away or is busy; the daemon must not stop for it
        return True


@asynccontextmanager
async def service_notifications(environment: Mapping[str, str], own_pid: int) -> AsyncIterator[Notifier]:
    """READY=1 on entry, WATCHDOG=1 at half of WATCHDOG_USEC while open, STOPPING=1 on leaving unless it `goes_on`."""
    notifier = Notifier(environment.get("NOTIFY_SOCKET"))
    async with trio.open_nursery() as nursery:
        period_s = watchdog_period_s(environment, own_pid)
        if period_s is not None:
            nursery.start_soon(_feed, notifier, period_s)
        notifier.send("READY=1")
        try:
            yield notifier
        finally:
            if not notifier.goes_on:
                notifier.send("STOPPING=1")
            nursery.cancel_scope.cancel()


def watchdog_period_s(environment: Mapping[str, str], own_pid: int) -> float | None:
    """How often to feed the watchdog, in seconds: half of what systemd allows; None when we are not watched."""
    if environment.get("WATCHDOG_PID", str(own_pid)) != str(own_pid):
        return None
    try:
        allowed_us = int(environment.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return allowed_us / 2_000_000 if allowed_us > 0 else None


async def _feed(notifier: Notifier, period_s: float) -> None:
    while True:
        notifier.send("WATCHDOG=1")
        await trio.sleep(period_s)


class SlowSteps(trio.abc.Instrument):
    """Reports `(task name, seconds, where)` for each step of a task that blocks the loop for `threshold_s` or more.

    `where` is the await on which the step ended, which is the nearest that one can tell afterwards. The report must be
    quick and must not raise. `count` and `longest_s` are for metrics.
    """

    def __init__(
        self,
        report: Callable[[str, float, str], None],
        *,
        threshold_s: float = 0.020,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._report = report
        self._threshold_s = threshold_s
        self._clock = clock
        self._started = float("inf")  # the step during which the instrument is added is not measured
        self.count = 0
        self.longest_s = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._started = self._clock()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        took_s = self._clock() - self._started
        if took_s < self._threshold_s:
            return
        self.count += 1
        self.longest_s = max(self.longest_s, took_s)
        self._report(task.name, took_s, _where(task))


def _where(task: trio.lowlevel.Task) -> str:
    """The innermost frame of ours in the task's stack, as `file:line function`."""
    best = "finished"
    for frame, line in task.iter_await_frames():
        if "/trio/" not in frame.f_code.co_filename:
            best = _name(frame, line)
    return best


def _name(frame: FrameType, line: int) -> str:
    return f"{frame.f_code.co_filename}:{line} {frame.f_code.co_qualname}"
