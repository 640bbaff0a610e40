"""Containers that nothing stands for go, also where the first try fails."""

import errno

import msgspec
import pytest
import trio

from paasd.sandbox import ContainerSpec, Limits
from paasd.supervisor import removal
from paasd.supervisor.launch import LABEL as APP_LABEL
from paasd.supervisor.task_plan import LABEL as TASK_LABEL
from paasd.supervisor.task_plan import TaskIdentity

from .world import SERVER, World

pytestmark = pytest.mark.root
SMALL = Limits(memory_bytes=64 << 20, disk_bytes=32 << 20, inodes=1000, pids=64, open_files=256)
TASK = TaskIdentity(task_guid="gone", epoch=1, app_guid="app", name="task", log_limit_bytes=0)


@pytest.mark.parametrize(
    ("kind", "labels"),
    [("task", {TASK_LABEL: msgspec.json.encode(TASK).decode()}), ("app", {APP_LABEL: "no identity"})],
)
@pytest.mark.parametrize("failures", [1, 100])
async def test_a_full_disk_while_a_container_is_removed_ends_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str, labels: dict[str, str], failures: int
) -> None:
    await world.sandbox.create(ContainerSpec(guid="left-over", kind=kind, labels=labels, limits=SMALL))
    destroy, tries = world.sandbox.destroy, 0

    async def destroy_at_last(guid: str) -> None:
        nonlocal tries
        if guid == "left-over":
            tries += 1
            if tries <= failures:
                raise OSError(errno.ENOSPC, "No space left on device")
        await destroy(guid)

    with monkeypatch.context() as patch:
        patch.setattr(removal, "PAUSES_S", (0.01, 0.01, 0.01))
        patch.setattr(world.sandbox, "destroy", destroy_at_last)
        async with world.supervised():
            wanted = min(failures + 1, 3)
            with trio.fail_after(10):
                while tries < wanted or (failures == 1 and "left-over" in world.sandbox.containers):
                    await trio.sleep(0.01)
            (guid,) = await world.run_app("app", SERVER)
            await world.running(guid)
            assert tries == wanted
