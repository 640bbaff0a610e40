"""The spool: a container's output in segment files, which stay on disk when the daemon is gone.

A directory of `%016d.seg`. A record is a header (time in ns, stream, payload length) and the payload. The reader
deletes segments it has consumed, which makes room. Without room new output is dropped, counted, and told as a record
of its own once there is room again: the tenant is hardly held up, and no loss is silent.
"""

import os
import struct
import time

HEADER = struct.Struct("<QBxxxI")
OUT, ERR, LOST = 1, 2, 3
SEGMENT_LIMIT_BYTES = 1024 * 1024
_SUFFIX = ".seg"
_LOST_RECORD_BYTES = HEADER.size + 8
# A flood of output must not cost the node more than it costs the tenant. After each block that is dropped, which is a
# pipe full at most, so 200 MB/s can still be dropped:
_PAUSE_S = 0.0002
# A full spool is looked at no more often than this:
_LOOK_AGAIN_S = 0.02


class SpoolWriter:
    """Appends records below a total size. One writer per directory; each writer starts a new segment."""

    def __init__(self, directory: str, limit_bytes: int) -> None:
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._limit_bytes = max(limit_bytes, 4 * _LOST_RECORD_BYTES)
        self._segment_limit_bytes = min(SEGMENT_LIMIT_BYTES, max(self._limit_bytes // 4, 2 * _LOST_RECORD_BYTES))
        names = [name for name in os.listdir(self._directory) if name.endswith(_SUFFIX)]
        # The reader may have deleted every segment; numbers must still go up, so the last one is kept in a file.
        self._last = os.open("last", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self._directory)
        recorded = int(os.pread(self._last, 32, 0) or b"0")
        self._number = max((int(name[: -len(_SUFFIX)]) for name in names), default=recorded)
        self._number = max(self._number, recorded)
        self._fd = -1
        self._segment_bytes = 0
        self._total_bytes = self._measure()
        self._lost_bytes = 0
        self._look_at = 0.0

    def write(self, stream: int, payload: bytes) -> None:
        size = HEADER.size + len(payload)
        if not self._room_for(size + (_LOST_RECORD_BYTES if self._lost_bytes else 0)):
            self._lost_bytes += len(payload)
            time.sleep(_PAUSE_S)
            return
        if self._lost_bytes:
            self._tell_loss()
        if not self._append(stream, payload):
            self._lost_bytes += len(payload)

    def close(self) -> None:
        """The loss at the very end is told as well: a lost record may exceed the limit by its own few bytes."""
        if self._lost_bytes:
            self._tell_loss()
        if self._fd >= 0:
            os.close(self._fd)
        os.close(self._last)
        os.close(self._directory)

    def _tell_loss(self) -> None:
        if self._append(LOST, struct.pack("<Q", self._lost_bytes)):
            self._lost_bytes = 0

    def _room_for(self, size: int) -> bool:
        if self._total_bytes + size <= self._limit_bytes:
            return True
        if (now := time.monotonic()) < self._look_at:
            return False
        self._look_at = now + _LOOK_AGAIN_S
        self._total_bytes = self._measure()
        return self._total_bytes + size <= self._limit_bytes

    def _measure(self) -> int:
        total = 0
        for name in os.listdir(self._directory):
            if name.endswith(_SUFFIX):
                try:
                    total += os.stat(name, dir_fd=self._directory).st_size
                except FileNotFoundError:
                    continue  # The reader has just consumed it.
        return total

    def _append(self, stream: int, payload: bytes) -> bool:
        """One record by one write. False when the host's disk is full: nothing of the record is left then."""
        size = HEADER.size + len(payload)
        try:
            if self._fd < 0 or self._segment_bytes + size > self._segment_limit_bytes:
                self._open_next()
            record = HEADER.pack(time.time_ns(), stream, len(payload)) + payload
            if os.write(self._fd, record) != size:
                os.ftruncate(self._fd, self._segment_bytes)
                return False
        except OSError:
            return False
        self._segment_bytes += size
        self._total_bytes += size
        return True

    def _open_next(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(f"{self._number + 1:016d}{_SUFFIX}", flags, 0o600, dir_fd=self._directory)
        self._number += 1
        os.pwrite(self._last, b"%016d" % self._number, 0)
        self._segment_bytes = 0
