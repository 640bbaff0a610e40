"""The life of one instance, pure: messages and the clock in, effects out. It owns no task, no socket and no clock.

    launching -> starting -> running          Launched, then the first successful health check
    starting | running -> ending              unhealthy: TERM, grace, KILL, counted as a crash
    starting | running -> stopping            its row is gone: out of the routes, drain, TERM, grace, KILL
    any of them -> destroying                 its process ended; then gone, launched anew, or
    destroying -> waiting                     back-off: 3 restarts at once, then 30 s doubling, at most 200

Each launch is a new container: nothing that a crashed instance wrote to its disk survives, as in Cloud Foundry.
"""

from math import inf
from typing import Literal

import msgspec

from paasd.config import SupervisorConfig
from paasd.supervisor.backoff import restart_delay_s
from paasd.supervisor.events import (
    Destroy,
    Destroyed,
    Effect,
    Exited,
    Finish,
    Kill,
    Launch,
    Launched,
    LaunchFailed,
    Leave,
    Left,
    Message,
    Observe,
    Probe,
    Probed,
    Remember,
    ReportCrash,
    Say,
    SendTerm,
    StopRequested,
)
from paasd.supervisor.probing import Checks, Probes
from paasd.supervisor.texts import Ending, became_unhealthy, duration, exit_description, exit_status, never_healthy

Phase = Literal["new", "launching", "starting", "running", "ending", "stopping", "destroying", "waiting", "gone"]
# Killing cannot fail; should the news of it be lost, the container is removed all the same.
_KILL_NEWS_S = 10.0


class Past(msgspec.Struct, frozen=True):
    """What an adopted instance has behind it. `healthy_for_s` None: it had not become healthy yet."""

    started_for_s: float
    healthy_for_s: float | None


class Lifecycle:
    """One instance. `begin` or `adopt` first, then `receive` and `wake`; times are those of one monotonic clock."""

    def __init__(
        self,
        config: SupervisorConfig,
        checks: Checks,
        source_type: str,
        cell: str,
        instance: str,
        *,
        crash_count: int = 0,
        drain_s: float | None = None,
    ) -> None:
        """`drain_s` is the longest time between leaving the routes and TERM, by default that of a node alone."""
        self.phase: Phase = "new"
        self.crash_count = crash_count
        self._config = config
        self._drain_s = config.drain_s if drain_s is None else drain_s
        self._stop_grace_s = config.stop_grace_s
        self._checks = checks
        self._source_type = source_type
        self._cell = f"Cell {cell}"
        self._instance = f"instance {instance}"
        self._probes = Probes(config, checks, 0.0)
        self._stop_wanted = False
        self._ready = False
        self._details: str | None = None
        self._healthy_since = inf  # of this launch
        self._verdict: str | None = None  # why an instance that is being ended is being ended
        self._restart_at = inf
        self._term_at = inf
        self._kill_at = inf
        self._give_up_at = inf

    @property
    def deadline(self) -> float:
        """When `wake` is to be called if no message comes before; infinity for never."""
        match self.phase:
            case "starting" | "running":
                return self._probes.deadline
            case "ending" | "stopping":
                return min(self._term_at, self._kill_at, self._give_up_at)
            case "waiting":
                return self._restart_at
            case _:
                return inf

    def begin(self, now: float, crashed_for_s: float | None = None, details: str | None = None) -> list[Effect]:
        """Nothing runs. With `crashed_for_s`, the time since its last crash, an earlier daemon's back-off goes on."""
        if crashed_for_s is None or self.crash_count == 0:
            return self._launch()
        self.phase = "waiting"
        self._details = details
        self._restart_at = now + restart_delay_s(self._config, self.crash_count) - crashed_for_s
        return self.wake(now) or [Observe("CRASHED", details=details)]

    def adopt(self, now: float, past: Past) -> list[Effect]:
        """A daemon is back and the instance never stopped. A healthy one is routable again before anything else."""
        self._probes = Probes(self._config, self._checks, now - past.started_for_s)
        if past.healthy_for_s is None:
            self.phase = "starting"
            return [Observe("STARTING"), *self._probe(now)]
        self.phase = "running"
        self._healthy_since = now - past.healthy_for_s
        # Readiness is taken as given until the next probe says otherwise: an adoption must not empty the routes.
        self._ready = True
        self._probes.healthy(now)
        return [Observe("RUNNING", routable=True), *self._probe(now)]

    def receive(self, now: float, message: Message) -> list[Effect]:
        match message:
            case Launched():
                return self._launched(now)
            case LaunchFailed(reason):
                return self._launch_failed(now, reason)
            case Probed():
                return self._probed(now, message)
            case Exited(ending):
                return self._exited(now, ending)
            case StopRequested(grace_s):
                return self._stop(now, grace_s)
            case Left():
                return self._left(now)
            case Destroyed():
                return self._destroyed(now)
        raise AssertionError(f"unknown message {message!r}")

    def wake(self, now: float) -> list[Effect]:
        """Do what is due at `now`; nothing if nothing is."""
        match self.phase:
            case "starting" | "running":
                return self._probe(now)
            case "waiting" if now >= self._restart_at:
                return self._launch()
            case "ending" | "stopping":
                return self._press(now)
            case _:
                return []

    def _launch(self) -> list[Effect]:
        self.phase = "launching"
        self._healthy_since = inf
        self._ready = False
        self._verdict = None
        return [
            Observe("STARTING", details=self._details),
            Say("CELL", f"{self._cell} creating container for {self._instance}"),
            Launch(),
        ]

    def _launched(self, now: float) -> list[Effect]:
        if self.phase != "launching":
            return []
        if self._stop_wanted:
            return self._destroy()
        self.phase = "starting"
        self._probes = Probes(self._config, self._checks, now)
        return [
            Say("CELL", f"{self._cell} successfully created container for {self._instance}"),
            Say("CELL", "Starting health monitoring of container"),
            *self._probe(now),
        ]

    def _launch_failed(self, now: float, reason: str) -> list[Effect]:
        if self.phase != "launching":
            return []
        if self._stop_wanted:
            return self._finish()
        said = Say("CELL", f"{self._cell} failed to create container for {self._instance}: {reason}", "ERR")
        effects = [said, *self._crash(now, f"Failed to start the instance: {reason}", None)]
        return [*effects, *self._next(now)]

    def _probe(self, now: float) -> list[Effect]:
        due = [Probe(kind) for kind in self._probes.due(now)]
        if self.phase == "starting" and self._probes.nothing_to_prove:
            return [*due, *self._healthy(now)]
        if self.phase == "starting" and self._probes.too_late(now):
            failure = self._probes.last_failure or "the health check has not answered"
            verdict = never_healthy(self._probes.timeout_s, failure)
            said = f"Failed after {duration(self._probes.timeout_s)}: startup health check never passed."
            return [Say("HEALTH", failure, "ERR"), Say("CELL", said, "ERR"), *self._end(now, verdict)]
        return list(due)

    def _probed(self, now: float, message: Probed) -> list[Effect]:
        self._probes.answered(now, message.kind, message.failure)
        if self.phase == "starting" and message.kind == "start":
            return self._healthy(now) if message.failure is None else self._probe(now)
        if self.phase != "running":
            return []
        if message.kind == "readiness":
            return self._readiness(message.failure)
        if message.kind == "liveness" and message.failure is not None and self._probes.given_up:
            verdict = became_unhealthy(message.failure)
            said = Say("CELL", "Container became unhealthy", "ERR")
            return [Say("HEALTH", message.failure, "ERR"), said, *self._end(now, verdict)]
        return []

    def _healthy(self, now: float) -> list[Effect]:
        self.phase = "running"
        self._healthy_since = now
        self._details = None
        self._ready = not self._probes.readiness_wanted
        self._probes.healthy(now)
        return [
            Remember(self.crash_count, healthy=True),
            Say("CELL", "Container became healthy"),
            Observe("RUNNING", routable=self._ready),
            *self._probe(now),
        ]

    def _readiness(self, failure: str | None) -> list[Effect]:
        ready = failure is None
        if ready == self._ready:
            return []
        self._ready = ready
        if ready:
            text = "Container passed the readiness health check. Container marked ready and added to route pool"
        else:
            text = "Container failed the readiness health check. Container marked not ready and removed from route pool"
        return [Observe("RUNNING", routable=ready, details=failure), Say("CELL", text, "OUT" if ready else "ERR")]

    def _end(self, now: float, verdict: str) -> list[Effect]:
        """An unhealthy instance must go: politely first."""
        self.phase = "ending"
        self._verdict = verdict
        self._term_at, self._kill_at, self._give_up_at = inf, now + self._config.stop_grace_s, inf
        return [Observe("STOPPING", details=verdict), SendTerm()]

    def _stop(self, now: float, grace_s: float | None) -> list[Effect]:
        if self._stop_wanted:
            return []
        self._stop_wanted = True
        self._stop_grace_s = self._config.stop_grace_s if grace_s is None else grace_s
        if self.phase == "waiting":
            return self._finish()
        if self.phase not in ("starting", "running"):
            return []  # it is launching, ending or being destroyed: what comes next looks at the wish
        routed = self.phase == "running" and self._ready
        self.phase = "stopping"
        self._term_at, self._kill_at, self._give_up_at = now + self._drain_s if routed else now, inf, inf
        said = Say("CELL", f"{self._cell} stopping {self._instance}")
        return [Observe("STOPPING"), said, *([Leave()] if routed else []), *self._press(now)]

    def _left(self, now: float) -> list[Effect]:
        if self.phase != "stopping" or self._term_at == inf:
            return []
        self._term_at = now
        return self._press(now)

    def _press(self, now: float) -> list[Effect]:
        """TERM when the routers had their time, KILL when the app had its."""
        effects: list[Effect] = []
        if now >= self._term_at:
            self._term_at, self._kill_at = inf, now + self._stop_grace_s
            effects.append(SendTerm())
        elif now >= self._kill_at:
            self._kill_at, self._give_up_at = inf, now + _KILL_NEWS_S
            effects.append(Kill())
        elif now >= self._give_up_at:
            effects += self._ended(now, Ending())
        return effects

    def _exited(self, now: float, ending: Ending) -> list[Effect]:
        if self.phase not in ("starting", "running", "ending", "stopping"):
            return []
        return [Say("APP", exit_status(ending)), *self._ended(now, ending)]

    def _ended(self, now: float, ending: Ending) -> list[Effect]:
        if self._stop_wanted:
            return self._destroy()
        description = self._verdict or exit_description(self._source_type, ending)
        return [*self._crash(now, description, ending.status), *self._destroy()]

    def _crash(self, now: float, description: str, exit_code: int | None) -> list[Effect]:
        if now - self._healthy_since >= self._config.crash_forgiven_s:
            self.crash_count = 0
        self.crash_count += 1
        self._details = description
        delay_s = restart_delay_s(self._config, self.crash_count)
        self._restart_at = now + delay_s
        # An instance that starts again at once is not shown as crashed: clients would take it for its end.
        state: Literal["STARTING", "CRASHED"] = "CRASHED" if delay_s else "STARTING"
        return [
            Remember(self.crash_count, healthy=False, details=description),
            Observe(state, details=description),
            ReportCrash(description, exit_code, self.crash_count),
        ]

    def _destroy(self) -> list[Effect]:
        self.phase = "destroying"
        return [Say("CELL", f"{self._cell} destroying container for {self._instance}"), Destroy()]

    def _destroyed(self, now: float) -> list[Effect]:
        said = Say("CELL", f"{self._cell} successfully destroyed container for {self._instance}")
        return [said, *self._next(now)]

    def _next(self, now: float) -> list[Effect]:
        if self._stop_wanted:
            return self._finish()
        self.phase = "waiting"
        return self.wake(now)

    def _finish(self) -> list[Effect]:
        self.phase = "gone"
        return [Finish()]
