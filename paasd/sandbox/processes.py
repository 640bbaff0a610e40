"""Processes named for ever: pid and start time, opened as a pidfd only while both still agree."""

import os
from pathlib import Path


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
    """A node's own processes outside its containers, zygote and shims: pid and what it shows as command line."""
    titles = (f"paasd-zygote {prefix}", f"paasd-shim {prefix} ")
    return {pid: line for pid, line in command_lines().items() if line.startswith(titles)}


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
