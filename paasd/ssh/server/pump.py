"""Bytes between an ssh channel and descriptors, never more at a time than either side takes."""

import asyncio
import os
import socket
import stat
from collections.abc import Callable

_READ_BYTES = 32 * 1024
_END_OF_TRANSMISSION = b"\x04"


class Reader:
    """What comes out of a descriptor, as long as it is not paused. Owns the descriptor."""

    def __init__(self, fd: int, data: Callable[[bytes], None], end: Callable[[], None]) -> None:
        self.over = False
        self.seen = 0
        self._fd = fd
        self._data = data
        self._end = end
        self._paused = True
        os.set_blocking(fd, False)

    def resume(self) -> None:
        if self._paused and not self.over:
            self._paused = False
            asyncio.get_running_loop().add_reader(self._fd, self._readable)

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            asyncio.get_running_loop().remove_reader(self._fd)

    @property
    def paused(self) -> bool:
        return self._paused

    def close(self) -> None:
        self.pause()
        if not self.over:
            self.over = True
            os.close(self._fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a terminal that nobody has open any more, a connection that was reset
        if data:
            self.seen += len(data)
            self._data(data)
            return
        self.close()
        self._end()


class Writer:
    """What goes into a descriptor. `full` and `drained` hold back who sends. Owns the descriptor."""

    def __init__(self, fd: int, full: Callable[[], None], drained: Callable[[], None]) -> None:
        self.over = False
        self._fd = fd
        self._full = full
        self._drained = drained
        self._left = bytearray()
        self._ending = False
        os.set_blocking(fd, False)

    @property
    def waits(self) -> bool:
        """Whether there is more than the other side takes at the moment."""
        return bool(self._left)

    @property
    def done(self) -> bool:
        """Whether all that there will ever be has been written, or nobody wants it."""
        return self.over or (self._ending and not self._left)

    def write(self, data: bytes) -> None:
        """Data for who has closed its end goes nowhere."""
        if self.over or self._ending:
            return
        if self._left:
            self._left += data
            return
        rest = self._write(data)
        if rest and not self.over:
            self._left += rest
            self._full()
            asyncio.get_running_loop().add_writer(self._fd, self._writable)

    def finish(self) -> None:
        """No more will come; say so to the other side when all is written."""
        if not self.over and not self._ending:
            self._ending = True
            if not self._left:
                self._say_end()

    def close(self) -> None:
        if self._left:
            asyncio.get_running_loop().remove_writer(self._fd)
            self._left.clear()
        if not self.over:
            self.over = True
            os.close(self._fd)

    def _write(self, data: bytes | bytearray) -> bytes:
        try:
            return bytes(data[os.write(self._fd, data) :])
        except BlockingIOError:
            return bytes(data)
        except OSError:
            self.close()
            return b""

    def _writable(self) -> None:
        self._left = bytearray(self._write(self._left)) if not self.over else bytearray()
        if self._left:
            return
        if not self.over:
            asyncio.get_running_loop().remove_writer(self._fd)
            if self._ending:
                self._say_end()
        self._drained()

    def _say_end(self) -> None:
        if stat.S_ISSOCK(os.fstat(self._fd).st_mode):
            with socket.socket(fileno=os.dup(self._fd)) as end:
                try:
                    end.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # the other side has gone before
        elif os.isatty(self._fd):
            self._write(_END_OF_TRANSMISSION)
        else:
            self.close()
