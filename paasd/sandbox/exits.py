"""What the shim left about the end of a run, and the reason that follows from it. Pure but for the reading."""

import os
import signal
from pathlib import Path
from typing import Annotated

import msgspec
import structlog

from paasd.packing import UNREADABLE
from paasd.sandbox.records import Exit

_SHELL_SIGNAL_BASE = 128
_SIGKILL = int(signal.SIGKILL)


class _LastWord(msgspec.Struct, frozen=True):
    status: Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)] | None
    oom_kills: int
    oom_total: int
    at: float
    lease_ended: bool = False


def read_exit(run_directory: Path) -> Exit | None:
    """The exit of the run in this directory; None when the shim died before it could write it, or it cannot be read."""
    try:
        return _read(run_directory)
    except FileNotFoundError:
        return None
    except (OSError, *UNREADABLE) as error:
        structlog.get_logger().error("an exit cannot be read", run=str(run_directory), reason=str(error))
        return None


def _read(run_directory: Path) -> Exit:
    word = msgspec.json.decode((run_directory / "exit").read_bytes(), type=_LastWord)
    try:
        killed_at = int((run_directory / "killed").read_text())
    except (FileNotFoundError, ValueError):
        killed_at = None
    if word.lease_ended:
        return Exit(code=None, signal=_SIGKILL, reason="lease ended", at=word.at)
    return name_reason(word.status, word.oom_kills, word.oom_total, word.at, killed_at_oom=killed_at)


def name_reason(
    status: int | None, oom_kills: int, oom_total: int, at: float, *, killed_at_oom: int | None = None
) -> Exit:
    """The exit from the app's wait status (None: it was killed together with its pid 1).

    `oom_kills` counts those of this run. `killed_at_oom` is the total when somebody asked for the kill, if somebody
    did: a kill for memory before that was survived, and is not the reason.
    """
    code = None if status is None else os.waitstatus_to_exitcode(status)
    by_kill = code is None or code == -signal.SIGKILL
    # A shell in front of the program passes the signal on as a code.
    by_kill_in_shell = code == _SHELL_SIGNAL_BASE + signal.SIGKILL
    if killed_at_oom is not None:
        oom_kills = max(0, oom_total - killed_at_oom)
    if oom_kills and (by_kill or by_kill_in_shell):
        return Exit(code=None, signal=_SIGKILL, reason="out of memory", at=at)
    if by_kill and killed_at_oom is not None:
        return Exit(code=None, signal=_SIGKILL, reason="killed", at=at)
    if code is None:
        return Exit(code=None, signal=_SIGKILL, reason="signal", at=at)
    if code < 0:
        return Exit(code=None, signal=-code, reason="signal", at=at)
    return Exit(code=code, signal=None, reason="exited", at=at)
