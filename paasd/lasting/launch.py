"""Runs in the child between the daemon and a program that outlives it: joins cgroups, drops privileges, becomes it.

A program of its own (standard library only), because the daemon has threads and must not run Python between fork and
exec. Arguments: uid (-1 keeps the present one), comma-separated cgroup.procs files, comma-separated processors, a pid
with whose thread it is to die (0: it outlives it), binary, then the program's arguments.
"""

import contextlib
import ctypes
import os
import signal
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_NET_BIND_SERVICE = 10
_CAPABILITY_VERSION_3 = 0x20080522
_NICE = -10
_SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}[os.uname().machine]
_TURN_NS = 100_000


def _prctl(libc: ctypes.CDLL, *arguments: int) -> None:
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:5]]
    if libc.prctl(*padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl{arguments} failed")


def _become(uid: int) -> None:
    """Switch to `uid`, keeping the right to bind low ports and nothing else."""
    libc = ctypes.CDLL(None, use_errno=True)
    _prctl(libc, _PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    bit = 1 << _CAP_NET_BIND_SERVICE
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    data = struct.pack("IIIIII", bit, bit, bit, 0, 0, 0)
    if libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset failed")
    _prctl(libc, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_NET_BIND_SERVICE)
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)


def _come_first(processors: Iterable[int]) -> None:
    """Before tenants' processes, which wait for what runs here: it uses little, but at once."""
    # Not root, or a container that may not: everything works, and slower under load.
    refused = contextlib.suppress(OSError)
    with refused:
        # At times the daemon keeps to some of them, for the good of what runs here.
        os.sched_setaffinity(0, processors)
    with refused:
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    # With short turns (Linux 6.12, earlier ones take no notice) it also runs at once when it wakes up.
    attributes = struct.pack("IIQiIQQQ", 48, 0, 0, os.getpriority(os.PRIO_PROCESS, 0), 0, _TURN_NS, 0, 0)
    ctypes.CDLL(None, use_errno=True).syscall(_SYS_SCHED_SETATTR, 0, attributes, 0)
    # Where the kernel shares the processor out to sessions first, the priority within this one would mean nothing.
    session = Path("/proc/self/autogroup")
    with refused:
        if session.exists():
            session.write_text(str(_NICE))


def main() -> None:
    """Never returns; an error ends the process with its reason on standard error."""
    uid, cgroups, processors, parent, binary, *arguments = sys.argv[1:]
    for procs in filter(None, cgroups.split(",")):
        Path(procs).write_text(str(os.getpid()))
    _come_first(map(int, processors.split(",")))
    # Opened while still privileged: the binary may lie in a directory that the unprivileged user cannot enter.
    program = os.open(binary, os.O_RDONLY | os.O_CLOEXEC)
    if int(uid) >= 0:
        _become(int(uid))
    if int(parent):
        # After the change of user, which takes it back.
        _prctl(ctypes.CDLL(None, use_errno=True), _PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):
            sys.exit("the process that started this one is gone")
    os.execve(program, [binary, *arguments], {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})


if __name__ == "__main__":
    main()
