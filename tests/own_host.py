"""A host of its own for a process of pytest: what root's tests do to networks and mounts meets nobody else's.

The main thread, and with it all that is started later, moves into network and mount namespaces in which nothing is
yet. Cgroups, loop devices and processes stay shared: all of those carry the mark of a data directory. The world is
reached through slirp4netns, which carries single connections, so the machine's own network is neither changed nor
relied upon. Its name server answers for those of the machine, also where these listen on loopback.
"""

import ctypes
import os
import select
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paasd.sandbox import mounts

# Relays of 6to4 once had these addresses. Nobody has them now, and to a tenant they are as public as any.
_NETWORK = "192.88.99.0/24"
_NAME_SERVER = "192.88.99.3"
_START_LIMIT_S = 20.0
_CLONE_NEWNS, _CLONE_NEWNET = 0x20000, 0x40000000
_MS_MOVE, _MS_RECURSIVE, _MS_PRIVATE = 0x2000, 0x4000, 0x40000

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_host() -> Iterator[None]:
    """Move there, for good; the block is the time in which the world can be reached. Needs root."""
    machine = os.open("/proc/self/ns/net", os.O_RDONLY)
    if _libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot have namespaces of its own", "unshare")
    mounts.mount("none", Path("/"), None, _MS_PRIVATE | _MS_RECURSIVE)
    _show_own_interfaces()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # The kernel refuses one address by ICMP six times and then once a second: what one test was refused is the next's.
    Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0")
    with _connected(machine):
        os.close(machine)
        # It stays until the end: where a file was removed, hosts within this one could mount nothing of theirs.
        with tempfile.NamedTemporaryFile("w", prefix="paasd-test-resolv-") as servers:
            servers.write(f"nameserver {_NAME_SERVER}\n")
            servers.flush()
            Path(servers.name).chmod(0o644)
            mounts.mount(servers.name, Path("/etc/resolv.conf").resolve(), None, mounts.MS_BIND)
            yield


def _show_own_interfaces() -> None:
    """/sys shows the interfaces of whoever mounted it. Of what is mounted below it cgroups come along."""
    with tempfile.TemporaryDirectory(prefix="paasd-test-sys-") as name:
        fresh, shown, cgroups = Path(name), Path("/sys"), Path("fs/cgroup")
        mounts.mount("sysfs", fresh, "sysfs", 0)
        mounts.mount(shown / cgroups, fresh / cgroups, None, mounts.MS_BIND | _MS_RECURSIVE)
        mounts.unmount(shown, lazy=True)
        mounts.mount(fresh, shown, None, _MS_MOVE)


@contextmanager
def _connected(machine: int) -> Iterator[None]:
    """eth0 leads out through connections that a process in the machine's namespace makes."""
    ready, readied = os.pipe()
    ending, end = os.pipe()
    me = os.getpid()
    out = ["slirp4netns", "--configure", f"--cidr={_NETWORK}", "--disable-host-loopback"]
    out += [f"--ready-fd={readied}", f"--exit-fd={ending}", str(me), "eth0"]
    with subprocess.Popen(
        ["nsenter", f"--net=/proc/{me}/fd/{machine}", *out],
        pass_fds=(readied, ending),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ):
        os.close(readied)
        os.close(ending)
        try:
            # At its end without a word the pipe is at its end too.
            waited = select.select([ready], [], [], _START_LIMIT_S)[0]
            if not waited or not os.read(ready, 1):
                raise RuntimeError("slirp4netns does not start; this needs its package, and /dev/net/tun")
            yield
        finally:
            os.close(ready)
            os.close(end)
