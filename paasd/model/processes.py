"""Processes: how many instances of each type, how large, and how their health is checked."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from paasd.errors import NotFound, Unprocessable
from paasd.model.arguments import Actor, Arguments, Metadata
from paasd.model.auditing import difference
from paasd.model.events import record_app_event
from paasd.model.metadata import merge_metadata
from paasd.model.quotas.accounting import accounting, let_go
from paasd.model.records import App, Droplet, HealthCheck, Instance, Process, Sidecar
from paasd.state import ReadTx, Tx, operation

HEALTH_CHECK_TYPES: Final = ("http", "port", "process")
COMMAND_LIMIT = 4096
COMMAND_LIMIT_BYTES: Final = 64 * 1024
"""Of one that a droplet brings along."""
INSTANCES_LIMIT = 1_000
TYPE_LIMIT: Final = 255
_TYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
PROCESS_TYPES_LIMIT: Final = 50
"""Of one app: what it is started, stopped and scaled by is a row and an event for each."""
HEALTH_SECONDS_LIMIT = 86_400
ENDPOINT: Final = re.compile(r"/[\x21-\x7e]*")
"""What can stand in the first line of a request; anything else is sent percent-encoded."""
UNLIMITED: Final = -1
MEMORY_LIMIT_MB: Final = 2**31 - 1
LOG_RATE_LIMIT_BYTES: Final = 2**51
NO_ROOM_FOR_SIDECARS: Final = "The requested memory allocation is not large enough to run all of your sidecar processes"


class Sizes(Arguments):
    """The platform's defaults and limits for processes, handed to the operations that make or scale them.

    `instances_limit` is for an organization whose quota has none; nodes of earlier releases send none.
    """

    memory_mb: int = 512
    disk_mb: int = 1024
    disk_limit_mb: int = 10_240
    log_rate_limit_bytes: int = UNLIMITED
    health_timeout_limit_s: int = 600
    instances_limit: int | None = None


def add_process(tx: Tx, app: App, process_type: str, sizes: Sizes) -> Process:
    """Insert a process with the defaults: one instance for web, none for others."""
    return tx.insert(
        Process(
            app_guid=app.guid,
            type=process_type,
            instances=1 if process_type == "web" else 0,
            memory_mb=sizes.memory_mb,
            disk_mb=sizes.disk_mb,
            log_rate_limit_bytes=sizes.log_rate_limit_bytes,
            health_check=HealthCheck(type="port" if process_type == "web" else "process"),
        )
    )


def add_missing_processes(tx: Tx, app: App, droplet: Droplet, sizes: Sizes) -> None:
    """Give the app a process for every type that the droplet names."""
    present = {process.type for process in tx.all(Process, app_guid=app.guid)}
    for process_type in droplet.process_types:
        if process_type not in present:
            add_process(tx, app, process_type, sizes)


def check_type(process_type: str) -> None:
    """Raise Unprocessable for what is no type: it is part of paths, of lines of the log and of lists in terminals."""
    if not _TYPE.fullmatch(process_type) or len(process_type) > TYPE_LIMIT:
        shown = "".join(char if char.isprintable() else "?" for char in process_type[:80])
        raise Unprocessable(
            f"Process type '{shown}' must be 1 to {TYPE_LIMIT} letters, digits, '_', '-' and '.', "
            "the first a letter or digit"
        )


def check_number_of_types(tx: ReadTx, app_guid: str, wanted: Iterable[str]) -> None:
    """Raise Unprocessable for types that would be too many for the app beside those that it has."""
    present = {process.type for process in tx.all(Process, app_guid=app_guid)}
    together = present | set(wanted)
    if len(together) > max(PROCESS_TYPES_LIMIT, len(present)):
        raise Unprocessable(f"An app has at most {PROCESS_TYPES_LIMIT} process types; this would make {len(together)}")


def check_room_for_sidecars(tx: ReadTx, process: Process) -> None:
    """Raise Unprocessable for a process that has no memory left beside what its sidecars are to have."""
    beside = [one for one in tx.all(Sidecar, app_guid=process.app_guid) if process.type in one.process_types]
    if (needed := sum(one.memory_mb or 0 for one in beside)) and needed >= process.memory_mb:
        raise Unprocessable(NO_ROOM_FOR_SIDECARS)


def find_process(tx: ReadTx, app_guid: str, process_type: str) -> Process:
    """The process of an app by its type. Raises NotFound."""
    process = tx.find(Process, app_guid=app_guid, type=process_type)
    if process is None:
        raise NotFound("Process")
    return process


class ScaleProcess(Arguments):
    """Arguments of `scale_process`; None leaves a dimension as it is."""

    process_guid: str
    instances: int | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    log_rate_limit_bytes: int | None = None
    sizes: Sizes
    actor: Actor


@operation("process.scale", version=1)
def scale_process(tx: Tx, args: ScaleProcess) -> Process:
    """Instances change at once, sizes with the next restart. Raises NotFound, Unprocessable."""
    process = tx.need(Process, args.process_guid)
    changes = {
        name: getattr(args, name)
        for name in ("instances", "memory_mb", "disk_mb", "log_rate_limit_bytes")
        if getattr(args, name) is not None
    }
    check_scale(args.sizes, **changes)
    former = process
    with accounting(tx, process.app_guid, args.sizes.instances_limit):
        process = tx.update(process, **changes)
    if args.memory_mb is not None:
        check_room_for_sidecars(tx, process)
    record_app_event(
        tx,
        "audit.app.process.scale",
        args.actor,
        tx.need(App, process.app_guid),
        {"process_guid": process.guid, "process_type": process.type, "request": changes, **difference(former, process)},
    )
    return process


def check_scale(
    sizes: Sizes,
    *,
    instances: int | None = None,
    memory_mb: int | None = None,
    disk_mb: int | None = None,
    log_rate_limit_bytes: int | None = None,
) -> None:
    """Raise Unprocessable for a size that no process can have."""
    if instances is not None and not 0 <= instances <= INSTANCES_LIMIT:
        raise Unprocessable(f"Instances must be between 0 and {INSTANCES_LIMIT}")
    if memory_mb is not None:
        check_memory(memory_mb)
    if disk_mb is not None and disk_mb < 1:
        raise Unprocessable("Disk in mb must be greater than 0")
    if disk_mb is not None and disk_mb > sizes.disk_limit_mb:
        raise Unprocessable(
            f"Disk in mb too much disk requested (requested {disk_mb} MB - must be less than {sizes.disk_limit_mb} MB)"
        )
    if log_rate_limit_bytes is not None and log_rate_limit_bytes > LOG_RATE_LIMIT_BYTES:
        raise Unprocessable(f"Log rate limit in bytes per second must be less than or equal to {LOG_RATE_LIMIT_BYTES}")
    if log_rate_limit_bytes is not None and log_rate_limit_bytes < UNLIMITED:
        raise Unprocessable("Log rate limit in bytes per second must be greater than or equal to -1")


def check_memory(memory_mb: int) -> None:
    """Raise Unprocessable for what no program can have."""
    if memory_mb < 1:
        raise Unprocessable("Memory in mb must be greater than 0")
    if memory_mb > MEMORY_LIMIT_MB:
        raise Unprocessable(f"Memory in mb must be less than or equal to {MEMORY_LIMIT_MB}")


class UpdateProcess(Arguments):
    """Arguments of `update_process`; UNSET leaves a field as it is, a command of None goes back to the droplet's."""

    process_guid: str
    command: str | msgspec.UnsetType | None = msgspec.UNSET
    health_check: HealthCheck | msgspec.UnsetType = msgspec.UNSET
    readiness_health_check: HealthCheck | msgspec.UnsetType = msgspec.UNSET
    metadata: Metadata | None = None
    actor: Actor


@operation("process.update", version=1)
def update_process(tx: Tx, args: UpdateProcess) -> Process:
    """Raises NotFound, Unprocessable."""
    process = tx.need(Process, args.process_guid)
    changes: dict[str, str | HealthCheck | None] = {}
    if not isinstance(args.command, msgspec.UnsetType):
        check_command(args.command)
        changes["command"] = args.command
    if not isinstance(args.health_check, msgspec.UnsetType):
        check_health_check(args.health_check)
        changes["health_check"] = args.health_check
    if not isinstance(args.readiness_health_check, msgspec.UnsetType):
        check_health_check(args.readiness_health_check)
        changes["readiness_health_check"] = args.readiness_health_check
    former, process = process, tx.update(process, **changes)
    merge_metadata(tx, "process", process.guid, args.metadata)
    record_app_event(
        tx,
        "audit.app.process.update",
        args.actor,
        tx.need(App, process.app_guid),
        {
            "process_guid": process.guid,
            "process_type": process.type,
            "changed": sorted(changes),
            **difference(former, process, args.metadata),
        },
    )
    return process


def check_command(command: str | None) -> None:
    """Raise Unprocessable for a command that cannot be run."""
    if command is not None and not 1 <= len(command) <= COMMAND_LIMIT:
        raise Unprocessable(f"Command must be between 1 and {COMMAND_LIMIT} characters")
    if command is not None and "\0" in command:
        raise Unprocessable("Command cannot contain the character NUL")


def can_be_run(command: str) -> bool:
    """Whether a droplet's command can be an argument of a program: the kernel takes 128 KiB of each, with no NUL."""
    return "\0" not in command and len(command.encode(errors="replace")) <= COMMAND_LIMIT_BYTES


def check_health_check(check: HealthCheck) -> None:
    """Raise Unprocessable for a check that cannot be carried out."""
    if check.type not in HEALTH_CHECK_TYPES:
        raise Unprocessable('Health check type must be "port", "process", or "http"')
    if check.endpoint is not None:
        if check.type != "http":
            raise Unprocessable('Health check type must be "http" to set a health check HTTP endpoint')
        if not ENDPOINT.fullmatch(check.endpoint):
            raise Unprocessable("Health check endpoint must be a valid URI path")
    for name, value in (
        ("timeout", check.timeout_s),
        ("invocation timeout", check.invocation_timeout_s),
        ("interval", check.interval_s),
    ):
        if value is not None and not 1 <= value <= HEALTH_SECONDS_LIMIT:
            raise Unprocessable(
                f"Health check {name} must be greater than or equal to 1 and at most {HEALTH_SECONDS_LIMIT}"
            )


class RestartInstance(Arguments):
    """Arguments of `restart_instance`."""

    process_guid: str
    index: int
    actor: Actor


@operation("process.restart_instance", version=1)
def restart_instance(tx: Tx, args: RestartInstance) -> None:
    """Take one instance away; the scheduler places another. Raises NotFound."""
    process = tx.need(Process, args.process_guid)
    if not 0 <= args.index < process.instances:
        raise NotFound("Instance")
    for instance in tx.all(Instance, process_guid=process.guid, index=args.index):
        let_go(tx, instance)
    record_app_event(
        tx,
        "audit.app.process.terminate_instance",
        args.actor,
        tx.need(App, process.app_guid),
        {"process_guid": process.guid, "process_type": process.type, "process_index": args.index},
    )
