"""Wakes the reader of a directory when the kernel says that something was written there. An optimisation of polling:
a missed event costs one poll period, so a full queue or a lacking watch is never an error.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

_EVENT = struct.Struct("iIII")
_MODIFY_CREATE = 0x2 | 0x100
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC


class Inotify:
    """One kernel queue for all watched directories; `run` distributes its events until cancelled."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = int(self._libc.inotify_init1(_NONBLOCK_CLOEXEC))
        self._events: dict[int, trio.Event] = {}

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @contextmanager
    def watching(self, directory: Path) -> Iterator[int]:
        """The handle to `wait` with; -1 when the kernel has no watch left, and then `wait` only polls."""
        handle = -1
        if self._descriptor >= 0:
            handle = self._libc.inotify_add_watch(self._descriptor, os.fsencode(directory), _MODIFY_CREATE)
        try:
            yield handle
        finally:
            self._events.pop(handle, None)
            if handle >= 0 and self._descriptor >= 0:
                self._libc.inotify_rm_watch(self._descriptor, handle)

    def armed(self, handle: int) -> trio.Event:
        """Set at the next event. Arm first, then read the directory, then wait: nothing falls between."""
        event = self._events.get(handle)
        if event is None or event.is_set():
            event = self._events[handle] = trio.Event()
        return event

    async def run(self) -> None:
        if self._descriptor < 0:
            return
        while True:
            await trio.lowlevel.wait_readable(self._descriptor)
            try:
                data = os.read(self._descriptor, 64 * 1024)
            except BlockingIOError:
                continue
            offset = 0
            while offset < len(data):
                handle, _mask, _cookie, length = _EVENT.unpack_from(data, offset)
                offset += _EVENT.size + length
                event = self._events.pop(handle, None)
                if event is not None:
                    event.set()
