"""A platform of three zones loses machines, daemons and links while clients ask, write and push."""

import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.cluster.cluster import Cluster, Load, Member, cluster, failures
from tests.cluster.writers import Register
from tests.node.harness import HELLO

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(900),
    # httpx leaves what it sends where the connection died.
    pytest.mark.filterwarnings("ignore:.*ByteStream.__aiter__:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning"),
]

HOST = "hello.apps.localhost"
ZONES = ("dc/a", "dc/b", "dc/c")
MANIFEST = "applications:\n- name: hello\n  instances: 3\n  memory: 64M\n"
RATE_PER_S = 100
FAILED_LIMIT_S = 1.0
REPLACED_LIMIT_S = 15.0
WRITES_LIMIT_S = 5.0


class Scene:
    """A platform under load; `windows` holds what was measured, for the report."""

    def __init__(self, platform: Cluster, load: Load, register: Register) -> None:
        self.platform = platform
        self.load = load
        self.register = register
        self.windows: list[str] = []

    def others(self, *gone: Member) -> list[Member]:
        return [member for member in self.platform.members if member not in gone]

    def note(self, text: str) -> None:
        self.windows.append(text)
        print(text, flush=True)

    async def all_well(self, limit_s: float = 90.0) -> None:
        """Every machine is on, nothing is wrong, and three instances run."""

        async def well() -> bool:
            through = self.platform.members[0]
            return (
                await through.answers()
                and not (await through.status())["problems"]
                and "3 of 3 running" in through.paasd("app", "hello")
                and through.paasd("members").count("ready") == len(self.platform.members)
                and through.paasd("members").count("voter") == 3
            )

        await self.platform.until(well, limit_s=limit_s, what="all is well")

    async def replaced(self, since: float, through: Member) -> float:
        """Seconds from a moment until three instances run again, all on living nodes."""

        async def enough() -> bool:
            text = await trio.to_thread.run_sync(lambda: through.paasd("members"))
            counts = [int(line.split()[-1]) for line in text.splitlines()[1:] if " alive " in line]
            return sum(counts) >= 3 and "3 of 3 running" in through.paasd("app", "hello")

        await self.platform.until(enough, limit_s=60, what="three instances on living nodes")
        return time.monotonic() - since

    def last_failure_s(self, since: float, through: list[Member]) -> float:
        """Seconds from a moment to the end of the last failed request through these nodes."""
        bad = failures(self.load.answers(), since - 0.05, through=through)
        return max((answer.began + answer.seconds - since for answer in bad), default=0.0)


@asynccontextmanager
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with cluster(tmp_path / "hosts", ZONES) as platform:
        try:
            result = await platform.members[1].push("hello", HELLO, MANIFEST)
            assert result["type"] == "result", result
            async with platform.members[0].client() as client:
                guid = (await client.get("/paasd/v1/spaces/main/dev/apps/hello")).json()["guid"]
            load = Load(platform, HOST, RATE_PER_S, platform.members)
            found = Scene(platform, load, Register(platform, guid))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(load.read)
                await found.all_well()
                nursery.start_soon(found.register.run)
                try:
                    yield found
                finally:
                    await load.stop()
                    nursery.cancel_scope.cancel()
            found.register.check()
            print(dict(found.register.outcomes), dict(load.counts()))
        except BaseException:
            print(platform.dump())
            raise


async def lose(scene: Scene, member: Member) -> None:
    """The machine is gone at once, serves nothing, and comes back later."""
    rest = scene.others(member)
    lost_at = time.monotonic()
    await trio.to_thread.run_sync(member.lose)
    replaced_s = await scene.replaced(lost_at, rest[0])
    failed_s = scene.last_failure_s(lost_at, rest)
    gap_s = scene.register.longest_gap_s(lost_at - 1)
    scene.note(
        f"{member.name} lost: last failed request {failed_s:.2f} s, replaced and serving {replaced_s:.2f} s, "
        f"longest pause of writes {gap_s:.2f} s"
    )
    assert failed_s <= FAILED_LIMIT_S
    assert replaced_s <= REPLACED_LIMIT_S
    assert gap_s <= WRITES_LIMIT_S
    result = await rest[1].push(f"during{member.host.number}", HELLO)
    assert result["type"] == "result", result
    member.host.power_on()
    member.start()
    await member.until_answering()
    await scene.all_well()


async def test_the_loss_of_each_node_in_turn_is_survived(tmp_path: Path) -> None:
    async with scene(tmp_path) as found:
        for member in found.platform.members:
            await lose(found, member)


async def kill_daemons(scene: Scene) -> None:
    """kill -9 of each daemon: no request fails, nothing moves."""
    for member in scene.platform.members:
        began = time.monotonic()
        before = scene.platform.members[0].paasd("app", "hello")
        member.kill_daemon()
        await trio.sleep(0.5)
        member.start()
        await member.until_answering()
        assert before.count("running") == scene.platform.members[0].paasd("app", "hello").count("running")
        bad = failures(scene.load.answers(), began, through=scene.platform.members)
        scene.note(f"{member.name}: daemon lost for {time.monotonic() - began:.2f} s, {len(bad)} failed requests")
        assert bad == []


async def cut_zone_off(scene: Scene) -> None:
    """A zone is cut off from the others and healed: clients of the rest notice nothing, writes go on there."""
    away = scene.platform.members[0]
    rest = scene.others(away)
    began = time.monotonic()
    scene.platform.fabric.separate([away.host])
    await scene.replaced(began, rest[0])
    failed_s = scene.last_failure_s(began, rest)
    served = [a for a in scene.load.answers() if a.began > began + 3 and a.address == away.host.address]
    refused = await away.push("nowhere", HELLO)
    scene.note(
        f"zone of {away.name} cut off: last failed request elsewhere {failed_s:.2f} s, {len(served)} served there"
    )
    assert failed_s <= FAILED_LIMIT_S
    assert served and {answer.outcome for answer in served} == {"200"}, "the cut-off node serves what it runs"
    assert refused["type"] == "error" and refused["status"] == 503, refused
    healed = time.monotonic()
    scene.platform.fabric.heal()
    await scene.all_well()
    scene.note(f"healed and well again after {time.monotonic() - healed:.2f} s")


async def cut_one_way(scene: Scene) -> None:
    """One node hears another and is not heard by it: nobody is declared dead by a lone witness."""
    one, two, _ = scene.platform.members
    scene.platform.fabric.cut(one.host, two.host)
    await trio.sleep(12)
    text = scene.platform.members[2].paasd("members")
    scene.platform.fabric.heal()
    assert " dead " not in text, text
    await scene.all_well()


async def pause(scene: Scene) -> None:
    """A machine hangs for half a minute and goes on: it is replaced, and what it ran is stopped when it wakes."""
    member = scene.platform.members[2]
    rest = scene.others(member)
    began = time.monotonic()
    member.host.signal_all(signal.SIGSTOP)
    replaced_s = await scene.replaced(began, rest[0])
    await trio.sleep(max(0.0, 30 - (time.monotonic() - began)))
    member.host.signal_all(signal.SIGCONT)
    failed_s = scene.last_failure_s(began, rest)
    scene.note(f"{member.name} paused: last failed request {failed_s:.2f} s, replaced {replaced_s:.2f} s")
    assert failed_s <= FAILED_LIMIT_S
    await scene.all_well()


async def restart_everything(scene: Scene) -> None:
    """All machines lose their power at once and come back: everything acknowledged is there and serves."""
    for member in scene.platform.members:
        await trio.to_thread.run_sync(member.lose)
    began = time.monotonic()
    for member in scene.platform.members:
        member.host.power_on()
        member.start()
    for member in scene.platform.members:
        await member.until_answering()
    await scene.all_well()
    scene.note(f"all machines restarted: well again after {time.monotonic() - began:.2f} s")


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [kill_daemons, cut_zone_off, cut_one_way, pause, restart_everything])
async def test_trouble_is_survived(tmp_path: Path, trouble: Callable[[Scene], Awaitable[None]]) -> None:
    async with scene(tmp_path) as found:
        await trouble(found)
