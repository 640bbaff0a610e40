"""After a restart: take over the containers that live, remove everything else that carries this node's mark."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import structlog
import trio

from paasd.sandbox.container import Container
from paasd.sandbox.network import Attachment
from paasd.sandbox.parts import Parts
from paasd.sandbox.processes import open_process, shims
from paasd.sandbox.records import SandboxError, decode_record
from paasd.sandbox.takedown import mount_layers, take_down

_POLL_S = 0.02
_TAKE_DOWN_AT_ONCE = 4


async def adopt(parts: Parts) -> dict[str, Container]:
    """The containers that are whole, by guid, each watched again. What is not whole is gone when this returns."""
    adopted: dict[str, Container] = {}
    attachments = parts.network.list()
    try:
        for guid in await trio.to_thread.run_sync(_recorded, parts):
            container = await trio.to_thread.run_sync(partial(_load, parts, guid, attachments))
            if container is not None and await _take_over(parts, container):
                adopted[guid] = container
        await _sweep(parts, adopted)
    except BaseException:
        # Watching is shielded from cancellation; without this a start that fails would never end.
        for container in adopted.values():
            container.release()
        raise
    return adopted


def _recorded(parts: Parts) -> list[str]:
    return sorted(path.name for path in parts.containers.iterdir())


def _load(parts: Parts, guid: str, attachments: dict[int, Attachment]) -> Container | None:
    """The container of this record, if all that it needs is still on the host and of this boot."""
    record = decode_record(parts.read_record(guid))
    if record is None:
        return None
    attachment = attachments.get(record.slot)
    disk = parts.disk_mounts / guid
    if not record.complete or record.boot != parts.boot or parts.slots.mine().get(guid) != record.slot:
        return None
    if attachment is None or not os.path.ismount(disk) or guid not in parts.cgroups.guids():
        return None
    return Container(parts, record, attachment, disk)


async def _take_over(parts: Parts, container: Container) -> bool:
    log = structlog.get_logger()
    try:
        await mount_layers(parts.images, container.record.layers)
    except Exception as error:  # noqa: BLE001 (a layer that cannot be had makes this one container worthless, not the node)
        log.warning("container not adopted", container=container.guid, reason=str(error))
        return False
    if container.record.run:
        facts = await _facts_of_run(container.run_directory, parts.config.start_timeout_s)
        container.hold(facts)
    log.info("container adopted", container=container.guid, running=container.running)
    return True


async def _facts_of_run(run_directory: Path, timeout_s: float) -> dict[str, Any]:
    """shim.json, complete. A shim that was starting when the daemon died is given the time to finish."""
    facts: dict[str, Any] = {}
    with trio.move_on_after(timeout_s):
        while True:
            facts = await trio.to_thread.run_sync(_read_facts, run_directory)
            if "pid1" in facts or not _starting(facts):
                break
            await trio.sleep(_POLL_S)
    return facts


def _read_facts(run_directory: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = msgspec.json.decode((run_directory / "shim.json").read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return facts


def _starting(facts: dict[str, Any]) -> bool:
    pidfd = open_process(facts["shim"], facts["shim_started"]) if facts else None
    if pidfd is None:
        return False
    os.close(pidfd)
    return True


async def _sweep(parts: Parts, adopted: dict[str, Container]) -> None:
    """Whatever carries our mark and belongs to no adopted container: found by every kind of trace that there is."""
    traces = await trio.to_thread.run_sync(_traces, parts)
    traces |= await parts.disks.leftovers()
    doomed = sorted(traces - set(adopted))
    limiter = trio.CapacityLimiter(_TAKE_DOWN_AT_ONCE)

    async def remove(guid: str) -> None:
        async with limiter:
            try:
                await take_down(parts, guid)
            except (SandboxError, OSError) as error:
                # Its slot stays taken and the next start tries again; the node can do without it.
                structlog.get_logger().error("leftover not removed", container=guid, reason=str(error))

    async with trio.open_nursery() as nursery:
        for guid in doomed:
            nursery.start_soon(remove, guid)
    slots = await parts.network.sweep({container.record.slot for container in adopted.values()})
    images = await parts.images.sweep()
    if doomed or slots:
        structlog.get_logger().warning("leftovers removed", containers=doomed, slots=sorted(slots), images=len(images))


def _traces(parts: Parts) -> set[str]:
    return {*_recorded(parts), *parts.cgroups.guids(), *parts.slots.mine(), *shims(parts.prefix).values()}
