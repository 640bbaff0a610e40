"""What a quota says to a change: plain arithmetic over what is used, in Cloud Foundry's words. Pure.

Only growth is refused. A quota that was lowered below what is used stops nothing, and what shrinks or stays as it is
passes, even if there is still too much of it.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from paasd.model.quotas.holding import Held
from paasd.model.records import Limits, Process

UNLIMITED: Final = -1


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What a process or a task asks for; sizes are those of one instance. Nothing at all when it does not run.

    `held` is what all instances together have beyond that until they are replaced.
    """

    instances: int = 0
    memory_mb: int = 0
    disk_mb: int = 0
    log_rate_limit_bytes: int = 0
    held: Held = Held()

    @property
    def memory_in_all_mb(self) -> int:
        """Of all instances."""
        return self.instances * self.memory_mb + self.held.memory_mb

    @property
    def disk_in_all_mb(self) -> int:
        """Of all instances."""
        return self.instances * self.disk_mb + self.held.disk_mb

    @property
    def log_rate_in_all_bytes(self) -> int:
        """Of all instances; 0 when it is unlimited, which is a matter of its own."""
        return self.instances * max(0, self.log_rate_limit_bytes) + self.held.log_rate_limit_bytes

    @property
    def unlimited_logs(self) -> bool:
        """Whether something may write as many log lines as it likes."""
        return self.instances > 0 and self.log_rate_limit_bytes == UNLIMITED


NOTHING: Final = Demand()


def demand_of(process: Process, held: Held) -> Demand:
    """What a process of a started app asks for."""
    return Demand(
        instances=process.instances,
        memory_mb=process.memory_mb,
        disk_mb=process.disk_mb,
        log_rate_limit_bytes=process.log_rate_limit_bytes,
        held=held,
    )


class Change(msgspec.Struct, frozen=True):
    """One process or task, before and after."""

    before: Demand
    after: Demand

    def grown(self, size: Literal["memory_mb", "disk_mb"]) -> bool:
        """Whether there are more instances, or larger ones."""
        more = self.after.instances > self.before.instances
        return self.after.instances > 0 and (more or getattr(self.after, size) > getattr(self.before, size))


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What an organization or a space uses. Memory, disk and log rate are those that running things may use."""

    memory_mb: int = 0
    disk_mb: int = 0
    instances: int = 0
    log_rate_bytes: int = 0
    tasks: int = 0
    routes: int = 0
    reserved_ports: int = 0
    domains: int = 0
    service_instances: int = 0
    service_keys: int = 0
    blobs_mb: int = 0


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """A quota where it applies: `used` counts what the change adds."""

    level: str
    name: str
    limits: Limits
    used: Usage


Refusal = tuple[str, str]
"""The field that is at fault, and what is wrong with it."""


def exceeds(limit: int | None, used: int, growth: int) -> bool:
    """Whether what is used after a change is too much and the change made it more."""
    return limit is not None and growth > 0 and used > limit


def refusals(scopes: Sequence[Scope], changes: Sequence[Change]) -> list[Refusal]:
    """Why processes cannot be changed so; `scopes` are the space and the organization where they have limits.

    In the order of Cloud Foundry; empty when they can.
    """
    found: list[Refusal] = []
    for scope in scopes:
        if exceeds(scope.limits.total_memory_in_mb, scope.used.memory_mb, _growth(changes, "memory_in_all_mb")):
            found.append(("memory", _word(scope, "quota_exceeded")))
        if exceeds(scope.limits.total_disk_in_mb, scope.used.disk_mb, _growth(changes, "disk_in_all_mb")):
            found.append(("disk", _word(scope, "quota_exceeded")))
    for scope in reversed(scopes):
        memory_mb, disk_mb = _largest(changes, "memory_mb"), _largest(changes, "disk_mb")
        if exceeds(scope.limits.per_process_memory_in_mb, memory_mb, memory_mb):
            found.append(("memory", _word(scope, "instance_memory_limit_exceeded")))
        if exceeds(scope.limits.per_process_disk_in_mb, disk_mb, disk_mb):
            found.append(("disk", _word(scope, "instance_disk_limit_exceeded")))
        if exceeds(scope.limits.total_instances, scope.used.instances, _growth(changes, "instances")):
            found.append(("app_instance_limit", _word(scope, "app_instance_limit_exceeded")))
    for scope in scopes:
        found += _log_rate_refusals(scope, changes)
    return found


def task_refusals(scopes: Sequence[Scope], task: Demand) -> list[Refusal]:
    """The same for one task more, in the words that Cloud Foundry has for tasks; organization first."""
    found: list[Refusal] = []
    for scope in scopes:
        limits, used = scope.limits, scope.used
        if exceeds(limits.total_memory_in_mb, used.memory_mb, task.memory_mb):
            found.append(("memory_in_mb", f"exceeds {scope.level} memory quota"))
        if exceeds(limits.per_process_memory_in_mb, task.memory_mb, task.memory_mb):
            found.append(("memory_in_mb", f"exceeds {scope.level} instance memory quota"))
        if exceeds(limits.total_disk_in_mb, used.disk_mb, task.disk_mb):
            found.append(("disk_in_mb", f"exceeds {scope.level} disk quota"))
        if exceeds(limits.per_process_disk_in_mb, task.disk_mb, task.disk_mb):
            found.append(("disk_in_mb", f"exceeds {scope.level} instance disk quota"))
        found += _log_rate_refusals(scope, [Change(NOTHING, task)])
        if exceeds(limits.per_app_tasks, used.tasks, 1):
            found.append(("app_task_limit", "quota exceeded"))
    return found


def _log_rate_refusals(scope: Scope, changes: Sequence[Change]) -> Iterable[Refusal]:
    limit = scope.limits.log_rate_limit_in_bytes_per_second
    if limit is None:
        return
    if any(change.after.unlimited_logs and not _as_before(change) for change in changes):
        yield "log_rate_limit", f"cannot be unlimited in {scope.level} '{scope.name}'."
    if exceeds(limit, scope.used.log_rate_bytes, _growth(changes, "log_rate_in_all_bytes")):
        yield "log_rate_limit", f"exceeds {scope.level} log rate quota"


def _as_before(change: Change) -> bool:
    return change.before.unlimited_logs and change.after.instances <= change.before.instances


def _growth(changes: Iterable[Change], what: str) -> int:
    return sum(getattr(change.after, what) - getattr(change.before, what) for change in changes)


def _largest(changes: Iterable[Change], size: Literal["memory_mb", "disk_mb"]) -> int:
    return max((getattr(change.after, size) for change in changes if change.grown(size)), default=0)


def _word(scope: Scope, word: str) -> str:
    return f"space_{word}" if scope.level == "space" else word


def sentence(found: Iterable[Refusal]) -> str:
    """As Cloud Foundry writes it: field and fault, those of one field together, separated by commas."""
    by_field: dict[str, list[str]] = {}
    for field, fault in found:
        by_field.setdefault(field, []).append(f"{field} {fault}")
    return ", ".join(fault for faults in by_field.values() for fault in faults)
