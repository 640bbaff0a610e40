"""The stack for production, built from Debian's packages: apps are staged and served on it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.harness import EXAMPLES, running_node

pytestmark = [pytest.mark.root, pytest.mark.slow]

ONE_STACK_AND_A_COLD_PUSH_EACH_S = 1800
APPS = {
    "flask-app": ("debian12", "/health", '"up"'),
    "express-app": ("debian12", "/api/time", '"secure":true'),
    "static-site": ("cflinuxfs4", "/", "Served by nginx"),
    "django-app": ("cflinuxfs4", "/", "<title>"),
}


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a node's stacks with debian12 in it; PAASD_TEST_STACKS names one that is kept between runs."""
    kept = os.environ.get("PAASD_TEST_STACKS")
    data = Path(kept) if kept else tmp_path_factory.mktemp("built")
    if not (data / "stacks" / "debian12.json").exists():
        command = [sys.executable, "-m", "paasd", "--data", str(data), "stack", "build", "debian12"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    yield data / "stacks"


@pytest.fixture
def data(tmp_path: Path, stacks: Path) -> Path:
    shutil.copytree(stacks, tmp_path / "node" / "stacks", copy_function=os.link)
    (tmp_path / "node").chmod(0o700)
    return tmp_path / "node"


@pytest.mark.timeout(ONE_STACK_AND_A_COLD_PUSH_EACH_S)
async def test_apps_are_staged_and_served_on_debian12_and_on_the_name_that_others_give_it(data: Path) -> None:
    async with running_node(data) as node:
        for name, (stack, path, expected) in APPS.items():
            result = await node.push(name, EXAMPLES / name, f"applications:\n- name: {name}\n  stack: {stack}\n")
            assert result["type"] == "result", f"{result}\n" + "\n".join(result["log"])
            answer = await node.get(f"{name}.apps.localhost", path)
            assert answer.status_code == 200, answer.text
            assert expected in answer.text
            droplet = (await node.api.get(f"/v3/apps/{(await node.app(name))['guid']}/droplets/current")).json()
            assert droplet["stack"] == stack
            print(name, result["waterfall"])
            await node.delete(name)


async def test_an_app_on_debian12_sees_that_stack_and_nothing_of_the_host(data: Path) -> None:
    server = (
        "import http.server, os, pathlib\n"
        'release = pathlib.Path("/etc/os-release").read_text()\n'
        'stack = os.environ.get("CF_STACK", "none")\n'
        "class Hello(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        '        self.wfile.write(f"{stack} {os.path.exists(self.path)} {release}".encode())\n'
        'http.server.HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Hello).serve_forever()\n'
    )
    files: dict[str, str | bytes] = {"server.py": server, "Procfile": "web: python3 server.py\n"}
    async with running_node(data) as node:
        result = await node.push("seer", files, "applications:\n- name: seer\n  stack: debian12\n")
        assert result["type"] == "result", f"{result}\n" + "\n".join(result["log"])
        assert " True " in (await node.get("seer.apps.localhost", "/usr/bin/gcc")).text
        answer = (await node.get("seer.apps.localhost", str(Path(__file__).parent))).text
        assert " False " in answer
        assert 'VERSION_ID="12"' in answer


async def test_a_stack_that_was_not_built_is_refused_with_the_command_that_builds_it(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node") as node:
        result = await node.push("app", EXAMPLES / "static-site", "applications:\n- name: app\n  stack: debian12\n")
        assert result["type"] == "error"
        assert "paasd stack build debian12" in result["detail"], result
