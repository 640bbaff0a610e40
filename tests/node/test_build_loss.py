"""kill -9 of the daemon in the middle of a real app's build: the next daemon builds it, and nothing is left over."""

import base64
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from paasd.sandbox import node_prefix, take_inventory
from paasd.sandbox.sandbox import SLOTS
from tests.node.daemon import Daemon, running_daemon
from tests.node.harness import EXAMPLES, Pusher, clients

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

BUILD_LIMIT_S = 240
# App, what its log says when the daemon is to die, file to change first so that there is something to build.
DEATHS = (
    ("express-app", "Fetching toolchain node", None),
    ("express-app", "Running build", "client.js"),
    ("django-app", "Installing dependencies from", None),
    ("django-app", "Collecting static files", "manage.py"),
    ("django-app", "Unpacked", "manage.py"),
)


async def say_push(pusher: Pusher, name: str, source: Path) -> None:
    """A push whose connection dies with the daemon."""
    try:
        await pusher.push(name, source)
    except httpx.TransportError:
        return


async def the_build_says(pusher: Pusher, name: str, text: str, seen: int) -> None:
    with trio.fail_after(BUILD_LIMIT_S):
        while not any(text in line for line in (await staging_lines(pusher, name))[seen:]):
            await trio.sleep(0.02)


async def staging_lines(pusher: Pusher, name: str) -> list[str]:
    try:
        envelopes = await pusher.logs(name)
    except httpx.HTTPStatusError:
        return []
    return [
        base64.b64decode(one["log"]["payload"]).decode(errors="replace")
        for one in envelopes
        if one["tags"]["source_type"] == "STG"
    ]


async def ended(pusher: Pusher) -> list[dict[str, Any]]:
    """All builds, once none is under way."""
    with trio.fail_after(BUILD_LIMIT_S):
        while True:
            builds = (await pusher.api.get("/v3/builds", params={"per_page": 100})).json()["resources"]
            if all(build["state"] != "STAGING" for build in builds):
                return list(builds)
            await trio.sleep(0.1)


def left(daemon: Daemon) -> dict[str, frozenset[str]]:
    """What the node has on its host that a build makes; processes without their numbers."""
    found = take_inventory(daemon.data, node_prefix(daemon.data), SLOTS)
    folders = ("blobs/incoming", "staging/builds", "toolchains/work", "sandbox/containers", "disks")
    return {
        "processes": frozenset(line.split(" ", 1)[1] for line in found.processes),
        "files": frozenset(
            str(path) for name in folders if (daemon.data / name).exists() for path in (daemon.data / name).iterdir()
        ),
        **{kind: getattr(found, kind) for kind in ("cgroups", "mounts", "loops", "network", "slots")},
    }


async def test_a_build_outlives_the_daemons_death_at_any_step_and_leaves_nothing(tmp_path: Path) -> None:
    async with running_daemon(tmp_path / "node") as daemon:
        async with clients(daemon.data, daemon.socket) as (api, web):
            # One app from start to end first: what stays of it is no leak.
            pusher = Pusher(api, web, daemon.https_port)
            assert (await pusher.push("static-site", EXAMPLES / "static-site"))["type"] == "result"
            await pusher.delete("static-site")
        await daemon.kill()
        await daemon.start()
        before = left(daemon)
        for number, (name, text, changed) in enumerate(DEATHS):
            source = tmp_path / f"{number}-{name}"
            shutil.copytree(EXAMPLES / name, source)
            if changed is not None:
                with (source / changed).open("a") as file:
                    file.write("\n" * (number + 1))
            async with clients(daemon.data, daemon.socket) as (api, web):
                pusher = Pusher(api, web, daemon.https_port)
                seen = len(await staging_lines(pusher, name))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(say_push, pusher, name, source)
                    await the_build_says(pusher, name, text, seen)
                    await daemon.kill()
            await daemon.start()
            async with clients(daemon.data, daemon.socket) as (api, web):
                pusher = Pusher(api, web, daemon.https_port)
                builds = await ended(pusher)
                assert len(builds) == 2 * number + 1, "one for each death, and one for each push after it"
                assert all(build["state"] == "STAGED" for build in builds), builds
                # The same files again are a push that has nothing to build, and serve.
                result = await pusher.push(name, source)
                assert result["type"] == "result", result
                assert any("Nothing changed" in line for line in result["log"]), result["log"]
                assert (await pusher.get(f"{name}.apps.localhost")).status_code == 200
                # What runs is no leak; the app itself stays for the next death.
                app = await pusher.app(name)
                (await pusher.api.post(f"/v3/apps/{app['guid']}/actions/stop")).raise_for_status()
            await nothing_is_left(daemon, before)


async def nothing_is_left(daemon: Daemon, before: dict[str, frozenset[str]]) -> None:
    deadline = trio.current_time() + 60
    while (now := left(daemon)) != before and trio.current_time() < deadline:
        await trio.sleep(0.1)
    difference = {kind: sorted(now[kind] ^ before[kind]) for kind in before if now[kind] != before[kind]}
    assert difference == {}
