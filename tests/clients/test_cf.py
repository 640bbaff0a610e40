"""The `cf` CLI's own calls against a whole node, over HTTPS and Envoy."""

from collections.abc import AsyncIterator

import pytest

from tests.clients.cf_changes import CfChanges
from tests.node.harness import HELLO, Driver

pytestmark = pytest.mark.root

MANIFEST = """---
version: 1
applications:
- name: shop
  memory: 64M
  disk_quota: 128M
  instances: 2
  env:
    GREETING: good day
  routes:
  - route: shop.apps.localhost
  - route: shop.apps.localhost/deep
  processes:
  - type: worker
    command: sleep 1000
    instances: 0
    health-check-type: process
"""


@pytest.fixture
async def cf(node: Driver) -> AsyncIterator[CfChanges]:
    """Signed in as admin, with an organization and a space of its own targeted."""
    found = CfChanges(node.node.url("api"), str(node.node.certificates.authority_path))
    async with found.http:
        await found.api()
        assert node.node.admin_password is not None
        await found.login("admin", node.node.admin_password)
        await found.create_org("acme")
        await found.create_org("acme")
        await found.create_space("acme", "prod", "admin")
        await found.target("acme", "prod")
        yield found


FILES = {name: text for name, text in HELLO.items() if isinstance(text, str)}


async def test_push_without_a_manifest_and_everything_after_it(cf: CfChanges, node: Driver) -> None:
    await cf.push("hello", FILES)
    assert (await node.get("hello.apps.localhost")).status_code == 200
    assert await cf.apps() == {"hello": "started 1"}
    shown = await cf.app("hello")
    stats = shown["web"]["stats"][0]
    needed = {"type", "index", "state", "uptime", "usage", "mem_quota", "disk_quota", "log_rate_limit", "routable"}
    assert needed | {"details", "instance_ports", "isolation_segment"} <= set(stats)
    assert shown["web"]["process"]["command"] == "python3 server.py"
    assert [route["url"] for route in shown["routes"]] == ["hello.apps.localhost"]
    assert {"name", "version", "detect_output", "buildpack_name"} <= set(shown["droplet"]["buildpacks"][0])

    await see_logs(cf, node)
    await see_routes(cf, node)
    await change(cf, node)
    kinds = [event["type"] for event in await cf.events("hello")]
    assert {"audit.app.create", "audit.app.start", "audit.app.stop"} <= set(kinds)
    await cf.delete_with_routes("hello")
    assert await cf.apps() == {}
    assert await cf.routes() == {}
    assert (await node.get("hello.apps.localhost")).status_code == 404


async def see_logs(cf: CfChanges, node: Driver) -> None:
    app = await cf.find_app("hello")
    recent = await cf.logs_recent("hello")
    assert f"[API/0] OUT Created app with guid {app['guid']}" in recent
    assert any(line.startswith("[STG/0] OUT -----> ") for line in recent)
    assert any(line.startswith("[CELL/0] OUT ") for line in recent)
    # What is asked for after the CLI found where the stream stands is what it shows.
    await cf.logs("hello", lambda: node.get("hello.apps.localhost", "/followed"), "GET /followed")


async def see_routes(cf: CfChanges, node: Driver) -> None:
    assert "apps.localhost" in await cf.domains()
    await cf.create_route("apps.localhost", "second")
    await cf.map_route("hello", "apps.localhost", "second")
    assert await cf.routes() == {"hello.apps.localhost": ["hello"], "second.apps.localhost": ["hello"]}


async def change(cf: CfChanges, node: Driver) -> None:
    await cf.set_env("hello", "COLOR", "red")
    await cf.set_env("hello", "SIZE", "big")
    await cf.set_env("hello", "SIZE", None)
    assert await cf.env("hello") == {"COLOR": "red"}
    await cf.scale("hello", instances=2)
    await cf.wait_for_instances((await cf.find_app("hello"))["guid"])
    await cf.scale("hello", memory_in_mb=128)
    assert (await cf.app("hello"))["web"]["process"]["memory_in_mb"] == 128
    await cf.restart("hello")
    await cf.stop("hello")
    assert (await cf.app("hello"))["state"] == "STOPPED"
    await cf.start("hello")
    await cf.restage("hello")
    assert (await cf.app("hello"))["state"] == "STARTED"


async def test_push_with_a_manifest(cf: CfChanges, node: Driver) -> None:
    await cf.push("shop", FILES, MANIFEST)
    shown = await cf.app("shop")
    assert (shown["web"]["process"]["memory_in_mb"], shown["web"]["process"]["disk_in_mb"]) == (64, 128)
    assert shown["worker"]["process"]["instances"] == 0
    assert shown["worker"]["stats"] == []
    await cf.until(cf.apps, lambda rows: rows == {"shop": "started 2"})
    assert await cf.env("shop") == {"GREETING": "good day"}
    assert set(await cf.routes()) == {"shop.apps.localhost", "shop.apps.localhost/deep"}
    assert (await node.get("shop.apps.localhost", "/deep")).status_code == 200
    # The manifest is added to what is there: a second push without its keys changes none of them.
    await cf.push("shop", FILES)
    assert await cf.env("shop") == {"GREETING": "good day"}
    assert (await cf.app("shop"))["web"]["process"]["instances"] == 2
