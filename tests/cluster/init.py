"""Pid 1 of a test host: starts the daemon, signals it or everything, and reaps. A program, standard library only.

Commands come as lines on standard input: `start ARGV` (JSON), `signal NUMBER` to the daemon, `all NUMBER` to every
process of the host but this one. Each is answered by a line. When this process is killed, the kernel kills the host.
"""

import ctypes
import json
import os
import select
import signal
import sys


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


def main() -> None:
    """Until standard input ends."""
    log = sys.argv[1]
    forget_resolvers()
    daemon = 0
    wake_in, wake_out = os.pipe()
    os.set_blocking(wake_out, False)
    signal.set_wakeup_fd(wake_out)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    lines = sys.stdin.buffer.raw
    while True:
        ready, _, _ = select.select([lines, wake_in], [], [])
        if wake_in in ready:
            os.read(wake_in, 4096)
            daemon = reap(daemon)
        if lines not in ready:
            continue
        words = lines.readline().decode().split(maxsplit=1)
        if not words:
            return
        daemon = reap(daemon)
        if words[0] == "start":
            daemon = start(json.loads(words[1]), log)
        elif words[0] == "signal" and daemon:
            os.kill(daemon, int(words[1]))
        elif words[0] == "all":
            os.kill(-1, int(words[1]))
        print(daemon, flush=True)


if __name__ == "__main__":
    main()
