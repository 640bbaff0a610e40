"""A process and all its threads, also those that are made meanwhile, keep to some processors, and to all again."""

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from paasd.processors import GIVEN, keep_to

TWO_THREADS = """
import sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
print("up", flush=True)
sys.stdin.read()
"""


def places(pid: int) -> list[set[int]]:
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            found.append(os.sched_getaffinity(int(thread.name)))
    return found


def test_all_threads_keep_to_some_and_have_all_again() -> None:
    if len(GIVEN) < 2:
        pytest.skip("one processor leaves nothing to choose")
    with subprocess.Popen(
        [sys.executable, "-c", TWO_THREADS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        keep_to((max(GIVEN), 4000), [process.pid])
        assert places(process.pid) == [{max(GIVEN)}] * 2, "those that are not given are left out"
        for all_of_them in ((), (4000,), tuple(GIVEN)):
            keep_to((min(GIVEN),), [process.pid])
            keep_to(all_of_them, [process.pid])
            assert places(process.pid) == [set(GIVEN)] * 2
        process.kill()
    keep_to((), [process.pid])  # It is gone, and that is no error.


def test_a_thread_that_is_made_meanwhile_keeps_to_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    over, made, keep = threading.Event(), list[threading.Thread](), os.sched_setaffinity

    def keep_late(thread: int, processors: frozenset[int]) -> None:
        if not made:
            made.append(threading.Thread(target=over.wait))
            made[0].start()
        keep(thread, processors)

    monkeypatch.setattr(os, "sched_setaffinity", keep_late)
    try:
        keep_to((min(GIVEN),), [os.getpid()])
        assert os.sched_getaffinity(made[0].native_id or 0) == {min(GIVEN)}
    finally:
        over.set()
        keep_to((), [os.getpid()])
        made[0].join()
