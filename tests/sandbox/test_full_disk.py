"""Containers end and go, also when there is no space for a word about it."""

from pathlib import Path

import pytest
import trio

from paasd.config import DiskConfig, SandboxConfig
from paasd.sandbox import NotRunning, open_sandbox
from tests.disks import fill, small_disk_at

from .place import Place, shell, spec

pytestmark = pytest.mark.root


async def test_a_container_on_a_full_disk_is_killed_and_destroyed_without_a_trace(tmp_path: Path) -> None:
    with small_disk_at(tmp_path / "small", "96m") as small:
        place = Place(small / "data", tmp_path / "slots.json")
        disk = DiskConfig(reserve_mb=0)
        async with open_sandbox(SandboxConfig(), place.data, disk=disk, keep=False, slots=place.slots) as sandbox:
            killed, destroyed = await sandbox.create(spec("killed")), await sandbox.create(spec("destroyed"))
            for container in (killed, destroyed):
                await container.start(shell("sleep 1000"))
            ballast = fill(small)
            with trio.fail_after(60):
                await killed.kill()
                assert (await killed.wait()).reason == "lost"  # its last word found no space
                await killed.destroy()
                await destroyed.destroy()
            assert sandbox.containers == {}
            with pytest.raises(NotRunning):
                destroyed.signal(9)
            ballast.unlink()
            again = await sandbox.create(spec("killed"))
            await again.start(shell("exit 3"))
            assert (await again.wait()).code == 3
        assert place.leftovers() == {}
