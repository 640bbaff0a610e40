"""Samples what an instance uses, from counters that the kernel and the log reader keep."""

from collections.abc import Callable

import trio

from paasd.logs import SpoolTail
from paasd.observed import Usage
from paasd.sandbox import AnyContainer, NotRunning

_FIRST_PAUSE_S = 0.5  # the first sample comes soon, for those who watch an app start


async def sample_usage(
    container: AnyContainer,
    tail: SpoolTail,
    put: Callable[[Usage], None],
    wanted: Callable[[], bool],
    interval_s: float,
    clock: Callable[[], float],
) -> None:
    """Every `interval_s`, rates being means since the sample before; until not `wanted` or the container is gone."""
    before: tuple[float, int, int] | None = None
    pause_s = 0.0
    while wanted():
        try:
            used = container.usage()
        except NotRunning:
            return
        now, logged_bytes = trio.current_time(), tail.payload_bytes
        if before is not None:
            passed_s = max(now - before[0], 1e-3)
            put(
                Usage(
                    cpu_fraction=max(0.0, (used.cpu_ns - before[1]) / 1e9 / passed_s),
                    memory_bytes=used.memory_bytes,
                    disk_bytes=used.disk_bytes,
                    log_bytes_per_s=max(0.0, (logged_bytes - before[2]) / passed_s),
                    at=clock(),
                )
            )
        before = (now, used.cpu_ns, logged_bytes)
        pause_s = min(interval_s, pause_s * 2 or _FIRST_PAUSE_S)
        await trio.sleep(pause_s)
