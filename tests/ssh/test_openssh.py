"""The unmodified OpenSSH client against a whole node."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from paasd.config import SshConfig
from tests.node.harness import HELLO, Driver, running_node
from tests.ssh.hands import Hands, target, token

pytestmark = pytest.mark.root


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Driver]:
    async with running_node(tmp_path / "node", ssh=SshConfig(port=0)) as made:
        yield made


async def hands_of(node: Driver, tmp_path: Path) -> Hands:
    assert node.node.ssh is not None
    assert node.node.admin_password is not None
    (tmp_path / "home").mkdir(exist_ok=True)
    headers = await token(node.api, "admin", node.node.admin_password)
    return Hands(tmp_path / "home", node.node.ssh.port, node.api, headers)


async def test_a_thin_path(node: Driver, tmp_path: Path) -> None:
    assert (await node.push("hello", HELLO))["type"] == "result"
    hands = await hands_of(node, tmp_path)
    user = await target(node, "hello")
    done = await hands.ssh(user, "echo out; echo err >&2; cat; exit 7", given=b"in")
    log = (tmp_path / "node" / "run" / "ssh.log").read_text()
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\nin", b"err\n"), (done, log)
