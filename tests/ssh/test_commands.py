"""`paasd ssh` and its kin as a person types them, and the example that uses them."""

import os
import sys
from pathlib import Path

import pytest
import trio

from paasd.config import SshConfig
from tests.cli.typing_hands import paasd
from tests.node.harness import free_port
from tests.ssh.scene import ended, open_scene

pytestmark = pytest.mark.root
IDLE_S = 2.5
LOOK = Path(__file__).parents[2] / "examples" / "ssh" / "look.sh"


async def test_by_commands(tmp_path: Path) -> None:
    async with open_scene(tmp_path, SshConfig(port=0, idle_s=IDLE_S)) as scene:
        data = str(scene.node.node.directory)

        async def typed(*words: str, code: int = 0) -> str:
            done = await paasd(*words, PAASD_DATA=data)
            assert done.code == code, done
            return done.out if code == 0 else done.err

        idle = await scene.hands.start(scene.user, "sleep 1000")
        assert await typed("ssh", "hello", "-c", "echo $MORE; pwd") == "from-profile\n/home/vcap/app\n"
        await typed("ssh", "hello", "-c", "exit 9", code=9)
        assert "Instance 7 of the process 'web' is not running" in await typed("ssh", "hello", "-i", "7", code=1)
        (tmp_path / "fixtures").mkdir()
        (tmp_path / "fixtures" / "one").write_text("1\n")
        await typed("cp", "-r", str(tmp_path / "fixtures"), "hello:")
        await typed("cp", "hello:fixtures/one", str(tmp_path / "back"))
        assert (tmp_path / "back").read_text() == "1\n"
        assert "one of the two is NAME:PATH" in await typed("cp", "a", "b", code=2)
        assert f"user: {scene.user}\n" in await typed("ssh-code", "hello")
        await look(data, tmp_path)
        assert f"nothing has moved for {IDLE_S:g} s".encode() in await ended(idle)
        assert "[SSH/0] OUT Successful remote access by 127.0.0.1\n" in await typed("logs", "hello", "-n", "500")
        assert await typed("disable-ssh", "hello") == "ssh into hello is not allowed (Disabled for app).\n"
        assert "ssh is disabled for app" in await typed("ssh", "hello", code=1)
        assert await typed("enable-ssh", "hello") == "ssh into hello is allowed.\n"
        assert await typed("space-ssh", "forbid") == "ssh into apps of main/dev is not allowed (by the space).\n"
        assert await typed("space-ssh", "allow") == "ssh into apps of main/dev is allowed.\n"
        assert await typed("org-ssh", "main") == "ssh in main is allowed by the platform's default.\n"
        assert await typed("org-ssh", "main", "forbid") == "ssh in main is forbidden by the organization.\n"
        assert "ssh is disabled for organization" in await typed("ssh", "hello", code=1)
        assert await typed("org-ssh", "main", "default") == "ssh in main is allowed by the platform's default.\n"


async def look(data: str, tmp_path: Path) -> None:
    """The example."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PAASD_DATA": data, "PATH": path, "LOOK_PORT": str(free_port())}
    with trio.fail_after(60):
        await trio.run_process([str(LOOK), "hello", str(tmp_path / "look")], env=environment)
    found = {one.name: one.read_text() for one in (tmp_path / "look").iterdir()}
    assert "python3 server.py" in found["processes.txt"]
    assert {"PORT", "VCAP_APPLICATION"} <= set(found["names.txt"].split())
    assert "/" in found["disk.txt"]
    assert len(found["answer.txt"].strip()) == 36
