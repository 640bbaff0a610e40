"""Containers end and go, also when there is no space for a word about it."""

from pathlib import Path

import pytest
import trio

from paasd.config import DiskConfig, SandboxConfig
from paasd.sandbox import NotRunning, open_sandbox

from .place import Place, shell, spec

pytestmark = pytest.mark.root


async def test_a_container_on_a_full_disk_is_killed_and_destroyed_without_a_trace(tmp_path: Path) -> None:
    small, data = tmp_path / "small", tmp_path / "small" / "data"
    small.mkdir()
    await trio.run_process(["mount", "-t", "tmpfs", "-o", "size=96m,mode=0700", "paasd-test", str(small)])
    data.mkdir()
    place = Place(data, tmp_path / "slots.json")
    try:
        disk = DiskConfig(reserve_mb=0)
        async with open_sandbox(SandboxConfig(), data, disk=disk, keep=False, slots=place.slots) as sandbox:
            killed, destroyed = await sandbox.create(spec("killed")), await sandbox.create(spec("destroyed"))
            for container in (killed, destroyed):
                await container.start(shell("sleep 1000"))
            with (data / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(bytes(4096))
            with trio.fail_after(60):
                await killed.kill()
                assert (await killed.wait()).reason == "lost"  # its last word found no space
                await killed.destroy()
                await destroyed.destroy()
            assert sandbox.containers == {}
            with pytest.raises(NotRunning):
                destroyed.signal(9)
            (data / "ballast").unlink()
            again = await sandbox.create(spec("killed"))
            await again.start(shell("exit 3"))
            assert (await again.wait()).code == 3
        assert place.leftovers() == {}
    finally:
        await trio.run_process(["umount", "--recursive", "--lazy", str(small)])
