"""Two tenants of one node who try everything at once. Every attempt is a test of this package, run as it stands."""

import importlib
import inspect
import random
import re
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from .stage import Stage

_NAME = re.compile(r"test_(\d\d)_\w+")
_SAME_NAMES = {"test_71_tenancy": "test_69_reach"}
"""Modules that make apps and routes of the same names as another one."""


class Attempt(NamedTuple):
    """A test by its number. Those of one stage use the same names of apps, so they take turns."""

    number: int
    name: str
    stage: str
    work: Callable[..., None]


def attempts() -> list[Attempt]:
    """All there are, by number."""
    found = []
    for path in sorted(Path(__file__).parent.glob("test_[0-9][0-9]_*.py")):
        module = importlib.import_module(f"{__package__}.{path.stem}")
        for name, work in vars(module).items():
            if (match := _NAME.fullmatch(name)) is not None:
                found.append(Attempt(int(match[1]), name, _SAME_NAMES.get(path.stem, path.stem), work))
    return sorted(found)


class Report:
    """What came of the attempts of all tenants."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.skipped: list[str] = []
        self.failed: list[str] = []


def attack(stages: Sequence[Stage], chosen: Iterable[Attempt], seed: int) -> Report:
    """Each tenant makes all these attempts, in an order of its own, at the same time as the others."""
    report, listed = Report(), list(chosen)
    locks = {one.stage: threading.Lock() for one in listed}

    def tenant(stage: Stage, order: list[Attempt]) -> None:
        while order:
            # The next one whose stage nobody is at; when all are busy, the first one's turn is waited for.
            free = next((one for one in order if locks[one.stage].acquire(blocking=False)), None)
            if free is None:
                free = order[0]
                locks[free.stage].acquire()
            order.remove(free)
            try:
                _make(free, stage, report)
            finally:
                locks[free.stage].release()

    threads = []
    for number, stage in enumerate(stages):
        order = random.Random(seed + number).sample(listed, len(listed))
        threads.append(threading.Thread(target=tenant, args=(stage, order), name=f"tenant-{number}"))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return report


def _make(attempt: Attempt, stage: Stage, report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="paasd-hostile-") as directory:
        known = {"stage": stage, "outside": stage.outside, "tmp_path": Path(directory)}
        given = {name: known[name] for name in inspect.signature(attempt.work).parameters}
        try:
            attempt.work(**given)
        except pytest.skip.Exception as reason:
            report.skipped.append(f"{attempt.name}: {reason}")
        except Exception as error:  # noqa: BLE001 (whatever it is, the other tenant goes on, and the report says it)
            what = f"{type(error).__name__}: {str(error)[:2000]}"
            where = traceback.extract_tb(error.__traceback__)[-1].line
            report.failed.append(f"{attempt.name} of {stage.space}: {what} at `{where}`")
        else:
            report.done.append(attempt.name)
