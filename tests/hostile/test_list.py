"""The list of attempts is whole: no number is left out, and the code of each of the first 54 names what it must try.

That an attempt comes to what it names is for its own positive controls to say; here only code counts, no comment.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from .pair import Attempt, attempts

pytestmark = pytest.mark.root

LISTED = {
    1: "fork EAGAIN neighbour",
    2: "bytearray memory neighbour",
    3: "/dev/shm ENOSPC",
    4: "mkdir ENOSPC",
    5: "posix_fallocate ENOSPC",
    6: "cpu_cores cpu_ns",
    7: "EMFILE RLIMIT_NOFILE",
    8: "setrlimit nice sched_setscheduler ioprio_set mlock",
    9: "flooded_s disk_write_bytes_per_s",
    10: "mount umount2 pivot_root fsopen open_tree move_mount",
    11: "unshare clone clone3 ENOSYS",
    12: "max_user_namespaces ENOSPC",
    13: "setns /proc/1/ns EACCES",
    14: "chroot setuid setgid capset",
    15: "mknod block char kmsg kvm vda net/tun mem",
    16: "su own-id NoNewPrivs nosuid",
    17: "security.capability",
    18: "ptrace process_vm_readv kill target=1",
    19: "environ root cwd fd",
    20: "pids cmdline",
    21: "core_pattern drop_caches sys/net sysrq-trigger oom_score_adj",
    22: "kcore kallsyms keys timer_list config.gz syslog",
    23: "keyctl add_key request_key",
    24: "bpf perf_event_open userfaultfd io_uring_setup open_by_handle_at kexec_load init_module reboot swapon "
    "settimeofday sethostname personality",
    25: "raw packet alg vsock xdp bluetooth netlink",
    26: "AF_UNIX ECONNREFUSED",
    27: "api.sock control.sock ENOENT",
    28: "packet arp",
    29: "forged IP_FREEBIND",
    30: "neighbour.address host_side",
    31: "doors.port https_port 169.254.169.254",
    32: "resolver_flows_limit flows_limit",
    33: "EACCES exhaust",
    34: "upload_mbit",
    35: "blobs root-key logs spool state.db SECRET",
    36: "x1b forged flood start-",
    37: "/usr/bin/env /dev/x /proc/x EROFS",
    38: "shared.txt original",
    39: "release_agent /sys",
    40: "0x5412 EPERM",
    41: "RLIMIT_CORE core_pattern",
    42: "setsid container.kill",
    43: "SIGTERM stop_grace_s",
    44: "os.write(1 os.write(2",
    45: "../ absolute SYMTYPE LNKTYPE CHRTYPE FIFOTYPE 3583",
    46: "link twice climbing NUL empty",
    47: "gigabytes entries",
    48: "open_output symlink /etc/shadow",
    49: "deep huge result.json",
    50: "swap rename symlink",
    51: "LD_PRELOAD TWO\\nLINES --help",
    52: "CapEff Seccomp EAGAIN",
    53: "churning take_inventory",
    54: "slots tenancy SECRET",
}
"""Words of the list that the code of an attempt, or of what it uses of its module, must have."""


def test_none_of_the_attempts_is_left_out() -> None:
    numbers = {one.number for one in attempts()}
    assert numbers == set(range(1, max(numbers) + 1))
    assert set(LISTED) == set(range(1, 55))
    assert max(numbers) >= 76


def test_the_code_of_each_attempt_names_all_that_the_list_names_and_checks_something() -> None:
    known: dict[int, str] = {}
    for one in attempts():
        known[one.number] = known.get(one.number, "") + written(one)
    missing = {}
    for number, words in LISTED.items():
        text = known[number]
        if lacking := [word for word in words.split() if word not in text]:
            missing[number] = lacking
    assert missing == {}
    assert [one.name for one in attempts() if "assert " not in written(one)] == []
    assert "no such words" not in known[1]


def written(attempt: Attempt) -> str:
    """Its code, and that of what it uses of its module."""
    module = inspect.getmodule(attempt.work)
    assert module is not None
    source = code_of(attempt.work)
    parts = [source]
    for name, value in vars(module).items():
        if isinstance(value, str) and name in source:
            parts.append(value)
        elif inspect.isfunction(value) and value.__module__ == module.__name__ and f"{name}(" in source:
            parts.append(code_of(value))
    return "\n".join(parts)


def code_of(function: Callable[..., Any]) -> str:
    """What of a function is run: no comments, no docstrings, and not its name."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef)
    body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
    return "\n".join(map(ast.unparse, body))
