"""From one node with a log of its own to three that vote, and on, while writes go on."""

import time

import trio

from paasd.errors import OutcomeUnknown, PaasdError
from paasd.model import Setting
from paasd.model.settings import PutSetting, put_setting
from paasd.state import LocalLog
from tests.voting.cluster import Town, town


class Writer:
    """Writes without a pause through the nodes in turn, and remembers what was acknowledged."""

    def __init__(self, found: Town, guids: str) -> None:
        self.found = found
        self.guids = guids
        self.written: list[str] = []
        self.failed: list[str] = []
        self.slowest_s = 0.0

    async def run(self) -> None:
        number = 0
        while True:
            guid = self.guids[number % len(self.guids)]
            name = f"k{number}"
            number += 1
            began = time.monotonic()
            try:
                await self.found.databases[guid].write(put_setting, PutSetting(name=name, value=guid))
                self.written.append(name)
            except (PaasdError, OutcomeUnknown) as error:
                self.failed.append(f"{guid}: {error!r}")
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            await trio.sleep(0.005)


async def test_three_nodes_take_the_log_to_etcd_while_writes_go_on() -> None:
    async with town(strict=True) as found:
        await found.start("a", "x")
        await found.start("b", "y")
        await trio.sleep(0.3)
        assert isinstance(found.databases["a"].log, LocalLog)
        assert found.seats["a"].runs is None
        async with trio.open_nursery() as nursery:
            writer = Writer(found, "ab")
            nursery.start_soon(writer.run)
            await found.start("c", "z")
            await found.until_votes("abc")
            before = len(writer.written)
            while len(writer.written) < before + 20:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert not writer.failed
        assert writer.slowest_s < 2
        await found.databases["c"].catch_up()
        with found.databases["c"].read() as tx:
            there = {row.name for row in tx.all(Setting)}
        assert set(writer.written) <= there
