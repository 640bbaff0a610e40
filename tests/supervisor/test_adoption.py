"""Daemons come and go; instances stay. Leaving `supervised` is the end of a daemon, which instances are not told of."""

import msgspec
import pytest
import trio

from paasd.supervisor.launch import LABEL

from .world import QUICK, SERVER, World, get

pytestmark = pytest.mark.root


async def test_a_running_instance_is_routable_the_moment_that_adoption_is_over_and_was_not_restarted(
    world: World,
) -> None:
    async with world.supervised():
        (guid,) = await world.run_app("app", f"echo began $$; {SERVER}")
        before = await world.running(guid)
    assert before.address is not None
    assert b"404" in await get(before.address, "/while-nobody-looks")
    async with world.supervised() as supervisor:
        with trio.fail_after(5):
            await supervisor.adopted()
        fact = world.observed.get(guid)
        assert fact is not None
        assert (fact.state, fact.routable, fact.address) == ("RUNNING", True, before.address)
        assert fact.since == pytest.approx(before.since, abs=0.05)
        await world.line("app", "/while-nobody-looks")
        assert len([line for line in world.lines("app") if line.startswith("began")]) == 1
        await world.remove(guid)
        await world.gone(guid)


async def test_an_instance_that_died_meanwhile_is_counted_as_crashed_and_restarted(world: World) -> None:
    async with world.supervised():
        (guid,) = await world.run_app("app", SERVER)
        await world.running(guid)
    (container,) = world.sandbox.containers.values()
    container.signal(9)
    with trio.fail_after(10):
        await container.wait()
    async with world.supervised() as supervisor:
        await supervisor.adopted()
        fact = world.observed.get(guid)
        assert fact is None or not fact.routable
        assert "Exited with status 137" in await world.line("app", "exited with guid", "API")
        again = await world.running(guid)
        assert again.instance_guid == guid
        assert container.guid not in world.sandbox.containers


async def test_containers_without_a_row_or_of_another_epoch_are_destroyed(world: World) -> None:
    async with world.supervised():
        guids = await world.run_app("app", SERVER, instances=3)
        for guid in guids:
            await world.running(guid)
    labels = [container.spec.labels[LABEL] for container in world.sandbox.containers.values()]
    assert len(labels) == 3
    before = set(world.sandbox.containers)
    await world.remove("app-0")
    await world.bump("app-2")
    async with world.supervised() as supervisor:
        await supervisor.adopted()
        replaced = await world.running("app-2")
        assert replaced.epoch == 2
        with trio.fail_after(10):
            while len(world.sandbox.containers) != 2:
                await trio.sleep(0.02)
        assert world.observed.get("app-0") is None
        assert (await world.running("app-1")).routable
        assert len(before & set(world.sandbox.containers)) == 1


async def test_a_crash_loop_is_not_forgiven_by_a_new_daemon(world: World) -> None:
    patient = msgspec.structs.replace(QUICK, backoff_s=2.0)
    async with world.supervised(patient):
        (guid,) = await world.run_app("app", "exit 1")
        await world.until(guid, lambda fact: fact is not None and fact.state == "CRASHED")
    async with world.supervised(patient):
        fact = await world.until(guid, lambda fact: fact is not None)
        assert (fact.state, fact.details) == ("CRASHED", "APP/PROC/WEB: Exited with status 1")
        assert '"crash_count": 5' in await world.line("app", '"crash_count": 5', "API")
        assert len([line for line in world.lines("app", "API") if '"crash_count": 1,' in line]) == 1
