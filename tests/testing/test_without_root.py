"""What an ordinary user gets, and what is left when their tests are over, or were killed."""

import shutil
import time

import psutil
import pytest

from .unprivileged import ROOT, ordinary_user

DEADLINE_S = 10.0
_CYCLES = """
import os, psutil, sys, trio
import paasd.testing
from tests.testing.apps import HELLO

async def once(number):
    with trio.CancelScope() as scope:
        try:
            async with paasd.testing.cluster() as c:
                if number % 7 == 0:
                    await c.push("hello", HELLO)
                if number % 3 == 1:
                    raise LookupError
                if number % 3 == 2:
                    scope.cancel()
                    await trio.sleep_forever()
        except LookupError:
            pass

def census():
    return len(os.listdir("/proc/self/fd")), psutil.Process().children(recursive=True), os.listdir(os.environ["TMPDIR"])

async def main():
    assert os.geteuid() != 0
    await once(0)
    before = census()
    for number in range(1, 20):
        await once(number)
        assert census() == before, (number, before, census())
    print("nothing is left")

trio.run(main)
"""
_LIVING = """
import trio
import paasd.testing
from tests.testing.apps import HELLO

async def main():
    async with paasd.testing.cluster(zones=2) as c:
        await c.push("hello", HELLO)
        print("ready", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.timeout(180)
def test_an_ordinary_user_can_do_all_of_it() -> None:
    with ordinary_user() as user:
        here = [str(ROOT / "tests" / "testing" / name) for name in ("test_cluster.py", "test_staging.py")]
        text = user.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "-c", _ini(), *here)
        assert "passed" in text
        assert "skipped" not in text
        # pytest's own folders, and the cache of pip, which fetched the toolchains.
        for left in (*user.home.glob("pytest-of-*"), *user.home.glob(".cache")):
            shutil.rmtree(left)


@pytest.mark.timeout(180)
def test_twenty_clusters_leave_no_process_descriptor_or_file() -> None:
    with ordinary_user() as user:
        assert "nothing is left" in user.run("-c", _CYCLES)


def test_a_test_run_that_is_killed_leaves_no_process_and_no_file() -> None:
    with ordinary_user() as user:
        with user.start("-c", _LIVING) as process:
            try:
                assert process.stdout is not None
                said = [line for line in iter(process.stdout.readline, "ready\n") if line]
                family = psutil.Process(process.pid).children(recursive=True)
                assert len(family) >= 6, said  # two keepers, two Envoys, a shim and the app
            finally:
                process.kill()
        _gone, alive = psutil.wait_procs(family, timeout=DEADLINE_S)
        assert alive == []
        deadline = time.monotonic() + DEADLINE_S
        while list(user.home.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)


@pytest.mark.timeout(180)
def test_the_example_tests_its_own_app() -> None:
    """A project of somebody else's: its own folder, its own pytest.ini."""
    with ordinary_user() as user:
        shutil.copytree(ROOT / "examples" / "testing", project := user.home / "project")
        text = user.run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(project))
        assert "2 passed" in text, text
        shutil.rmtree(project)


def _ini() -> str:
    return str(ROOT / "pyproject.toml")
