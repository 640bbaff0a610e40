"""Hosts of a test cluster: each has network, process and mount namespaces of its own, joined by a switch.

Losing a host is real: its link goes down and the kernel kills every process of it at once. Cuts work on one direction
between two hosts, in the switch. Traffic never leaves these namespaces. The client is at home in the switch's.
"""

import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

INIT = Path(__file__).with_name("init.py")
_numbers = itertools.count(1)


def run(*words: str) -> str:
    """A command that must succeed."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


class Host:
    """One machine. `address` is reached by the other hosts and by the client."""

    def __init__(self, fabric: "Fabric", number: int, data: Path) -> None:
        self.number = number
        self.name = f"{fabric.prefix}{number}"
        self.address = f"{fabric.subnet}.{number}"
        self.data = data
        self._fabric = fabric
        self._init: subprocess.Popen[bytes] | None = None

    @property
    def log_path(self) -> Path:
        """What the daemon writes, all lives together."""
        return self.data.with_suffix(".log")

    @property
    def running(self) -> bool:
        """Whether the machine is on."""
        return self._init is not None

    def create(self) -> None:
        """The namespace and its cable; the machine is off."""
        switch = self._fabric.switch
        run("ip", "netns", "add", self.name)
        run("ip", "-n", switch, "link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "-n", switch, "link", "set", self.name, "master", "br0", "up")
        run("ip", "-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        run("ip", "-n", self.name, "link", "set", "eth0", "up")
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        run("ip", "-n", self.name, "route", "add", "default", "via", f"{self._fabric.subnet}.254")

    def power_on(self) -> None:
        """Pid 1 runs and the link is up; no daemon yet."""
        run("ip", "-n", self._fabric.switch, "link", "set", self.name, "up")
        self.data.parent.mkdir(parents=True, exist_ok=True)
        enter = ["nsenter", f"--net=/run/netns/{self.name}"]
        spaces = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        self._init = subprocess.Popen(
            [*enter, *spaces, sys.executable, str(INIT), str(self.log_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def power_off(self) -> None:
        """Everything of it dies at once and its link is down: what the platform calls the loss of a node."""
        run("ip", "-n", self._fabric.switch, "link", "set", self.name, "down")
        if self._init is not None:
            if self._init.poll() is None:
                pidfd = os.pidfd_open(self.pid_one)
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                select.select([pidfd], [], [], 30)  # it is the last one of its namespace to end
                os.close(pidfd)
            self._init.communicate()
            self._init = None

    @property
    def pid_one(self) -> int:
        assert self._init is not None
        path = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children")
        while not (children := path.read_text().split()):
            if self._init.poll() is not None:
                raise RuntimeError(f"{self.name} is off: unshare ended with code {self._init.returncode}")
            time.sleep(0.01)
        return int(children[0])

    def tell(self, command: str) -> int:
        """A command to pid 1; the daemon's pid, 0 when there is none."""
        assert self._init is not None and self._init.stdin is not None and self._init.stdout is not None
        self._init.stdin.write(command.encode() + b"\n")
        self._init.stdin.flush()
        return int(self._init.stdout.readline())

    def start(self, *argv: str, keep: bool = False, before: Sequence[str] = ()) -> None:
        """Start the daemon; `keep` starts it again whenever it ends. `before` are the first words of the command."""
        self.tell(("keep " if keep else "start ") + json.dumps([*before, sys.executable, "-m", "paasd", *argv]))

    def kill_program(self, name: str) -> int:
        """kill -9 of every process with this name; how many there were."""
        return self.tell(f"named {name}")

    def signal_daemon(self, number: signal.Signals) -> None:
        """A signal to the daemon alone."""
        self.tell(f"signal {int(number)}")

    def signal_all(self, number: signal.Signals) -> None:
        """A signal to every process of the host; SIGSTOP makes it hang as a whole."""
        self.tell(f"all {int(number)}")

    def execute(self, *words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """A command on this host, beside its daemon."""
        enter = ["nsenter", f"--target={self.pid_one}", "--net", "--pid", "--mount"]
        return subprocess.run(
            [*enter, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
        )


class Fabric:
    """The switch and its hosts."""

    def __init__(self, directory: Path) -> None:
        number = next(_numbers)
        self.prefix = f"p{os.getpid() % 100_000}x{number}h"
        self.switch = f"{self.prefix}sw"
        self.subnet = f"10.{91 + number % 100}.{os.getpid() % 250}"
        self.directory = directory
        self.hosts: list[Host] = []

    def create(self) -> None:
        """The switch; hosts are added after."""
        run("ip", "netns", "add", self.switch)
        run("ip", "-n", self.switch, "link", "set", "lo", "up")
        run("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self.switch, "addr", "add", f"{self.subnet}.254/24", "dev", "br0")
        run("ip", "-n", self.switch, "link", "set", "br0", "up")
        rules = "table bridge cuts { chain forward { type filter hook forward priority 0; }; }"
        self._nft(rules)

    def add_host(self) -> Host:
        """One more machine, off."""
        number = len(self.hosts) + 1
        host = Host(self, number, self.directory / f"node{number}")
        self.hosts.append(host)
        host.create()
        return host

    def cut(self, source: Host, target: Host) -> None:
        """Drop what `source` sends to `target`, silently."""
        self._nft(f"add rule bridge cuts forward iifname {source.name} oifname {target.name} drop")

    def separate(self, group: list[Host]) -> None:
        """Cut the group off from all other hosts, both ways; the client still reaches everybody."""
        for host in group:
            for other in self.hosts:
                if other not in group:
                    self.cut(host, other)
                    self.cut(other, host)

    def heal(self) -> None:
        """Undo every cut."""
        self._nft("flush chain bridge cuts forward")

    def _nft(self, rules: str) -> None:
        run("nsenter", f"--net=/run/netns/{self.switch}", "nft", rules)

    def destroy(self) -> None:
        """Everything is gone."""
        for host in self.hosts:
            with contextlib.suppress(AssertionError):
                host.power_off()
        for name in (*(host.name for host in self.hosts), self.switch):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    @contextmanager
    def client_side(self) -> Iterator[list[str]]:
        """The words before a command that make it run where the client is."""
        yield ["nsenter", f"--net=/run/netns/{self.switch}"]


@asynccontextmanager
async def fabric(directory: Path, hosts: int) -> AsyncIterator[Fabric]:
    """A switch and so many hosts, off; all of it is gone after the block."""
    made = Fabric(directory)
    try:
        made.create()
        for _ in range(hosts):
            made.add_host()
        yield made
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(made.destroy)
            shutil.rmtree(directory, ignore_errors=True)
