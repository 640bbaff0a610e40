"""Treats containers by what they took of the processor lately, and keeps the platform's own work out of their way."""

import contextlib
import os
import time
from collections.abc import Mapping

import trio

from paasd.containment import contained
from paasd.processors import COMPANIONS, keep_to, threads_of
from paasd.sandbox.container import Container
from paasd.sandbox.fairness import DAEMON_TURN_NS, PERIOD_S, SHORT_TURN_NS, Fairness, Standing
from paasd.sandbox.launcher.syscalls import take_turns
from paasd.sandbox.parts import Parts
from paasd.sandbox.processes import launchers


class Treatment:
    """Of all containers of a node. The pure half is `fairness.py`."""

    def __init__(self, parts: Parts, containers: Mapping[str, Container]) -> None:
        self._parts = parts
        self._containers = containers
        processors = parts.cgroups.processors()
        self._fairness = Fairness(processors, os.cpu_count() or 1, parts.config.free_percent)
        self._treated: dict[str, tuple[Standing, int]] = {}
        self._own = self._everywhere = self._fairness.own
        self._scope = trio.CancelScope()

    async def keep(self) -> None:
        """Until `stop`; then the containers stay as they are, and the platform's own work runs everywhere again."""
        with contextlib.suppress(OSError):
            take_turns(DAEMON_TURN_NS)
        with self._scope:
            # A daemon that was killed may have left them somewhere.
            await contained("treatment of containers", self._free_launchers)
            try:
                while True:
                    if not await contained("treatment of containers", self._treat_all):
                        self._treated, self._own = {}, ()  # some of it may not be so: all of it is told again
                    await trio.sleep(PERIOD_S)
            finally:
                self._keep_own_work_to(self._everywhere)

    def stop(self) -> None:
        self._scope.cancel()

    async def _free_launchers(self) -> None:
        await trio.to_thread.run_sync(lambda: keep_to(self._everywhere, launchers(self._parts.prefix)))

    async def _treat_all(self) -> None:
        await trio.to_thread.run_sync(self._treat, dict(self._containers))

    def _treat(self, containers: dict[str, Container]) -> None:
        taken, cgroups = {}, self._parts.cgroups
        for guid in containers:
            with contextlib.suppress(OSError):  # on its way out
                taken[guid] = cgroups.cpu_ns(guid)
        weights = {guid: containers[guid].spec.limits.cpu_weight for guid in taken}
        standings = self._fairness.measure(taken, weights, time.monotonic())
        # What a container starts anew has the turns of the zygote, whatever the one before it had.
        runs = {guid: containers[guid].record.run if containers[guid].running else 0 for guid in standings}
        before, self._treated = self._treated, {guid: (one, runs[guid]) for guid, one in standings.items()}
        for guid, (standing, run) in self._treated.items():
            if before.get(guid) != (standing, run):
                # Each by itself: where the kernel refuses one, the others still help.
                with contextlib.suppress(OSError):
                    cgroups.weigh(guid, weights[guid] * standing.factor)
                with contextlib.suppress(OSError):
                    cgroups.confine(guid, standing.processors)
                with contextlib.suppress(OSError):
                    cgroups.give_turns(guid, standing.turn_ns)
        self._keep_own_work_to(self._fairness.own)

    def _keep_own_work_to(self, processors: tuple[int, ...]) -> None:
        if processors != self._own:
            self._own = processors
            # Among those who compute it runs often rather than long, so that nobody waits for it elsewhere.
            turn_ns = DAEMON_TURN_NS if processors == self._everywhere else SHORT_TURN_NS
            for thread in threads_of(os.getpid()):
                with contextlib.suppress(OSError):
                    take_turns(turn_ns, thread)
            keep_to(processors, (os.getpid(), *COMPANIONS, *launchers(self._parts.prefix)))
