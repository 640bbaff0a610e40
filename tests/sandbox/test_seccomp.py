"""The filter: what is refused with which answer, and beside each refusal something alike that works."""

import pytest

from paasd.sandbox import Sandbox

from .place import python, run, spec

pytestmark = pytest.mark.root

_PRELUDE = """
import ctypes, errno, socket, os, fcntl, pty
libc = ctypes.CDLL(None, use_errno=True)
def call(*a):
    ctypes.set_errno(0)
    r = libc.syscall(*[ctypes.c_long(x) if isinstance(x, int) else x for x in a])
    return 'ok' if r >= 0 else errno.errorcode[ctypes.get_errno()]
def sock(*a):
    try: socket.socket(*a).close(); return 'ok'
    except OSError as e: return errno.errorcode[e.errno]
def asked(request):
    with socket.socket() as s: return call(16, s.fileno(), request, ctypes.create_string_buffer(64))
def tty(request):
    a, b = pty.openpty()
    return call(16, b, request, ctypes.c_char_p(b'x'))
"""
_CASES = {
    # name: (expression, expected)
    "mount": ("call(165, 0, 0, 0, 0, 0)", "EPERM"),
    "pivot_root": ("call(155, 0, 0)", "EPERM"),
    "fsopen": ("call(430, 0, 0)", "EPERM"),
    "open_tree": ("call(428, -100, 0, 0)", "EPERM"),
    "unshare user": ("call(272, 0x10000000)", "EPERM"),
    "setns": ("call(308, 0, 0)", "EPERM"),
    "clone3 falls back": ("call(435, 0, 0)", "ENOSYS"),
    "clone with a namespace": ("call(56, 0x10000000 | 17, 0, 0, 0, 0)", "EPERM"),
    "clone with another": ("call(56, 0x20000 | 17, 0, 0, 0, 0)", "EPERM"),
    "bpf": ("call(321, 0, 0, 0)", "EPERM"),
    "perf_event_open": ("call(298, 0, 0, 0, 0, 0)", "EPERM"),
    "userfaultfd": ("call(323, 0)", "EPERM"),
    "io_uring_setup": ("call(425, 1, 0)", "EPERM"),
    "ptrace": ("call(101, 0, 0, 0, 0)", "EPERM"),
    "process_vm_readv": ("call(310, 1, 0, 0, 0, 0, 0)", "EPERM"),
    "keyctl": ("call(250, 0, 0)", "EPERM"),
    "add_key": ("call(248, 0, 0, 0, 0, 0)", "EPERM"),
    "open_by_handle_at": ("call(304, 0, 0, 0)", "EPERM"),
    "chroot": ("call(161, ctypes.c_char_p(b'/tmp'))", "EPERM"),
    "kexec_load": ("call(246, 0, 0, 0, 0)", "EPERM"),
    "init_module": ("call(175, 0, 0, 0)", "EPERM"),
    "syslog": ("call(103, 3, 0, 0)", "EPERM"),
    "reboot": ("call(169, 0, 0, 0, 0)", "EPERM"),
    "settimeofday": ("call(164, 0, 0)", "EPERM"),
    "sethostname": ("call(170, 0, 0)", "EPERM"),
    "personality without randomisation": ("call(135, 0x0040000)", "ENOSYS"),
    "personality asked": ("call(135, 0xffffffff)", "ok"),
    "a number nobody has": ("call(9999)", "ENOSYS"),
    "getpid": ("call(39)", "ok"),
    "tcp": ("sock(socket.AF_INET, socket.SOCK_STREAM)", "ok"),
    "sctp": ("sock(socket.AF_INET, socket.SOCK_STREAM, 132)", "EPERM"),
    "a protocol of a larger number": ("call(41, 2, 1, 0x100000006)", "EPERM"),
    "unix": ("sock(socket.AF_UNIX, socket.SOCK_STREAM)", "ok"),
    "a bridge is asked for": ("asked(0x8940)", "EPERM"),
    "a bridge by a larger number": ("asked(0x100008941)", "EPERM"),
    "a bridge is made": ("asked(0x89a0)", "EPERM"),
    "a vlan is asked for": ("asked(0x8982)", "EPERM"),
    "addresses are asked for": ("asked(0x8912)", "ok"),
    "a pair of vsock": ("call(53, 40, 1, 0, 0)", "EPERM"),
    "netlink for routes": ("sock(socket.AF_NETLINK, socket.SOCK_RAW, 0)", "ok"),
    "netlink for netfilter": ("sock(socket.AF_NETLINK, socket.SOCK_RAW, 12)", "EPERM"),
    "netlink for audit": ("sock(socket.AF_NETLINK, socket.SOCK_RAW, 9)", "EPERM"),
    "packet": ("sock(socket.AF_PACKET, socket.SOCK_RAW, 0)", "EPERM"),
    "alg": ("sock(38, socket.SOCK_SEQPACKET, 0)", "EPERM"),
    "vsock": ("sock(40, socket.SOCK_STREAM, 0)", "EPERM"),
    "xdp": ("sock(44, socket.SOCK_RAW, 0)", "EPERM"),
    "bluetooth": ("sock(31, socket.SOCK_RAW, 0)", "EPERM"),
    "raw": ("sock(socket.AF_INET, socket.SOCK_RAW, 1)", "EPERM"),
    "window size of a terminal": ("tty(0x5413)", "ok"),
    "typing into a terminal": ("tty(0x5412)", "EPERM"),
    "the same in the low word of a larger number": ("tty(0x100005412)", "EPERM"),
    "the console's way": ("tty(0x541C)", "EPERM"),
}


async def test_each_call_gets_its_answer(sandbox: Sandbox) -> None:
    container = await sandbox.create(spec("one"))
    lines = [f"print({name!r}, {expression}, sep=': ')" for name, (expression, _expected) in _CASES.items()]
    ended, text = await run(container, python(_PRELUDE + "\n".join(lines)))
    assert ended.code == 0, text
    assert text.splitlines() == [f"{name}: {expected}" for name, (_expression, expected) in _CASES.items()]
