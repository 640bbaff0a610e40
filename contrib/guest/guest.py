"""A Debian 12 guest under QEMU (software emulation, no KVM needed): boot it, run commands in it, cut its power.

The guest has pure cgroup v2 and a real systemd, which a development machine often has not. It sees the checkout
read-only at /src and has no network but a forwarded ssh port.
"""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

BOOT_LIMIT_S = 600.0
"""Emulated boots take 12 to 25 s alone, several times that on a busy machine."""


@dataclass
class Guest:
    """One virtual machine. `disk` keeps what it wrote, across `cut` and `boot`."""

    cache: Path
    source: Path
    work: Path
    memory_mb: int = 1024
    cpus: int = 2
    port: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def make_disk(self) -> None:
        base = (self.cache / "base.ext4").resolve()
        command = [
            "qemu-img",
            "create",
            "-q",
            "-f",
            "qcow2",
            "-b",
            str(base),
            "-F",
            "raw",
            str(self.work / "disk.qcow2"),
        ]
        subprocess.run(command, check=True)

    def boot(self) -> float:
        """Start and wait until ssh answers; the seconds it took."""
        began = time.monotonic()
        self.port = _free_port()
        share = self.work / "virtiofs.sock"
        share.unlink(missing_ok=True)
        options = ["-o", f"source={self.source}", "-o", "cache=auto", "-o", "sandbox=chroot"]
        self._start("virtiofsd", ["/usr/lib/qemu/virtiofsd", f"--socket-path={share}", *options])
        while not share.exists():
            time.sleep(0.05)
        self._start("qemu", self._qemu(share))
        while self.run("true", check=False, timeout_s=20).returncode:
            if time.monotonic() - began > BOOT_LIMIT_S:
                raise RuntimeError(f"the guest did not answer within {BOOT_LIMIT_S:.0f} s; see {self.work}/qemu.log")
            time.sleep(0.5)
        return time.monotonic() - began

    def run(self, script: str, *, check: bool = True, timeout_s: float = 1200) -> subprocess.CompletedProcess[str]:
        """Run a shell script as root inside; output is captured, both streams together."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=15"]
        command = ["ssh", "-i", str(self.cache / "key"), "-p", str(self.port)]
        for option in options:
            command += ["-o", option]
        command += ["root@127.0.0.1", "bash -euo pipefail -s"]
        done = subprocess.run(
            command, input=script, text=True, timeout=timeout_s, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if check and done.returncode:
            raise RuntimeError(f"guest command failed ({done.returncode}):\n{script}\n{done.stdout}")
        return done

    def cut(self) -> None:
        """Pull the plug: the emulator is killed, nothing inside gets to write anything more."""
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.processes.clear()

    def _start(self, name: str, command: list[str]) -> None:
        with (self.work / f"{name}.log").open("ab") as log:
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def _qemu(self, share: Path) -> list[str]:
        return [
            *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "qemu64,+rdrand"),
            *("-M", "q35", "-m", str(self.memory_mb), "-smp", str(self.cpus), "-nographic", "-no-reboot"),
            *("-object", f"memory-backend-memfd,id=mem,size={self.memory_mb}M,share=on", "-numa", "node,memdev=mem"),
            *("-kernel", str(self.cache / "vmlinuz"), "-initrd", str(self.cache / "initrd.gz")),
            *("-append", "console=ttyS0 quiet nokaslr panic=-1 mitigations=off"),
            # Writes reach the host's file in order, so that a power cut loses only what the guest had not flushed.
            *("-drive", f"file={self.work}/disk.qcow2,if=virtio,format=qcow2,cache=writeback"),
            *("-chardev", f"socket,id=vfs,path={share}", "-device", "vhost-user-fs-pci,chardev=vfs,tag=src"),
            *("-netdev", f"user,id=m,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"),
            *("-device", "virtio-net-pci,netdev=m,romfile=", "-serial", "mon:stdio"),
        ]


@contextlib.contextmanager
def open_guest(cache: Path, source: Path, work: Path) -> Iterator[Guest]:
    """A guest with a fresh disk, booted; it and its files are gone afterwards."""
    work.mkdir(parents=True, exist_ok=True)
    guest = Guest(cache, source, work)
    guest.make_disk()
    try:
        yield guest
    finally:
        guest.cut()
        shutil.rmtree(work, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
