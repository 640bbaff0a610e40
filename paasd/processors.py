"""Which processors the platform's own work uses: all that the daemon was given, or fewer while tenants need the others.

A process starts others with what it may use itself, so what is for a tenant, or for everybody, is told `GIVEN` again.
"""

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

GIVEN: Final = frozenset(os.sched_getaffinity(0))
"""Read when the daemon begins, before it keeps to a part of them."""


COMPANIONS: Final[set[int]] = set()
"""Pids of what does the platform's own work beside the daemon, and keeps where it does; whoever starts it says so."""


def keep_to(processors: Collection[int], pids: Iterable[int]) -> None:
    """Let all threads of these processes, and what they start from then on, run on those of `processors` that are
    given, or on all given ones where that is none of them. A process that has ended is no error."""
    allowed = GIVEN & frozenset(processors) or GIVEN
    for pid in pids:
        for thread in threads_of(pid):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(thread, allowed)


def threads_of(pid: int) -> Iterator[int]:
    """Those of a process, and those that are made meanwhile, as by one that was not yet given."""
    seen: set[str] = set()
    with contextlib.suppress(OSError):
        while fresh := {task.name for task in Path(f"/proc/{pid}/task").iterdir()} - seen:
            yield from map(int, fresh)
            seen |= fresh
