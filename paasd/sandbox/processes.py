"""Processes named for ever: pid and start time, opened as a pidfd only while both still agree."""

import os
import re
from pathlib import Path
from typing import Final

GUID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
"""What containers are called: it becomes part of paths, and of what a shim shows as its command line."""


def open_process(pid: int, started: int) -> int | None:
    """A pidfd of the process with this pid and start time (clock ticks since boot); None when it is gone."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    # The pidfd pins the number: when the start time agrees now, the fd is of that process.
    if started_at(pid) != started:
        os.close(fd)
        return None
    return fd


def started_at(pid: int) -> int | None:
    """Start time of a live process; None when there is none or only a zombie is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def launchers(prefix: str) -> dict[int, str]:
    """A node's own processes outside its containers, zygote and shims: pid and what it shows as command line.

    Whoever runs a program chooses what it shows; only these run as the user of the daemon, in every respect.
    """
    titles = (f"paasd-zygote {prefix}", f"paasd-shim {prefix} ")
    return {pid: line for pid, line in command_lines().items() if line.startswith(titles) and _is_ours(pid)}


def shims(prefix: str) -> dict[int, str]:
    """The container of each shim of a node, by pid."""
    start = f"paasd-shim {prefix} "
    guids = {pid: line.removeprefix(start) for pid, line in launchers(prefix).items() if line.startswith(start)}
    return {pid: guid for pid, guid in guids.items() if GUID.fullmatch(guid)}


def _is_ours(pid: int) -> bool:
    # Not the owner of /proc/PID, which is root for whatever may not be dumped.
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # The name above it is of any bytes but a newline, which is escaped: no other one may count as an end of a line.
    uids = next((line.split()[1:] for line in status.split(b"\n") if line.startswith(b"Uid:")), [])
    return set(map(int, uids)) == {os.geteuid()}


def command_lines() -> dict[int, str]:
    """What every process shows as its command line, arguments joined by spaces."""
    found: dict[int, str] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 (thousands of Path objects for nothing)
        if entry.isdigit():
            try:
                line = Path(f"/proc/{entry}/cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            found[int(entry)] = line.replace(b"\0", b" ").decode(errors="replace").strip()
    return found
