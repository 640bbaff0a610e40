"""A buildpack that an administrator uploads builds apps; variable groups reach builds and instances."""

from pathlib import Path

import pytest
import trio

from tests.node.harness import Driver, running_node
from tests.node.test_buildpacks import RELEASER, TELLER, buildpack, droplet, pushed, told

pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]


async def uploaded(node: Driver, path: Path, files: dict[str, str], guid: str = "") -> str:
    """The guid of a buildpack with these files, the first that is asked."""
    if not guid:
        made = await node.api.post("/v3/buildpacks", json={"name": "releaser", "position": 1})
        guid = made.json()["guid"]
    bits = await trio.Path(buildpack(path, "releaser", files, below="releaser-1/")).read_bytes()
    done = await node.api.post(f"/v3/buildpacks/{guid}/upload", files={"bits": ("r.zip", bits, "application/zip")})
    assert (done.status_code, done.json()["state"]) == (202, "READY")
    return guid


async def test_an_uploaded_buildpack_builds_the_apps_that_it_knows(tmp_path: Path) -> None:
    app: dict[str, str | bytes] = {"release-me": "", "teller.py": TELLER, "Procfile": "web: python3 teller.py\n"}
    async with running_node(tmp_path / "node") as node:
        for group, variable in (("staging", {"FLAVOUR": "mint"}), ("running", {"SAUCE": "plum", "BOTH": "group"})):
            answer = await node.api.patch(f"/v3/environment_variable_groups/{group}", json={"var": variable})
            assert answer.status_code == 200, answer.text
        guid = await uploaded(node, tmp_path, RELEASER)
        lines = await pushed(node, "old", app)
        assert any("Compiled with mint" in line for line in lines)
        assert (await droplet(node, "old"))["buildpacks"][0]["detect_output"] == "Released"
        assert [await told(node, "old", name) for name in ("SAUCE", "BOTH", "FLAVOUR")] == ["plum", "group", "none"]

        # Other bits build again what did not change itself; the app has the last word on a variable.
        other = {**RELEASER, "bin/compile": '#!/bin/sh\necho "-----> Compiled anew"\n'}
        await uploaded(node, tmp_path, other, guid)
        lines = await pushed(node, "old", app, "env: {BOTH: app}")
        assert any("Compiled anew" in line for line in lines)
        assert await told(node, "old", "BOTH") == "app"

        await node.api.patch(f"/v3/buildpacks/{guid}", json={"enabled": False})
        await pushed(node, "old", app)
        assert (await droplet(node, "old"))["buildpacks"][0]["buildpack_name"] != "releaser"
