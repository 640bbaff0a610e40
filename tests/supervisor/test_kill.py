"""kill -9 of a daemon that runs an app: the app does not notice, and its output has neither a gap nor an echo."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from paasd.sandbox import take_inventory
from paasd.sandbox.sandbox import SLOTS

from .world import World, open_world

pytestmark = pytest.mark.root
_ROOT = Path(__file__).parents[2]


async def _run_and_kill(directory: Path, turn: str) -> None:
    command = [sys.executable, "-m", "tests.supervisor.daemon", str(directory), turn]
    daemon = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, cwd=_ROOT)
    assert daemon.stdout is not None
    try:
        with trio.fail_after(30):
            said = b""
            while b"running" not in said:
                chunk = await daemon.stdout.receive_some()
                assert chunk, "the daemon ended by itself"
                said += chunk
        await trio.sleep(0.3)  # in the middle of whatever it does
    finally:
        os.kill(daemon.pid, signal.SIGKILL)
        await daemon.wait()
        await daemon.stdout.aclose()


async def test_three_kills_of_the_daemon_cost_no_line_no_restart_and_leave_nothing(tmp_path: Path) -> None:
    for turn in ("first", "later", "later"):
        await _run_and_kill(tmp_path, turn)
    async with open_world(tmp_path) as world:
        (container,) = world.sandbox.containers.values()
        assert container.running
        async with world.supervised() as supervisor:
            with trio.fail_after(5):
                await supervisor.adopted()
            fact = world.observed.get("app-0")
            assert fact is not None
            assert (fact.state, fact.routable) == ("RUNNING", True)
            await world.remove("app-0")
            await world.gone("app-0")
            numbers = _numbers(world)
        assert len(numbers) > 300
        assert numbers == list(range(len(numbers)))
        prefix = world.sandbox.prefix
    left = await trio.to_thread.run_sync(take_inventory, tmp_path, prefix, SLOTS)
    assert not (left.cgroups | left.mounts | left.loops | left.network | left.processes | left.slots | left.files)


def _numbers(world: World) -> list[int]:
    lines = world.logs.read("app", limit=1_000_000, source_types=("APP",))
    return [int(line.payload) for line in lines if line.payload.isdigit()]
