"""Clients of an app as a process of their own: so many requests a second over TLS, each one timed and written down.

    python -m tests.hostile.clients PORT HOST AUTHORITY RATE FILE

Each line of the file is when a request was sent (the monotonic clock, in seconds), how long it took, and its status or
error. Clients are elsewhere in truth: on this machine they come before those whom they measure.
"""

import http.client
import itertools
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

CONNECTIONS = 16


class Request(NamedTuple):
    """One line."""

    sent_at: float
    took_s: float
    answer: str


class Clients:
    """Connections that take turns, so that a slow answer holds up one of them alone."""

    def __init__(self, port: int, host: str, authority: str, rate_per_s: float, file: Path) -> None:
        self._port, self._host = port, host
        self._context = ssl.create_default_context(cafile=authority)
        self._began, self._period_s = time.monotonic() + 0.1, 1 / rate_per_s
        self._numbers = itertools.count()
        self._file = file.open("w", buffering=1)

    def run(self) -> None:
        """One connection, for ever."""
        connection: http.client.HTTPSConnection | None = None
        while True:
            due = self._began + next(self._numbers) * self._period_s
            time.sleep(max(0.0, due - time.monotonic()))
            began = time.monotonic()
            try:
                if connection is None:
                    connection = self._connected()
                connection.request("GET", "/", headers={"Host": self._host})
                response = connection.getresponse()
                response.read()
                answer = str(response.status)
            except (OSError, http.client.HTTPException) as error:
                answer, connection = type(error).__name__, None
            self._file.write(f"{began:.6f} {time.monotonic() - began:.6f} {answer}\n")

    def _connected(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(self._host, timeout=20, context=self._context)
        plain = socket.create_connection(("127.0.0.1", self._port), 20)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sock = self._context.wrap_socket(plain, server_hostname=self._host)
        return connection


@contextmanager
def clients(port: int, host: str, authority: Path, rate_per_s: float, file: Path) -> Iterator[None]:
    """The process, until the block ends."""
    file.touch()
    words = [str(port), host, str(authority), str(rate_per_s), str(file)]
    with subprocess.Popen([sys.executable, "-m", "tests.hostile.clients", *words], start_new_session=True) as process:
        try:
            yield
        finally:
            process.terminate()


def read(file: Path, since: float = 0.0, until: float = float("inf")) -> list[Request]:
    """What was sent in that time and is answered."""
    found = []
    for line in file.read_text().splitlines():
        words = line.split()
        if len(words) == 3 and since <= float(words[0]) < until:
            found.append(Request(float(words[0]), float(words[1]), words[2]))
    return found


if __name__ == "__main__":
    os.nice(-10)
    # Where the kernel shares the processor out to sessions first, those have a priority too.
    if (session := Path("/proc/self/autogroup")).exists():
        session.write_text("-10")
    made = Clients(int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]), Path(sys.argv[5]))
    for _ in range(CONNECTIONS):
        threading.Thread(target=made.run, daemon=True).start()
    threading.Event().wait()
