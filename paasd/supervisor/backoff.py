"""How long a crashed instance waits for its next start: Cloud Foundry's rule."""

from math import inf

from paasd.config import SupervisorConfig


def restart_delay_s(config: SupervisorConfig, crash_count: int) -> float:
    """Seconds to wait after crash number `crash_count` (from 1): none, then doubling, then for ever."""
    if crash_count <= config.immediate_restarts:
        return 0.0
    if crash_count >= config.crash_limit:
        return inf
    doublings = crash_count - config.immediate_restarts - 1
    # Beyond 2**32 the limit has long been reached; the bound keeps floats finite.
    return min(config.backoff_limit_s, config.backoff_s * 2.0 ** min(doublings, 32))
