"""The push in one call, call by call and from the command line: the same outcome."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import trio

from paasd.model import Droplet
from tests.node.harness import Driver, running_node
from tests.node.steps import push_by_steps

pytestmark = pytest.mark.root

SERVER = """
import http.server, os
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["GREETING"].encode())
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Hello).serve_forever()
"""
FILES = {
    "server.py": SERVER,
    "Procfile": "web: python3 server.py\nworker: sleep 1000\n",
    "notes/left-out.txt": "x",
    ".cfignore": "notes\nmanifest.yml\n",
}
WAYS = ("app-call", "app-steps", "app-command")
MANIFEST = """
applications:
- name: {name}
  memory: 64M
  disk_quota: 128M
  instances: 1
  timeout: 30
  health-check-type: http
  health-check-http-endpoint: /
  env:
    GREETING: good day
    NUMBER: 7
  routes:
  - route: {name}.apps.localhost
  - route: shared.apps.localhost/{name}
  metadata:
    labels:
      team: blue
  processes:
  - type: worker
    instances: 1
    memory: 32M
    health-check-type: process
  sidecars:
  - name: helper
    process_types: [web]
    command: sleep 1000
    memory: 16M
"""
CHANGING = ("guid", "_at", "href", "version", "created_by", "uptime", "since", "time", "checksum", "usage", "_s")


async def push_from_the_command_line(node: Driver, name: str, folder: Path, manifest: str) -> None:
    (folder / "manifest.yml").write_text(manifest)
    words = ["--data", str(node.node.directory), "push", name, str(folder)]
    done = await trio.run_process([sys.executable, "-m", "paasd", *words], capture_stdout=True, capture_stderr=True)
    assert f"{name} is up".encode() in done.stdout, done.stdout + done.stderr


async def push(node: Driver, way: str, folder: Path) -> None:
    manifest = MANIFEST.format(name=way)
    match way:
        case "app-call":
            result = await node.push(way, folder, manifest)
            assert result["type"] == "result", result
        case "app-steps":
            build = await push_by_steps(node, way, folder, manifest)
            assert build["state"] == "STAGED", build
        case _:
            await push_from_the_command_line(node, way, folder, manifest)


async def outcome(node: Driver, name: str) -> dict[str, Any]:
    """Everything that the API shows of the app, and what its droplet is made of."""
    guid = (await node.app(name))["guid"]
    found: dict[str, Any] = {}
    for part in (
        "",
        "/processes",
        "/processes/web",
        "/processes/worker",
        "/processes/web/stats",
        "/routes",
        "/env",
        "/environment_variables",
        "/features",
        "/sidecars",
        "/droplets/current",
        "/packages",
        "/builds",
        "/revisions",
        "/relationships/current_droplet",
        "/ssh_enabled",
    ):
        answer = await node.api.get(f"/v3/apps/{guid}{part}")
        found[part] = answer.json() if answer.status_code == 200 else answer.status_code
    with node.node.context.database.read() as tx:
        droplet = tx.all(Droplet, app_guid=guid)[0]
        layers = [(layer.role, node.node.context.blobs.path(layer.sha256)) for layer in droplet.layers]
        found["process types"] = droplet.process_types
    found["layers"] = {role: contents(image) for role, image in layers}
    answer = await node.get(f"{name}.apps.localhost")
    found["answer"] = (answer.status_code, answer.text)
    return {key: alike(value, name) for key, value in found.items()}


def contents(image: Path) -> dict[str, str]:
    """Path, mode and digest of all that is in an image; times are those of its making."""
    target = Path(tempfile.mkdtemp()) / "tree"
    subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-d", str(target), str(image)], check=True)
    found = {}
    for path in sorted(target.rglob("*")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
        found[str(path.relative_to(target))] = f"{path.lstat().st_mode:o} {digest}"
    shutil.rmtree(target.parent)
    return found


def alike(value: Any, name: str) -> Any:
    """Without what differs between two apps: identities, times, addresses, and their names."""
    match value:
        case dict():
            return {key: alike(one, name) for key, one in value.items() if not key.endswith(CHANGING)}
        case list():
            # Routes that were made in one second come in any order.
            return sorted((alike(one, name) for one in value), key=str)
        case str():
            try:
                inner = json.loads(value)
            except ValueError:
                inner = None
            if isinstance(inner, dict):
                return alike(inner, name)
            text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "GUID", value)
            return re.sub(r"\b10\.\d+\.\d+\.\d+\b", "ADDRESS", text).replace(name, "NAME")
        case _:
            return value


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """The leaves by their path."""
    match value:
        case dict():
            return {key: leaf for name, one in value.items() for key, leaf in flat(one, f"{path}.{name}").items()}
        case list() | tuple():
            return {key: leaf for at, one in enumerate(value) for key, leaf in flat(one, f"{path}[{at}]").items()}
        case _:
            return {path: value}


async def test_three_ways_to_push_give_the_same_app(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    (folder / "notes").mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    async with running_node(tmp_path / "n") as node:
        outcomes = {}
        for way in WAYS:
            await push(node, way, folder)
            outcomes[way] = await outcome(node, way)
        assert outcomes["app-call"]["answer"] == (200, "good day")
        assert outcomes["app-call"]["process types"] == {"web": "python3 server.py", "worker": "sleep 1000"}
        assert any(path.endswith("app/server.py") for path in outcomes["app-call"]["layers"]["app"])
        assert not any("left-out" in path for path in outcomes["app-call"]["layers"]["app"])
        first = flat(outcomes["app-call"])
        for way in WAYS[1:]:
            other = flat(outcomes[way])
            differing = {key: (first.get(key), other.get(key)) for key in first | other}
            differing = {key: pair for key, pair in differing.items() if pair[0] != pair[1]}
            assert differing == {}, differing
