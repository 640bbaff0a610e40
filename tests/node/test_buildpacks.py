"""What buildpacks and their order may do, seen from outside: pushed to a node, asked over HTTPS."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from paasd.config import StagingConfig
from tests.node.harness import Driver, running_node

pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]

# Answers with a variable's value: GET /NAME.
TELLER = """
import http.server, os
class Teller(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get(self.path[1:], "none").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Teller).serve_forever()
"""
# A supply buildpack of someone else: a program on PATH, a variable for staging, one for running, a library's folder.
SUPPLIER = {
    "bin/detect": "#!/bin/sh\nexit 1\n",
    "bin/supply": """#!/bin/bash
set -e
mkdir -p "$3/$4/bin" "$3/$4/env" "$3/$4/profile.d"
printf '#!/bin/sh\\necho supplied\\n' > "$3/$4/bin/supplied"
chmod +x "$3/$4/bin/supplied"
echo -n while-staging > "$3/$4/env/SUPPLIED_WHEN"
echo 'export SUPPLIED="$(supplied) $DEPS_DIR"' > "$3/$4/profile.d/supplied.sh"
printf 'name: supplier\\nversion: 1.2.3\\n' > "$3/$4/config.yml"
cat > "$3/$4/launch.yml" <<'YAML'
processes:
- type: web
  command: web of the supplier
- type: worker
  command: worker of the supplier
YAML
echo "-----> Supplier in $2"
""",
}
# A last buildpack of someone else, of the old kind: compile and release.
RELEASER = {
    "bin/detect": '#!/bin/sh\ntest -f "$1/release-me" && echo Released\n',
    "bin/compile": '#!/bin/sh\necho "-----> Compiled with $(cat "$3/FLAVOUR")"; echo compiled > "$1/compiled"\n',
    "bin/release": """#!/bin/sh
cat <<'YAML'
---
config_vars: {A: b}
default_process_types:
  web: web of the release
  clock: clock of the release
YAML
""",
}


def buildpack(folder: Path, name: str, files: dict[str, str], *, below: str = "") -> str:
    """A zip as a release of a buildpack is: executable programs, perhaps all below one folder."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, content in files.items():
            info = zipfile.ZipInfo(below + path)
            info.external_attr = 0o100755 << 16
            archive.writestr(info, content)
    (folder / f"{name}.zip").write_bytes(packed.getvalue())
    return str(folder / f"{name}.zip")


def manifest(name: str, *lines: str) -> str:
    return "\n".join([f"applications:\n- name: {name}", *(f"  {line}" for line in lines)]) + "\n"


async def pushed(node: Driver, name: str, files: dict[str, str | bytes], *lines: str) -> list[str]:
    """Push something that must work; the staging lines."""
    result = await node.push(name, files, manifest(name, *lines))
    assert result["type"] == "result", f"{result}\n" + "\n".join(result["log"])
    return list(result["log"])


async def told(node: Driver, name: str, variable: str) -> str:
    return (await node.get(f"{name}.apps.localhost", f"/{variable}")).text


async def droplet(node: Driver, name: str) -> dict[str, Any]:
    found = await node.api.get(f"/v3/apps/{(await node.app(name))['guid']}/droplets/current")
    return dict(found.json())


async def test_buildpacks_of_others_from_zips_supply_and_release_in_cloud_foundrys_order(tmp_path: Path) -> None:
    packs = {
        "supplier": buildpack(tmp_path, "supplier", SUPPLIER, below="supplier-1.2.3/"),
        "releaser": buildpack(tmp_path, "releaser", RELEASER),
    }
    staging = StagingConfig(buildpacks=packs, buildpack_order=("releaser", "python", "binary"))
    async with running_node(tmp_path / "node", staging=staging) as node:
        own: dict[str, str | bytes] = {
            "requirements.txt": "",
            "teller.py": TELLER,
            "Procfile": "web: python teller.py\n",
        }
        lines = await pushed(node, "mixed", own, "buildpacks: [supplier, python_buildpack]")
        assert any("Supplier in /home/vcap/cache/" in line for line in lines)
        assert await told(node, "mixed", "SUPPLIED") == "supplied /home/vcap/deps"
        assert await told(node, "mixed", "SUPPLIED_WHEN") == "none"
        found = await droplet(node, "mixed")
        # The Procfile goes before the supplier's launch.yml, type by type.
        assert found["process_types"] == {"web": "python teller.py", "worker": "worker of the supplier"}
        supplier, python = found["buildpacks"]
        assert (supplier["buildpack_name"], supplier["version"]) == ("supplier", "1.2.3")
        assert (python["name"], python["buildpack_name"]) == ("python_buildpack", "python")

        released: dict[str, str | bytes] = {
            "release-me": "",
            "teller.py": TELLER,
            "Procfile": "web: python3 teller.py\n",
        }
        lines = await pushed(node, "old", released, "env: {FLAVOUR: mint}")
        assert any("Compiled with mint" in line for line in lines)
        found = await droplet(node, "old")
        assert found["process_types"] == {"web": "python3 teller.py", "clock": "clock of the release"}
        assert found["buildpacks"][0]["detect_output"] == "Released"


async def test_profile_scripts_run_in_order_and_what_the_developer_sets_wins(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "requirements.txt": "",
        "teller.py": TELLER,
        "Procfile": "web: python teller.py\n",
        ".profile.d/10-first.sh": 'export TRAIL="first $WEB_CONCURRENCY"\n',
        ".profile.d/20-second.sh": 'export TRAIL="$TRAIL second"\n',
        ".profile": 'export TRAIL="$TRAIL profile"\n',
    }
    async with running_node(tmp_path / "node") as node:
        await pushed(node, "default", files, "memory: 768M")
        assert await told(node, "default", "TRAIL") == "first 3 second profile"
        assert await told(node, "default", "WEB_CONCURRENCY") == "3"
        await pushed(node, "own", files, "memory: 768M", "env: {WEB_CONCURRENCY: 7, PYTHONHASHSEED: 0}")
        assert await told(node, "own", "WEB_CONCURRENCY") == "7"
        assert await told(node, "own", "PYTHONHASHSEED") == "0"


async def test_a_command_of_the_manifest_goes_before_that_of_the_procfile(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"teller.py": TELLER, "Procfile": "web: FROM=procfile python3 teller.py\n"}
    async with running_node(tmp_path / "node") as node:
        await pushed(node, "app", files, "command: FROM=manifest python3 teller.py")
        assert await told(node, "app", "FROM") == "manifest"
        await pushed(node, "app", files, "command: null")
        assert await told(node, "app", "FROM") == "procfile"


async def test_npm_workspaces_are_built_and_served(tmp_path: Path) -> None:
    source = Path(__file__).parent.parent / "stager" / "locks" / "workspaces"
    async with running_node(tmp_path / "node") as node:
        result = await node.push("shop", source)
        assert result["type"] == "result", f"{result}\n" + "\n".join(result["log"])
        found = json.loads((await node.get("shop.apps.localhost")).text)
        assert found == {"greeting": "a minute has 60000 ms", "esbuild": False}
        assert "built" in (await node.get("shop.apps.localhost", "/client.js")).text
