"""The end of a lease, held by the shim: whatever has become of the daemon, what must not run on does not.

The daemon sends datagrams of JSON to `deadline.sock`: `{"deadline": s}`, in seconds of the clock that counts from boot,
suspension included; null takes it away. Nothing is answered: a message that gets lost costs an early end, never a late.
"""

import contextlib
import json
import os
import socket
import time

from . import syscalls as sys_

SOCKET = "deadline.sock"
_MESSAGE_LIMIT_BYTES = 256


def check_time_left(at_s: float | None) -> None:
    """Call right before the program runs. Raises OSError when the end has come already.

    The machine may have stood still since somebody with a lease asked for the start.
    """
    if at_s is not None and time.clock_gettime(time.CLOCK_BOOTTIME) >= at_s:
        raise OSError("the lease under which it was to run has ended")


class Deadline:
    """Made while the working directory is the run directory, whose path may be too long for a socket address."""

    def __init__(self, at_s: float | None) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(SOCKET)
        self.timer = sys_.boot_timer()
        self.passed = False
        sys_.set_boot_timer(self.timer, at_s)

    @property
    def messages(self) -> int:
        """The fd on which new deadlines come."""
        return self._socket.fileno()

    def take(self) -> None:
        """Take the newest message; what is not understood changes nothing."""
        with contextlib.suppress(BlockingIOError):
            while True:
                message = self._socket.recv(_MESSAGE_LIMIT_BYTES)
                with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError):
                    at_s = json.loads(message)["deadline"]
                    sys_.set_boot_timer(self.timer, None if at_s is None else float(at_s))
