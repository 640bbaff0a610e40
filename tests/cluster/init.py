"""Pid 1 of a test host: starts the daemon, signals it or everything, and reaps. A program, standard library only.

Commands come as lines on standard input: `start ARGV` (JSON), `keep ARGV` to start it again whenever it ends, as its
unit does, `signal NUMBER` to the daemon, `all NUMBER` to every process of the host but this one, `named NAME` to kill
the processes of a program. Each is answered by a line, with the daemon's pid; the last one with how many it killed.
When this process is killed, the kernel kills the host.
"""

import ctypes
import json
import os
import select
import signal
import sys
from pathlib import Path

RESTART_S = 0.5  # RestartSec of contrib/systemd/paasd.service


def forget_resolvers() -> None:
    """There is no name service on these hosts: look-ups fail at once instead of after ten seconds."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"/dev/null", b"/etc/resolv.conf", None, 4096, None) != 0:  # MS_BIND, in this host's own namespace
        raise OSError(ctypes.get_errno(), "mount")


def start(argv: list[str], log: str) -> int:
    """The daemon, with its output appended to `log`."""
    pid = os.fork()
    if pid == 0:
        out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        null = os.open("/dev/null", os.O_RDONLY)
        for target, source in ((0, null), (1, out), (2, out)):
            os.dup2(source, target)
        os.setsid()
        os.execv(argv[0], argv)
    return pid


def reap(daemon: int) -> int:
    """Collect who ended; 0 when the daemon is among them."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if pid == 0:
            return daemon
        if pid == daemon:
            daemon = 0


def kill_named(name: str) -> int:
    """How many processes of this host had that name and are killed."""
    count = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "comm").read_text().strip() == name:
                os.kill(int(entry.name), signal.SIGKILL)
                count += 1
        except (FileNotFoundError, ProcessLookupError):
            continue
    return count


def main() -> None:
    """Until standard input ends."""
    log = sys.argv[1]
    forget_resolvers()
    daemon, kept = 0, list[str]()
    wake_in, wake_out = os.pipe()
    os.set_blocking(wake_out, False)
    signal.set_wakeup_fd(wake_out)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    lines = sys.stdin.buffer.raw
    while True:
        ready, _, _ = select.select([lines, wake_in], [], [], RESTART_S if kept and not daemon else None)
        if not ready and kept and not daemon:
            daemon = start(kept, log)
        if wake_in in ready:
            os.read(wake_in, 4096)
            daemon = reap(daemon)
        if lines not in ready:
            continue
        words = lines.readline().decode().split(maxsplit=1)
        if not words:
            return
        daemon = reap(daemon)
        if words[0] in ("start", "keep"):
            argv = json.loads(words[1])
            daemon, kept = start(argv, log), argv if words[0] == "keep" else []
        elif words[0] == "named":
            print(kill_named(words[1].strip()), flush=True)
            continue
        elif words[0] == "signal" and daemon:
            os.kill(daemon, int(words[1]))
        elif words[0] == "all":
            os.kill(-1, int(words[1]))
        print(daemon, flush=True)


if __name__ == "__main__":
    main()
