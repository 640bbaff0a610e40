"""The clocks of real hosts are set apart while clients ask, write and push: nothing compares them, and it is told."""

import subprocess
from pathlib import Path

import pytest
import trio

from tests.cluster.cluster import Member
from tests.cluster.scene import scene
from tests.cluster.test_losses import lose
from tests.node.harness import HELLO

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

OFFSETS_S = (0, 13, -13)
"""Two of them are 26 s apart: from 30 s on a node has no vote."""


def set_clock(member: Member, library: Path, offset_s: int) -> None:
    """Switch the machine off and on again with another wall clock, for its daemon, Envoy and shims."""
    member.lose()
    member.host.power_on()
    member.start(before=["/usr/bin/env", f"LD_PRELOAD={library}", f"PAASD_TEST_CLOCK_OFFSET_S={offset_s}"])


async def test_clocks_that_are_set_apart_are_told_and_change_nothing(tmp_path: Path) -> None:
    library = tmp_path / "clock.so"
    source = Path(__file__).with_name("clock.c")
    await trio.run_process(["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(source)])
    now = ["/usr/bin/env", f"LD_PRELOAD={library}", "PAASD_TEST_CLOCK_OFFSET_S=1000", "date", "+%s"]
    plain, moved = (int(subprocess.check_output(words)) for words in (["date", "+%s"], now))  # noqa: ASYNC221
    assert 990 < moved - plain < 1010

    async with scene(tmp_path) as found:
        found.expected = "the clock of node"
        for member, offset_s in zip(found.platform.members, OFFSETS_S, strict=True):
            if offset_s:
                await trio.to_thread.run_sync(set_clock, member, library, offset_s)
                await member.until_answering()
                await found.all_well()
        first = found.platform.members[0]

        async def told() -> bool:
            return len([text for text in (await first.status())["problems"] if found.expected in text]) == 2

        await found.platform.until(told, limit_s=60, what="both clocks are told to be wrong")
        found.note("; ".join((await first.status())["problems"]))
        for number, member in enumerate(found.platform.members):
            result = await member.push(f"apart{number}", HELLO)
            assert result["type"] == "result", result
        await found.steady()
        await lose(found, first)
        first.host.power_on()
        first.start()
        await first.until_answering()
        found.note(f"the one with the right clock is back, and all is well after {await found.all_well():.2f} s")
