"""The system calls that a tenant may make, compiled once to a BPF program for the launcher.

An allow list. A call that libseccomp knows and the list does not answers EPERM; one that it does not know (newer than
it) answers ENOSYS, so that programs fall back. clone3 hides its flags from the filter, so it answers ENOSYS too: the C
library then uses clone, whose flags are checked.
"""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyseccomp

ALLOWED: Final = tuple(
    """
accept accept4 access alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_getres clock_gettime
clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl
epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group
faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr
flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv
futex_wake futimesat get_mempolicy get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid geteuid
getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid
getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit ioprio_get ioprio_set
kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr
llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier memfd_create mincore mkdir mkdirat
mknod mknodat mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink
mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap nanosleep newfstatat open openat openat2 pause
pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2
prlimit64 pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmsg
remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
semtimedop send sendfile sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid setfsuid
setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid
setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 splice stat statfs statx symlink
symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat utime
utimensat utimes vfork vmsplice wait4 waitid waitpid write writev
""".split()  # noqa: SIM905 (a paragraph of names, not a column)
)

_MULTIPATH: Final = (socket.IPPROTO_MPTCP,) if Path("/proc/sys/net/mptcp").exists() else ()
_INTERNET: Final[dict[int, tuple[int, ...]]] = {
    socket.SOCK_STREAM: (0, socket.IPPROTO_TCP, *_MULTIPATH),
    socket.SOCK_DGRAM: (0, socket.IPPROTO_UDP),
}
"""Types and protocols that are always in the kernel. By asking for another one anybody can make it load a module."""
_TYPE: Final = 0xF
"""The other bits of a socket's type are SOCK_NONBLOCK and SOCK_CLOEXEC."""
_PROTOCOLS: Final = 1 << 9
"""Above all that the kernel knows; itself and higher ones it refuses without looking for a module."""
_NEW_NAMESPACES: Final = 0x7E020080
"""CLONE_NEW* of every kind, the time namespace's bit included."""
_TERMINAL_INJECTION: Final = (0x5412, 0x541C)
"""TIOCSTI types into the terminal of whoever looks; TIOCLINUX does the same on a console."""
_BRIDGES_AND_VLANS: Final = (0x8940, 0x8941, 0x8982, 0x8983, 0x89A0, 0x89A1)
"""SIOC?IFBR, SIOC?IFVLAN, SIOCBR???BR: asked of any socket, they load a module before the kernel looks at rights."""
_LOW_WORD: Final = 0xFFFFFFFF
_WHOLE: Final = 0xFFFFFFFFFFFFFFFF
_HIGHEST_NUMBER: Final = 600


def build_filter() -> pyseccomp.SyscallFilter:
    """The whole policy. Takes a few milliseconds."""
    refuse = pyseccomp.ERRNO(errno.EPERM)
    policy = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(errno.ENOSYS))
    special = {"socket", "socketpair", "clone", "clone3", "ioctl", "personality"}
    known = known_calls()
    for name in ALLOWED:
        if name in known:
            policy.add_rule(pyseccomp.ALLOW, name)
    for name in sorted(known - set(ALLOWED) - special):
        policy.add_rule(refuse, name)
    policy.add_rule(pyseccomp.ALLOW, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _NEW_NAMESPACES, 0))
    _refuse_namespaces(policy, refuse)
    _allow_sockets(policy, refuse)
    _allow_ioctl(policy, refuse)
    # Setting the personality to plain Linux, or asking for it, is harmless; turning off randomisation is not.
    for value in (0, _LOW_WORD):
        policy.add_rule(pyseccomp.ALLOW, "personality", pyseccomp.Arg(0, pyseccomp.EQ, value))
    return policy


def write_filter(path: Path) -> None:
    """Compile the policy to `path` (0600), replacing what is there."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        build_filter().export_bpf(file)
    fresh.rename(path)


def _refuse_namespaces(policy: pyseccomp.SyscallFilter, refuse: int) -> None:
    bit = 1
    while bit <= _NEW_NAMESPACES:
        if bit & _NEW_NAMESPACES:
            policy.add_rule(refuse, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, bit, bit))
        bit <<= 1


def _allow_sockets(policy: pyseccomp.SyscallFilter, refuse: int) -> None:
    """Unix, TCP, UDP, and of netlink only the protocol that lists interfaces and routes (getifaddrs needs it)."""
    for family in range(64):
        match = pyseccomp.Arg(0, pyseccomp.EQ, family)
        if family == socket.AF_UNIX:
            policy.add_rule(pyseccomp.ALLOW, "socket", match)
        elif family in (socket.AF_INET, socket.AF_INET6):
            _allow_internet(policy, refuse, match)
        elif family == socket.AF_NETLINK:
            policy.add_rule(pyseccomp.ALLOW, "socket", match, pyseccomp.Arg(2, pyseccomp.EQ, socket.NETLINK_ROUTE))
            policy.add_rule(refuse, "socket", match, pyseccomp.Arg(2, pyseccomp.NE, socket.NETLINK_ROUTE))
        else:
            policy.add_rule(refuse, "socket", match)
    # The kernel makes the sockets of a pair, modules and all, before it finds that their family has no pairs.
    policy.add_rule(pyseccomp.ALLOW, "socketpair", pyseccomp.Arg(0, pyseccomp.EQ, socket.AF_UNIX))
    policy.add_rule(refuse, "socketpair", pyseccomp.Arg(0, pyseccomp.NE, socket.AF_UNIX))


def _allow_internet(policy: pyseccomp.SyscallFilter, refuse: int, family: pyseccomp.Arg) -> None:
    for kind in range(_TYPE + 1):
        matches = (family, pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _TYPE, kind))
        if kind not in _INTERNET:
            policy.add_rule(refuse, "socket", *matches)
            continue
        allowed = _INTERNET[kind]
        for protocol in allowed:
            policy.add_rule(pyseccomp.ALLOW, "socket", *matches, pyseccomp.Arg(2, pyseccomp.EQ, protocol))
        for first, size in _blocks_without(allowed, 0, _PROTOCOLS):
            block = pyseccomp.Arg(2, pyseccomp.MASKED_EQ, _WHOLE ^ (size - 1), first)
            policy.add_rule(refuse, "socket", *matches, block)
        policy.add_rule(refuse, "socket", *matches, pyseccomp.Arg(2, pyseccomp.GE, _PROTOCOLS))


def _blocks_without(allowed: tuple[int, ...], first: int, size: int) -> Iterator[tuple[int, int]]:
    """What is left of so many numbers from `first` on, in blocks of powers of two: one rule cannot name several."""
    if not any(first <= one < first + size for one in allowed):
        yield first, size
    elif size > 1:
        yield from _blocks_without(allowed, first, size // 2)
        yield from _blocks_without(allowed, first + size // 2, size // 2)


def _allow_ioctl(policy: pyseccomp.SyscallFilter, refuse: int) -> None:
    """Every request but the refused. The kernel looks at the low 32 bits only, while the filter sees 64."""
    refused = (*_TERMINAL_INJECTION, *_BRIDGES_AND_VLANS)
    for request in refused:
        policy.add_rule(refuse, "ioctl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _LOW_WORD, request))
    for first, size in _blocks_without(refused, 0, 1 << 32):
        block = pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _LOW_WORD ^ (size - 1), first)
        policy.add_rule(pyseccomp.ALLOW, "ioctl", block)


def known_calls() -> set[str]:
    """Every call of this architecture that libseccomp can name."""
    names: set[str] = set()
    for number in range(_HIGHEST_NUMBER):
        try:
            name = pyseccomp.resolve_syscall(pyseccomp.system_arch(), number)
        except (OSError, ValueError):
            continue
        if name:
            names.add(name.decode() if isinstance(name, bytes) else name)
    return names
