"""A node with one app, and somebody who may enter it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from paasd.config import SshConfig
from tests.node.harness import HELLO, Driver, running_node
from tests.ssh.hands import LIMIT_S, Hands, target, token

FILES: dict[str, str | bytes] = {**HELLO, ".profile.d/more.sh": "echo noise\nexport MORE=from-profile\n"}


class Scene:
    """A node with one app, and somebody who may enter it."""

    def __init__(self, node: Driver, hands: Hands, user: str) -> None:
        self.node = node
        self.hands = hands
        self.user = user

    @property
    def log(self) -> str:
        return (self.node.node.directory / "run" / "ssh.log").read_text()

    async def events(self) -> list[tuple[str, str, Any]]:
        guid = (await self.node.app("hello"))["guid"]
        answer = await self.node.api.get("/v3/audit_events", params={"target_guids": guid, "per_page": 500})
        found = answer.json()["resources"]
        return [(one["type"], one["actor"]["name"], one["data"]) for one in found if "ssh" in one["type"]]

    def programs(self) -> int:
        """How many processes there are in the instance."""
        return sum(one.usage().pids for one in self.node.node.sandbox.containers.values())

    async def quiet(self, programs: int) -> None:
        with trio.fail_after(LIMIT_S):
            while self.programs() != programs:
                await trio.sleep(0.02)


@asynccontextmanager
async def open_scene(directory: Path, settings: SshConfig) -> AsyncIterator[Scene]:
    """The process that speaks ssh must have nothing to complain of in the end."""
    async with running_node(directory / "node", ssh=settings) as node:
        assert (await node.push("hello", FILES))["type"] == "result"
        assert node.node.ssh is not None
        assert node.node.admin_password is not None
        (directory / "home").mkdir()
        headers = await token(node.api, "admin", node.node.admin_password)
        hands = Hands(directory / "home", node.node.ssh.port, node.api, node.node.ssh.public_key, headers)
        made = Scene(node, hands, await target(node, "hello"))
        yield made
        assert made.log == ""


async def waiting(scene: Scene) -> trio.Process:
    """Somebody who is in, and stays."""
    process = await scene.hands.start(scene.user, "nohup sleep 1000 & echo in; sleep 1000")
    assert process.stdout is not None
    with trio.fail_after(LIMIT_S):
        assert await process.stdout.receive_some(100) == b"in\n"
    return process


async def ended(process: trio.Process) -> bytes:
    """What somebody was told at the end."""
    assert process.stderr is not None
    said = b""
    with trio.fail_after(LIMIT_S):
        while data := await process.stderr.receive_some(4096):
            said += data
        await process.wait()
    return said
