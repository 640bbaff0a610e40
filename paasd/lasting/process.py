"""One process: started so that it outlives the daemon, found again by pid and start time, watched by pidfd."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from paasd.lasting import launch
from paasd.processors import GIVEN


def start_time(pid: int) -> int | None:
    """When `pid` started, in clock ticks since boot; None if there is no such process.

    One whose first thread has ended counts: the others may still hold its sockets. Its pidfd tells when all are gone.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold anything, no text even; the fields after its last parenthesis are plain.
    return int(text.rpartition(b")")[2].split()[19])


def boot_id() -> str:
    """The identity of this boot: pids and start times mean nothing across one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _reap(pidfd: int) -> os.waitid_result | None:
    """Collect an ended child without waiting. Raises ChildProcessError if it is not ours, or collected already."""
    return os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)


class LastingProcess:
    """A running process, our child or not. Close it to stop watching; that does not end the process."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd

    @classmethod
    def adopt(cls, pid: int, started: int) -> "LastingProcess | None":
        """The process `pid` that started at `started`, or None if it is gone."""
        try:
            pidfd = os.pidfd_open(pid)
        except (ProcessLookupError, OSError):
            return None
        # Checked after opening: from here on the pid cannot be taken by another process unnoticed.
        if start_time(pid) != started:
            os.close(pidfd)
            return None
        return cls(pid, pidfd)

    @classmethod
    def start(
        cls,
        binary: Path,
        arguments: Sequence[str],
        *,
        uid: int,
        cgroups: Sequence[Path],
        log: Path,
        outlive: bool = True,
        directory: Path = Path("/"),
    ) -> "LastingProcess":
        """Start it detached in `directory`: own session, output to the file `log`. Without `outlive` it dies with this
        thread. From there relative paths work, even if the program's user cannot enter the directories above.
        """
        parent = "0" if outlive else str(os.getpid())
        become = uid if os.geteuid() == 0 else -1
        places = (",".join(map(str, cgroups)), ",".join(map(str, sorted(GIVEN))))
        command = [sys.executable, "-I", "-S", launch.__file__, str(become), *places, parent, str(binary)]
        with log.open("ab") as output:
            child = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=directory,
                start_new_session=True,
            )
        pidfd = os.pidfd_open(child.pid)
        # The object would wait for the child, or warn that it still runs; both are this class's business.
        child.returncode = 0
        return cls(child.pid, pidfd)

    async def wait(self) -> int | None:
        """Wait until it ends; the exit code (negative: signal) if it was our child and not yet reaped, else None."""
        # A descriptor of its own: several tasks may wait for the same end.
        own = os.dup(self._pidfd)
        try:
            await trio.lowlevel.wait_readable(own)
            end = _reap(own)
        except ChildProcessError:
            return None
        finally:
            os.close(own)
        if end is None:
            return None
        return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status

    async def stop(self, grace_s: float) -> None:
        """End it: TERM, then KILL after `grace_s`."""
        self._signal(signal.SIGTERM)
        with trio.move_on_after(grace_s):
            await self.wait()
            return
        self._signal(signal.SIGKILL)
        await self.wait()

    def _signal(self, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signum)

    def close(self) -> None:
        """Stop watching. The process goes on."""
        os.close(self._pidfd)
