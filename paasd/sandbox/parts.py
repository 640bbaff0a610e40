"""What the containers of one node share: paths, drivers, and the way to take a container down by its name alone."""

import contextlib
import os
import select
import signal
import time
from pathlib import Path

import msgspec
import trio

from paasd.config import SandboxConfig
from paasd.sandbox.cgroups import CgroupDriver
from paasd.sandbox.disk import Disks, Images, Stacks
from paasd.sandbox.network import Network
from paasd.sandbox.processes import open_process, shims, started_at
from paasd.sandbox.slots import Slots
from paasd.sandbox.zygote import Zygote

_STATE = "state.json"


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Drivers of one node. `nursery` is that of the open sandbox; the tasks in it only watch."""

    config: SandboxConfig
    prefix: str
    boot: str
    containers: Path
    disk_mounts: Path
    filter_path: Path
    slots: Slots
    cgroups: CgroupDriver
    zygote: Zygote
    network: Network
    disks: Disks
    images: Images
    stacks: Stacks
    nursery: trio.Nursery

    def directory_of(self, guid: str) -> Path:
        return self.containers / guid

    def hostname_of(self, guid: str) -> str:
        """Short, and all that a host name may have."""
        return guid[:8].strip("-.") or "app"

    def write_record(self, guid: str, content: bytes) -> None:
        fresh = self.directory_of(guid) / (_STATE + ".new")
        fresh.write_bytes(content)
        fresh.rename(fresh.with_name(_STATE))

    def read_record(self, guid: str) -> bytes | None:
        try:
            return (self.directory_of(guid) / _STATE).read_bytes()
        except FileNotFoundError:
            return None

    def drop_record(self, guid: str) -> None:
        (self.directory_of(guid) / _STATE).unlink(missing_ok=True)

    def kill_remains(self, guid: str) -> None:
        """End every process of a container, found by its cgroup and its shim's title. Blocks until they are gone.

        Repeats, because a shim that is just starting may put a new pid 1 where all had been killed. Raises
        TimeoutError when the kernel does not end them in time.
        """
        deadline = time.monotonic() + self.config.kill_timeout_s
        while True:
            holders = [pid for pid, whose in shims(self.prefix).items() if whose == guid]
            inside = self.cgroups.pids(guid)
            if not holders and not inside:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {sorted(inside) + holders} of container {guid} do not end")
            self.cgroups.kill_all(guid)
            _kill_and_wait([*holders, *inside], min(1.0, self.config.kill_timeout_s))


def _kill_and_wait(pids: list[int], timeout_s: float) -> None:
    pidfds = []
    for pid in pids:
        started = started_at(pid)
        pidfd = open_process(pid, started) if started is not None else None
        if pidfd is not None:
            pidfds.append(pidfd)
    for pidfd in pidfds:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    poll, deadline = select.poll(), time.monotonic() + timeout_s
    for pidfd in pidfds:
        poll.register(pidfd, select.POLLIN)
    waiting = set(pidfds)
    while waiting and time.monotonic() < deadline:
        for pidfd, _event in poll.poll(timeout_s * 1000):
            poll.unregister(pidfd)
            waiting.discard(pidfd)
    for pidfd in pidfds:
        os.close(pidfd)
