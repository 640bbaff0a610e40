"""System calls that CPython 3.11 does not wrap. Errors are OSError with the kernel's errno and the given name."""

import contextlib
import ctypes
import os
import signal
import time

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_CLONE_INTO_CGROUP = 0x200000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE, MS_SLAVE = 0x4000, 0x40000, 0x80000
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_IDMAP = 0x1, 0x2, 0x4, 0x100000

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 15, 22, 24
PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 38, 36

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_CLOSE_RANGE_CLOEXEC = 4
_TFD_TIMER_ABSTIME, _TFD_NONBLOCK, _TFD_CLOEXEC = 1, os.O_NONBLOCK, os.O_CLOEXEC
# The kernel gives calls added after 2019 the same number everywhere; pivot_root is older.
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_CLONE3, _SYS_MOUNT_SETATTR = 428, 429, 435, 442
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}[os.uname().machine]
_SYS_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}[os.uname().machine]

# What is new goes behind all others that wake up, until it is known to take little (see sandbox/fairness.py).
LONG_TURN_NS = 20_000_000

_libc = ctypes.CDLL(None, use_errno=True)
# Calls through this one keep the interpreter's lock, so that a child has it too.
_locked_libc = ctypes.PyDLL(None, use_errno=True)
_before_fork, _after_fork_in_parent, _after_fork_in_child = (
    ctypes.pythonapi[name] for name in ("PyOS_BeforeFork", "PyOS_AfterFork_Parent", "PyOS_AfterFork_Child")
)


class _SchedAttr(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("policy", ctypes.c_uint32), ("flags", ctypes.c_uint64)]
    _fields_ += [("nice", ctypes.c_int32), ("priority", ctypes.c_uint32)]
    _fields_ += [(name, ctypes.c_uint64) for name in ("runtime_ns", "deadline_ns", "period_ns")]


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


class _FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def _check(result: int, name: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def fork_into(cgroup: str, flags: int = 0) -> int:
    """As os.fork, with the new namespaces of `flags`, and born in a v2 cgroup (a directory; "" for none).

    Only for a process with one thread: the handlers of the C library do not run.
    """
    cgroup_fd = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if cgroup else 0
    flags |= _CLONE_INTO_CGROUP if cgroup else 0
    arguments = (ctypes.c_uint64 * 11)(flags, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, cgroup_fd)
    _before_fork()
    pid: int = _locked_libc.syscall(_SYS_CLONE3, arguments, ctypes.c_size_t(ctypes.sizeof(arguments)))
    number = ctypes.get_errno()
    if pid == 0:
        _after_fork_in_child()
    else:
        _after_fork_in_parent()
    if cgroup:
        os.close(cgroup_fd)
    if pid < 0:
        raise OSError(number, os.strerror(number), "clone3")
    return pid


def enter_cgroups(files: list[str], processors: list[int] | None) -> None:
    """Move this process, which has one thread, by writing into `files`; it may run on `processors` as far as its
    cgroups allow, wherever the platform's own work has to be. None, of a daemon that knows no such thing, leaves it.
    """
    for name in files:
        fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"0")
        finally:
            os.close(fd)
    if processors:
        with contextlib.suppress(OSError):  # None of them is left.
            os.sched_setaffinity(0, processors)


def take_turns(turn_ns: int, thread: int = 0) -> None:
    """Let a thread, its own for 0, and all that it forks, run for so long before another one may have the processor.

    100,000 is the least. Kernels before 6.12 have one length for all and take no notice.
    """
    nice = os.getpriority(os.PRIO_PROCESS, thread)
    attr = _SchedAttr(ctypes.sizeof(_SchedAttr), os.sched_getscheduler(thread), 0, nice, 0, turn_ns)
    _check(_libc.syscall(_SYS_SCHED_SETATTR, thread, ctypes.byref(attr), 0), "sched_setattr")


def setns(fd: int, kind: int) -> None:
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, fstype: str | None, flags: int = 0, options: str | None = None) -> None:
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            fstype.encode() if fstype else None,
            ctypes.c_ulong(flags),
            os.fsencode(options) if options else None,
        ),
        f"mount {target}",
    )


def unmount(target: str, flags: int = 0) -> None:
    _check(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    _check(_libc.syscall(_SYS_PIVOT_ROOT, os.fsencode(new), os.fsencode(old)), "pivot_root")


def copy_tree(path: str) -> int:
    """A detached copy of the mount at `path` (not of those below it), as an fd for `attach`."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    return _check(_libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags), f"open_tree {path}")


def set_attributes(fd: int, attributes: int, userns_fd: int = 0) -> None:
    """Set MOUNT_ATTR_* on a detached copy and cut it off from what is mounted on the original later.

    With MOUNT_ATTR_IDMAP, EINVAL says that this file system cannot do it.
    """
    attr = _MountAttr(attributes, 0, MS_PRIVATE, userns_fd)
    size = ctypes.c_size_t(ctypes.sizeof(attr))
    call = _libc.syscall(_SYS_MOUNT_SETATTR, fd, b"", _AT_EMPTY_PATH, ctypes.byref(attr), size)
    _check(call, "mount_setattr")


def attach(fd: int, target: str) -> None:
    """Put a detached copy where processes of this mount namespace see it."""
    call = _libc.syscall(_SYS_MOVE_MOUNT, fd, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    _check(call, f"move_mount {target}")


def prctl(option: int, second: int = 0, third: int = 0) -> None:
    _check(
        _libc.prctl(option, ctypes.c_ulong(second), ctypes.c_ulong(third), ctypes.c_ulong(0), ctypes.c_ulong(0)),
        f"prctl {option}",
    )


def drop_capabilities(keep: int = 0) -> None:
    """Empty the inheritable set of this process, and the effective and permitted ones but for the mask `keep`."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(_libc.syscall(_SYS_CAPSET, header, (ctypes.c_uint32 * 6)(keep, keep)), "capset")


def install_filter(program: bytes) -> None:
    """Put this process under a seccomp filter (classic BPF, 8 bytes an instruction). Needs no_new_privs."""
    buffer = ctypes.create_string_buffer(program, len(program))
    head = _FilterProgram(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    call = _libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(head), ctypes.c_ulong(0), ctypes.c_ulong(0))
    _check(call, "seccomp")


def close_range(first: int, last: int = 2**32 - 1) -> None:
    _check(_libc.close_range(ctypes.c_uint(first), ctypes.c_uint(last), 0), "close_range")


def close_all_but(*kept: int) -> None:
    first = 0
    for fd in sorted(kept):
        if fd > first:
            close_range(first, fd - 1)
        first = fd + 1
    close_range(first)


def close_on_exec(first: int) -> None:
    """Let no descriptor from `first` on reach a program that is executed."""
    _check(_libc.close_range(ctypes.c_uint(first), ctypes.c_uint(2**32 - 1), _CLOSE_RANGE_CLOEXEC), "close_range")


def set_title(title: str) -> None:
    """Show `title` in /proc/PID/cmdline and, shortened, as the name of the process.

    A forked process would else go on showing the command line of the zygote, with its paths, to the tenant. The kernel
    says where the arguments lie (arg_start and arg_end in /proc/self/stat); they are overwritten in place.
    """
    prctl_name = ctypes.create_string_buffer(title.encode()[:15])
    _libc.prctl(PR_SET_NAME, prctl_name, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    with open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    size = end - start
    if size <= 1:
        return
    ctypes.memmove(start, title.encode()[: size - 1].ljust(size, b"\0"), size)


class _TimerSpec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")]


def boot_timer() -> int:
    """A timer, as an fd, on the clock that also runs while the machine is suspended."""
    return _check(_libc.timerfd_create(time.CLOCK_BOOTTIME, _TFD_NONBLOCK | _TFD_CLOEXEC), "timerfd_create")


def set_boot_timer(fd: int, at_s: float | None) -> None:
    """Make the timer's fd readable at this boot time, at once when that is over; None never."""
    # All zero would switch it off.
    ns = 0 if at_s is None else max(1, int(at_s * 1e9))
    spec = _TimerSpec(0, 0, ns // 10**9, ns % 10**9)
    _check(_libc.timerfd_settime(fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None), "timerfd_settime")
