"""Giving up every right: another user, no capabilities, nothing new by exec, and few system calls."""

import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
_LAST_CAPABILITY = 63
_OPEN_FILES = 16384


class _FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def give_up(uid: int, memory_limit_bytes: int) -> None:
    """Become `uid` for good, when this process is root and it is not 0. What is imported later may be out of reach."""
    libc = ctypes.CDLL(None, use_errno=True)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = min(hard, _OPEN_FILES) if hard != resource.RLIM_INFINITY else _OPEN_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_limit_bytes, memory_limit_bytes))
    os.chdir("/")
    if os.geteuid() == 0 and uid:
        for capability in range(_LAST_CAPABILITY + 1):
            if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                break  # the first number that this kernel does not know
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)  # takes all capabilities along
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    # The host key is in its memory.
    _prctl(libc, _PR_SET_DUMPABLE, 0)
    # After the change of user, which takes it back.
    _prctl(libc, _PR_SET_PDEATHSIG, signal.SIGKILL)


def confine(program: bytes) -> None:
    """From now on only the system calls that a seccomp filter (classic BPF) lets through; for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(program, len(program))
    head = _FilterProgram(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(head), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    if libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")
