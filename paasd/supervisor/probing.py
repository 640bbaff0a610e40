"""When to probe an instance: eagerly while it starts, then now and then. Pure; one probe of a kind at a time."""

from math import inf

import msgspec

from paasd.config import SupervisorConfig
from paasd.model import HealthCheck
from paasd.supervisor.events import ProbeKind


class Checks(msgspec.Struct, frozen=True):
    """The health checks of a process."""

    health: HealthCheck
    readiness: HealthCheck


class Probes:
    """The schedule of one launch. `started_at` is when its processes were started."""

    def __init__(self, config: SupervisorConfig, checks: Checks, started_at: float) -> None:
        self.last_failure: str | None = None
        self._config = config
        self._checks = checks
        self._started_at = started_at
        self._next: dict[ProbeKind, float] = {} if self.nothing_to_prove else {"start": started_at}
        self._sent: dict[ProbeKind, float] = {}
        self._healthy = False
        self._failures = 0

    @property
    def timeout_s(self) -> float:
        wanted = self._checks.health.timeout_s or self._config.start_timeout_s
        return min(float(wanted), self._config.start_timeout_limit_s)

    @property
    def nothing_to_prove(self) -> bool:
        """The process check: an instance is healthy while its process is there."""
        return self._checks.health.type == "process"

    @property
    def readiness_wanted(self) -> bool:
        return self._checks.readiness.type != "process"

    @property
    def given_up(self) -> bool:
        """So many liveness probes in a row have failed that the instance must go."""
        return self._failures >= self._config.liveness_failures

    @property
    def deadline(self) -> float:
        ends = inf if self._healthy or self.nothing_to_prove else self._started_at + self.timeout_s
        return min(ends, *self._next.values()) if self._next else ends

    def too_late(self, now: float) -> bool:
        return not self._healthy and now >= self._started_at + self.timeout_s

    def due(self, now: float) -> list[ProbeKind]:
        """The probes to send now; each is not sent again before it was answered."""
        if self.too_late(now):
            return []
        kinds = [kind for kind, at in self._next.items() if now >= at]
        for kind in kinds:
            del self._next[kind]
            self._sent[kind] = now
        return kinds

    def healthy(self, now: float) -> None:
        """The start is over: liveness and readiness from here on."""
        self._healthy = True
        self._failures = 0
        self._next = {}
        if not self.nothing_to_prove:
            self._next["liveness"] = now + self._interval_s(self._checks.health)
        if self.readiness_wanted:
            self._next["readiness"] = now

    def answered(self, now: float, kind: ProbeKind, failure: str | None) -> None:
        sent_at = self._sent.pop(kind, None)
        if sent_at is None or (kind == "start") == self._healthy:
            return  # an answer to a probe of an earlier phase
        if kind == "start":
            self.last_failure = failure or self.last_failure
            eager = now - self._started_at < self._config.eager_probe_s
            interval_s = self._config.eager_probe_interval_s if eager else self._config.start_probe_interval_s
        elif failure is None:
            interval_s = self._interval_s(self._checks.health if kind == "liveness" else self._checks.readiness)
        else:
            interval_s = self._config.start_probe_interval_s
        if kind == "liveness":
            self._failures = 0 if failure is None else self._failures + 1
        self._next[kind] = max(now, sent_at + interval_s)

    def _interval_s(self, check: HealthCheck) -> float:
        return float(check.interval_s or self._config.liveness_interval_s)
