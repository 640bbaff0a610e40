"""The end of the chain cut off and its heads set back: what the node saw before finds it, also without the file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from paasd.actions import audit
from paasd.actions.audit_heads import FILE, HeadKeeper, platform_head
from paasd.actions.context import Context
from paasd.model.arguments import SYSTEM
from paasd.model.nodes import RegisterNode, register_node
from paasd.model.organizations import (
    CreateOrganization,
    UpdateOrganization,
    create_organization,
    update_organization,
)
from tests.api.serving import Clock, Served, serve

SEEN = "this node saw it"


class Platform:
    """A node that keeps heads, and an organization with events."""

    def __init__(self, served: Served) -> None:
        self.database = served.context.database
        self.clock: Clock = served.clock
        self.directory = self.database.path.parent
        self.start(served.context)
        self.organization = ""

    def start(self, context: Context) -> None:
        """As the daemon does each time."""
        self.heads = HeadKeeper(self.directory, self.clock)
        self.context = msgspec.structs.replace(context, seen_heads=self.heads.seen)
        self.keep()

    def keep(self) -> None:
        with self.database.read() as tx:
            head = platform_head(tx)
        assert head is not None
        self.heads.keep(head)

    async def change(self, name: str) -> None:
        renamed = UpdateOrganization(organization_guid=self.organization, name=name, actor=SYSTEM)
        await self.database.write(update_organization, renamed)

    async def problem(self, chain: str = "platform") -> str:
        return (await audit.check(self.context, audit.Scope(chain))).problem or ""

    def cut_off(self, events: int) -> None:
        """Take the newest away, and set both heads to what is left."""
        file = apsw.Connection(str(self.database.path))
        columns = "guid, sequence, hash, organization_sequence, organization_hash"
        rows: list[Any] = list(
            file.execute(f"SELECT {columns} FROM audit_events ORDER BY sequence DESC LIMIT {events + 1}")
        )
        last = rows.pop()
        with file:
            for row in rows:
                file.execute("DELETE FROM audit_events WHERE guid = ?", (row[0],))
            head = "UPDATE audit_chains SET sequence = ?, hash = ? WHERE scope = ?"
            file.execute(head, (last[1], last[2], "platform"))
            file.execute(head, (last[3], last[4], self.organization))
        file.close()


@asynccontextmanager
async def open_platform(directory: Path) -> AsyncIterator[Platform]:
    async with serve(directory) as served:
        node = RegisterNode(guid=served.context.node_guid, name="n", zone="z", memory_mb=1, disk_mb=1, cpus=1)
        await served.context.database.write(register_node, node)
        platform = Platform(served)
        made = CreateOrganization(name="one", actor=SYSTEM)
        platform.organization = (await platform.database.write(create_organization, made)).guid
        for number in range(4):
            await platform.change(f"name-{number}")
        platform.keep()
        yield platform


async def test_all_is_well_with_what_nobody_touched(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as platform:
        assert await platform.problem() == ""
        assert await platform.problem(platform.organization) == ""
        platform.clock.ahead_s = 3 * 86400
        await platform.change("later")
        platform.start(platform.context)
        assert await platform.problem() == ""


@pytest.mark.parametrize("file", ["there", "gone"])
async def test_an_end_that_was_cut_off_is_found_also_when_the_file_is_gone(tmp_path: Path, file: str) -> None:
    async with open_platform(tmp_path) as platform:
        platform.cut_off(2)
        if file == "gone":
            (platform.directory / FILE).unlink()
        assert "missing" in await platform.problem()
        assert SEEN in await platform.problem(platform.organization), "its people are told so, too"


async def test_another_end_in_its_place_is_found(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as platform:
        platform.cut_off(2)
        for name in ("x", "y", "z"):
            await platform.change(name)
        assert "another hash" in await platform.problem()
        assert SEEN in await platform.problem(platform.organization)


async def test_a_file_that_is_gone_is_found_while_the_daemon_runs(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as platform:
        (platform.directory / FILE).unlink()
        assert "does not hold the head" in await platform.problem()


async def test_a_line_that_is_gone_is_found(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as platform:
        await platform.change("more")
        platform.keep()
        path = platform.directory / FILE
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([lines[0], *lines[2:]]))
        platform.start(platform.context)
        assert "taken out" in await platform.problem()


async def test_a_file_that_begins_long_after_the_node_is_found_after_a_restart_too(tmp_path: Path) -> None:
    async with open_platform(tmp_path) as platform:
        (platform.directory / FILE).unlink()
        platform.clock.ahead_s = 3 * 3600
        platform.start(platform.context)
        assert "long after the node" in await platform.problem()
