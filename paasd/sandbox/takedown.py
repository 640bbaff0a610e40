"""Removing a container, whole or half-made, by what is left of it on the host. Every step may be repeated."""

import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import msgspec
import trio

from paasd.sandbox.disk import Images
from paasd.sandbox.parts import Parts
from paasd.sandbox.records import SandboxError, decode_record, encode_record

_RETRY_S = 0.01


async def mount_layers(images: Images, layers: Iterable[Path]) -> None:
    """Count one user more of each layer, or of none when one of them cannot be mounted."""
    mounted: list[Path] = []
    try:
        for layer in layers:
            await images.mount_layer(layer)
            mounted.append(layer)
    except BaseException:
        with trio.CancelScope(shield=True):
            for layer in mounted:
                await images.release(layer)
        raise


async def take_down(parts: Parts, guid: str, *, watched: bool = False) -> None:
    """Remove processes, network, disk, cgroups, files and the slot, in the order in which they depend on each other.

    `watched`: the caller has seen its processes end. Layers are for the caller to give back. The slot goes last: its
    uids must not get a new owner while anything of the old one is left. Raises SandboxError when something does not go.
    """
    await trio.to_thread.run_sync(partial(_mark_incomplete, parts, guid))
    if not watched or parts.cgroups.pids(guid):
        # Looking through all processes of the host is for what nobody has watched.
        try:
            await trio.to_thread.run_sync(parts.kill_remains, guid)
        except TimeoutError as error:
            raise SandboxError(str(error)) from error
    slot = (await trio.to_thread.run_sync(parts.slots.mine)).get(guid)
    if slot is not None:
        await parts.network.detach(slot)
    await parts.disks.destroy(guid)
    await _remove_cgroups(parts, guid)
    await trio.to_thread.run_sync(partial(shutil.rmtree, parts.directory_of(guid), ignore_errors=True))
    await trio.to_thread.run_sync(parts.slots.give_back, guid)


def _mark_incomplete(parts: Parts, guid: str) -> None:
    """From here on nobody adopts it: a daemon that dies half-way leaves the rest to the next sweep."""
    record = decode_record(parts.read_record(guid))
    if record is None:
        return
    try:
        parts.write_record(guid, encode_record(msgspec.structs.replace(record, complete=False)))
    except OSError:
        parts.drop_record(guid)  # no space: without a record nobody adopts it either


async def _remove_cgroups(parts: Parts, guid: str) -> None:
    """The kernel lets go of a cgroup a moment after its last process; there is nothing to wait on but time."""
    with trio.move_on_after(parts.config.kill_timeout_s):
        while not await trio.to_thread.run_sync(parts.cgroups.remove, guid):  # noqa: ASYNC110
            await trio.sleep(_RETRY_S)
        return
    raise SandboxError(f"the cgroup of container {guid} cannot be removed: something is still inside")
