"""Buildpacks without a sandbox: what they wrote for one directory runs in another."""

import os
from pathlib import Path

import pytest

import paasd.testing
from paasd.config import StagingConfig

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PAGES = {"static-site": "Served by nginx", "flask-app": "<h1>Hello from flask-app</h1>"}


@pytest.mark.timeout(170)
async def test_sites_and_apps_with_dependencies_are_staged_and_run() -> None:
    if os.geteuid() == 0:
        pytest.skip("nginx, started by root, becomes another user; test_without_root runs this")
    async with paasd.testing.cluster(staging=StagingConfig(inherit_host_settings=True)) as c:
        for name, text in PAGES.items():
            await c.push(name, EXAMPLES / name)
            assert text in (await c.get(name)).text
        homes = [Path(one.root, "home/vcap") for one in c.nodes[0].node.sandbox.containers.values()]
        (flask,) = [home for home in homes if (home / "app/app.py").exists()]
        script = (flask / "deps/0/python/bin/gunicorn").read_text()
        # The first line, or the third where the path is too long for the first.
        assert f"{flask}/deps/0/python/bin/python" in "".join(script.splitlines()[:3])
