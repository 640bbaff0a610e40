"""What an instance needs may be away: it waits, says why, and starts when it is there."""

import pytest
import trio
import trio.lowlevel

from paasd.errors import Unavailable
from paasd.unsealing import Unsealed

from .world import SERVER, World

pytestmark = pytest.mark.root


class Keys:
    """Control nodes that cannot be reached, until they can."""

    def __init__(self) -> None:
        self.reachable = False
        self.asked: list[tuple[str, int]] = []

    async def instance(self, guid: str, epoch: int) -> Unsealed:
        await trio.lowlevel.checkpoint()
        self.asked.append((guid, epoch))
        if not self.reachable:
            raise Unavailable("no control node answers")
        return Unsealed(environment={"TOLD": "by a control node"})

    async def build(self, guid: str, epoch: int) -> Unsealed:
        raise AssertionError


async def test_an_instance_waits_for_its_secrets_says_so_and_starts_when_they_come(world: World) -> None:
    keys = Keys()
    async with world.supervised(unsealing=keys):
        (guid,) = await world.run_app("app", "env; " + SERVER, environment={"TOLD": "x"}, epoch=7)
        fact = await world.until(guid, lambda now: now is not None and now.details is not None)
        assert (fact.state, fact.details) == ("STARTING", "no control node answers")
        keys.reachable = True
        await world.running(guid)
        assert await world.line("app", "TOLD=") == "TOLD=by a control node"
        assert set(keys.asked) == {(guid, 7)}
        assert world.lines("app", "API") == []  # waiting was no crash


async def test_one_that_waits_holds_up_no_other_and_stops_at_once(world: World) -> None:
    keys = Keys()
    async with world.supervised(unsealing=keys):
        waiting = await world.run_app("app", SERVER, instances=12)
        for guid in waiting:
            await world.until(guid, lambda now: now is not None and now.details is not None)
        with trio.fail_after(5):
            await world.remove(*waiting)
            for guid in waiting:
                await world.gone(guid)
        keys.reachable = True
        (other,) = await world.run_app("other", SERVER)
        await world.running(other)
