"""A node's place on this host for one test: a data directory, a table of slots, and what must be gone afterwards."""

import ctypes
import os
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from paasd.config import SandboxConfig
from paasd.sandbox import (
    Container,
    ContainerSpec,
    Exit,
    Inventory,
    Limits,
    ProcessSpec,
    Sandbox,
    node_prefix,
    open_sandbox,
    take_inventory,
)
from paasd.sandbox.launcher.spool import HEADER

MIB = 1024 * 1024
SMALL = Limits(memory_bytes=128 * MIB, disk_bytes=32 * MIB, inodes=1000, pids=64, open_files=256)


class Place(msgspec.Struct, frozen=True):
    data: Path
    slots: Path

    @property
    def prefix(self) -> str:
        return node_prefix(self.data)

    def inventory(self) -> Inventory:
        return take_inventory(self.data, self.prefix, self.slots)

    def leftovers(self) -> dict[str, list[str]]:
        """What is on the host of this node, by kind; nothing when all is well and no node runs."""
        found = msgspec.structs.asdict(self.inventory())
        found.pop("descriptors")
        return {kind: sorted(names) for kind, names in found.items() if names}

    @asynccontextmanager
    async def open(self, keep: bool = False, **options: Any) -> AsyncIterator[Sandbox]:
        async with AsyncExitStack() as stack:
            config = SandboxConfig(**options)
            yield await stack.enter_async_context(open_sandbox(config, self.data, keep=keep, slots=self.slots))


def spec(guid: str, **changes: Any) -> ContainerSpec:
    return ContainerSpec(**{"guid": guid, "limits": SMALL, **changes})


def shell(text: str, **changes: Any) -> ProcessSpec:
    return ProcessSpec(**{"argv": ("/bin/sh", "-c", text), "cwd": "/", **changes})


def python(text: str) -> ProcessSpec:
    return ProcessSpec(argv=("/usr/bin/python3", "-c", text), cwd="/")


async def run(container: Container, process: ProcessSpec) -> tuple[Exit, str]:
    """Start, wait, and give the exit and all output so far."""
    await container.start(process)
    ended = await container.wait()
    return ended, output(container.spool)


def records(spool: Path) -> list[tuple[int, int, bytes]]:
    """(time, stream, payload) of everything in a spool; fails on a torn record."""
    found = []
    for segment in sorted(spool.glob("*.seg")):
        data, position = segment.read_bytes(), 0
        while position < len(data):
            at, stream, length = HEADER.unpack_from(data, position)
            position += HEADER.size
            assert position + length <= len(data), f"torn record in {segment.name}"
            found.append((at, stream, data[position : position + length]))
            position += length
    return found


def output(spool: Path) -> str:
    return b"".join(payload for _at, stream, payload in records(spool) if stream in (1, 2)).decode()


def lost_bytes(spool: Path) -> int:
    return sum(struct.unpack("<Q", payload)[0] for _at, stream, payload in records(spool) if stream == 3)


def turn_ns(pid: int) -> int:
    """How long a thread may run at a time; 0 before Linux 6.12, where all have one length."""
    buffer = ctypes.create_string_buffer(48)
    number = {"x86_64": 315, "aarch64": 275}[os.uname().machine]
    assert ctypes.CDLL(None).syscall(number, pid, buffer, 48, 0) == 0
    return int(struct.unpack("IIQiIQQQ", buffer.raw)[5])
