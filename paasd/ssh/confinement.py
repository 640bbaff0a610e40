"""The system calls of the process that speaks ssh: a tenant's, without those that it has no use for."""

import errno
import os
from typing import Final

import pyseccomp

from paasd.sandbox.seccomp import ALLOWED, known_calls

USELESS: Final = frozenset(
    """
bind chdir chmod chown connect creat execve execveat fchmod fchmodat fchown fchownat fork ftruncate inotify_add_watch
inotify_init inotify_init1 kill lchown link linkat listen mkdir mkdirat mknod mknodat pidfd_send_signal ptrace rename
renameat renameat2 rmdir setpgid setsid socket symlink symlinkat tgkill tkill truncate unlink unlinkat vfork
""".split()  # noqa: SIM905 (a paragraph of names, not a column)
)
_CLONE_THREAD: Final = 0x10000


def build_filter() -> bytes:
    """Classic BPF. It can start no program, make no socket, and change no file; what it has open it may use."""
    policy = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(errno.EPERM))
    for name in sorted((set(ALLOWED) & known_calls()) - USELESS):
        policy.add_rule(pyseccomp.ALLOW, name)
    policy.add_rule(pyseccomp.ALLOW, "ioctl")
    policy.add_rule(pyseccomp.ALLOW, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
    policy.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    memory = os.memfd_create("filter", os.MFD_CLOEXEC)
    with os.fdopen(memory, "w+b") as file:
        policy.export_bpf(file)
        file.seek(0)
        return file.read()
