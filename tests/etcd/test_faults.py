"""Members killed, stopped, cut off, answers lost: nothing acknowledged is lost, read stale, or done twice."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

import paasd.state.log.etcd
from paasd.etcd import Lost, open_client
from paasd.state.log.etcd import EtcdLog
from tests.etcd.faults import Troubled, clients_at, troubled
from tests.etcd.members import MakeLog


@asynccontextmanager
async def used(trouble: Troubled) -> AsyncIterator[None]:
    """Load on all nodes during the block; checked afterwards."""
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(trouble.use, number)
        await acknowledged(trouble, 20)
        yield
        trouble.network.heal()
        trouble.network.lose_answer = 0.0
        await acknowledged(trouble, 20)
        nursery.cancel_scope.cancel()
    await trouble.check()


async def acknowledged(trouble: Troubled, count: int, within_s: float = 10.0) -> float:
    """Wait for so many writes from now on; how long that took."""
    began = trio.current_time()
    with trio.fail_after(within_s):
        while len(trouble.acknowledged(began)) < count:
            await trio.sleep(0.005)
    return trio.current_time() - began


async def test_members_are_killed_and_stopped_under_load() -> None:
    async with troubled() as trouble, used(trouble):
        trouble.kill(await trouble.leader())
        assert await acknowledged(trouble, 1) < 5
        stopped = await trouble.leader()
        trouble.signal(stopped, signal.SIGSTOP)
        assert await acknowledged(trouble, 5) < 5
        trouble.signal(stopped, signal.SIGCONT)
        trouble.kill((stopped + 1) % 3)


async def test_a_node_is_cut_off_with_or_without_the_lead() -> None:
    async with troubled(1) as trouble, used(trouble):
        for number in (await trouble.leader(), (await trouble.leader() + 1) % 3):
            trouble.isolate(number)
            assert await acknowledged(trouble, 10) < 6
            assert not await trouble.databases[number].fresh(1.5), "it cannot know what the others write"
            trouble.network.heal()
            await trio.sleep(0.5)


async def test_a_request_that_arrives_late_takes_effect_once(
    monkeypatch: pytest.MonkeyPatch, make: MakeLog = EtcdLog
) -> None:
    """Its place was found free after the time-out, which proves nothing: it was on its way to a leader that paused."""
    monkeypatch.setattr(paasd.state.log.etcd, "LOOK_S", 60)  # it would find out first and go to another member
    async with troubled(4, make) as trouble:
        leader = await trouble.leader()
        await trouble.grow_once((leader + 1) % 3)
        await trio.sleep(0.3)  # or its writer would still be reading, and find out before it appends
        trouble.signal(leader, signal.SIGSTOP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trouble.grow_once, (leader + 1) % 3)
            await trio.sleep(0.7)
            trouble.signal(leader, signal.SIGCONT)
        await trio.sleep(0.5)
        await trouble.check()


async def test_a_connection_that_was_cut_silently_is_noticed() -> None:
    async with troubled(5) as trouble:
        address = (clients_at(0), trouble.village.specs[0].client_port)
        context = trouble.village.members[0].client_context()
        async with (
            open_client(lambda: [address], lambda: context) as client,
            client.watch(b"a", b"b", 1) as answers,
        ):
            await anext(answers)  # created
            trouble.network.cut.add(("m0", "client0"))
            with trio.fail_after(2.5), pytest.raises(Lost):
                await anext(answers)


async def test_answers_are_lost() -> None:
    """Each write is sent again until its place is taken, and takes effect once."""
    async with troubled(2) as trouble, used(trouble):
        trouble.network.lose_answer = 0.02
        await acknowledged(trouble, 150, within_s=30)
        assert trouble.network.lost >= 3


async def test_without_a_majority_writes_are_refused_and_nothing_of_them_is_left() -> None:
    async with troubled(3) as trouble:
        async with used(trouble):
            pass
        for number in (1, 2):
            trouble.signal(number, signal.SIGSTOP)
        await trio.sleep(3)
        before = len(trouble.history)

        def outcomes() -> set[str]:
            return {seen.outcome for seen in trouble.history[before:]}

        with trio.fail_after(30):
            while "refused" not in outcomes():
                with trio.move_on_after(3):
                    await trouble.use(0)
        assert outcomes() <= {"refused", "unknown"}
        for number in (1, 2):
            trouble.signal(number, signal.SIGCONT)
        async with used(trouble):
            pass


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.timeout(300)
async def test_everything_at_once(seed: int) -> None:
    async with troubled(seed) as trouble, used(trouble):
        trouble.network.delay_s = 0.005
        for _ in range(8):
            number = trouble.network.random.randrange(3)
            trouble.network.lose_answer = trouble.network.random.choice((0.0, 0.01))
            match trouble.network.random.choice(("kill", "stop", "cut")):
                case "kill":
                    trouble.kill(number)
                case "stop":
                    trouble.signal(number, signal.SIGSTOP)
                case "cut":
                    trouble.isolate(number)
            await trio.sleep(trouble.network.random.uniform(0.5, 3.0))
            trouble.signal(number, signal.SIGCONT)
            trouble.network.heal()
            await acknowledged(trouble, 3, within_s=30)
