"""Apps that do not start, do not end or take too much: the pusher is told why, and the neighbours notice nothing."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from tests.node.harness import HELLO, SERVER, Pusher, running_node
from tests.node.site import Site

pytestmark = pytest.mark.root

APP = "victim"
EATER = "x = []\nwhile True: x.append(bytearray(1 << 20))\n"
FORKER = """
import os, threading, time
def fork():
    while True:
        try:
            if os.fork() == 0:
                time.sleep(1000)
        except OSError:
            time.sleep(0.05)
threading.Thread(target=fork, daemon=True).start()
"""
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
MANIFEST = f"applications:\n- name: {APP}\n  timeout: 2\n  buildpacks: [binary_buildpack]\n"
LISTEN = "make it listen on 0.0.0.0:$PORT"
CASES: dict[str, tuple[str, list[str]]] = {
    "never listens": (
        "import time; time.sleep(1000)",
        ["Process web crashed at start", "never healthy after 2s", "port 8080: connection refused", LISTEN],
    ),
    "listens on loopback alone": (
        SERVER.replace("0.0.0.0", "127.0.0.1"),
        ["never healthy after 2s", "port 8080: connection refused", LISTEN],
    ),
    "crashes at once": ("raise SystemExit(3)", ["Process web crashed at start", "Exited with status 3", "app's logs"]),
    "is killed": ("import os; os.kill(os.getpid(), 11)", ["Exited with status 139", "app's logs"]),
    "eats memory": (EATER, ["Exited with status 137 (out of memory)", "give it more than 64 MB"]),
}


@asynccontextmanager
async def deleted_afterwards(pusher: Pusher) -> AsyncIterator[None]:
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await pusher.delete(APP)


def app(server: str) -> dict[str, str | bytes]:
    return {**HELLO, "server.py": server}


async def test_each_app_that_does_not_start_is_told_why_and_its_earlier_droplet_is_there(site: Site) -> None:
    async with site.pusher() as pusher:
        good = await pusher.push(APP, HELLO, MANIFEST)
        assert good["type"] == "result", good
        async with deleted_afterwards(pusher):
            wrong = {}
            for name, (server, expected) in CASES.items():
                result = await pusher.push(APP, app(server), MANIFEST)
                if result["type"] != "error" or any(text not in result["detail"] for text in expected):
                    wrong[name] = result.get("detail", result)
            assert wrong == {}
            guid = (await pusher.app(APP))["guid"]
            droplet = {"data": {"guid": good["droplet"]["guid"]}}
            answer = await pusher.api.patch(f"/v3/apps/{guid}/relationships/current_droplet", json=droplet)
            assert answer.status_code == 200, answer.text
            assert (await pusher.api.post(f"/v3/apps/{guid}/actions/restart")).status_code == 200
            with trio.fail_after(30):
                while (await pusher.get(f"{APP}.apps.localhost")).status_code != 200:
                    await trio.sleep(0.05)


async def test_an_app_that_ignores_its_end_is_killed(site: Site) -> None:
    async with site.pusher() as pusher:
        assert (await pusher.push(APP, app(STUBBORN + SERVER)))["type"] == "result"
        began = trio.current_time()
        await pusher.delete(APP)
        assert trio.current_time() - began < 20


async def test_an_app_that_forks_without_end_stays_within_its_processes(site: Site) -> None:
    async with site.pusher() as pusher:
        result = await pusher.push(APP, app(FORKER + SERVER), MANIFEST + "  memory: 256M\n")
        assert result["type"] == "result", result
        async with deleted_afterwards(pusher):
            with trio.fail_after(30):
                while (count := _forked(site)) < 55:
                    await trio.sleep(0.05)
            assert count <= 64
            assert (await pusher.stats(APP))[0]["state"] == "RUNNING"


def _forked(site: Site) -> int:
    return sum("python3 server.py" in line for line in site.left().host.processes) - 1  # one is the canary's


async def test_a_route_of_another_space_is_refused_by_name(site: Site) -> None:
    async with site.pusher() as pusher:
        assert (await pusher.push(APP, HELLO))["type"] == "result"
        async with deleted_afterwards(pusher):
            await trio.run_process(site.daemon.command("create-space", "main/other"), capture_stdout=True)
            manifest = f"applications:\n- name: thief\n  routes:\n  - route: {APP}.apps.localhost\n"
            result = await pusher.push("thief", HELLO, manifest, "/paasd/v1/spaces/main/other")
            assert result["type"] == "error"
            for text in (f"{APP}.apps.localhost", "another space", "another host"):
                assert text in result["detail"], result["detail"]
            assert (await pusher.get(f"{APP}.apps.localhost")).status_code == 200


async def test_oversized_headers_are_refused_at_both_doors(site: Site) -> None:
    async with site.pusher() as pusher:
        headers = {"X-Large": "x" * 70_000}
        answer = await pusher.get("canary.apps.localhost", headers=headers)
        assert answer.status_code == 431
        answer = await pusher.get("canary.apps.localhost", headers={f"X-{n}": "x" for n in range(250)})
        assert answer.status_code == 431
        answer = await pusher.get("canary.apps.localhost", headers={"X-Large": "x" * 20_000})
        assert answer.status_code == 200
        answer = await pusher.api.get("/v3/apps", headers=headers)
        assert answer.status_code == 431
        assert "32768" in answer.json()["errors"][0]["detail"]


async def test_wrong_and_expired_tokens_are_told_to_sign_in_again(site: Site, tmp_path: Path) -> None:
    ahead_s = 0.0
    async with running_node(tmp_path / "n", clock=lambda: time.time() + ahead_s) as node:
        form = {"grant_type": "password", "username": "admin", "password": node.node.admin_password}
        answer = await node.api.post("/uaa/oauth/token", data=form, auth=("cf", ""))
        token = answer.json()["access_token"]

        async def ask(token: str) -> httpx.Response:
            return await node.get("api.system.localhost", "/v3/apps", headers={"Authorization": f"bearer {token}"})

        assert (await ask(token)).status_code == 200
        said = {}
        for kind in ("nonsense", "forged", "expired"):
            if kind == "expired":
                ahead_s = 700.0
            answer = await ask({"nonsense": "nonsense", "forged": token[:-8] + "A" * 8}.get(kind, token))
            assert answer.status_code == 401
            said[kind] = answer.json()["errors"][0]["detail"]
        assert said["nonsense"] == said["forged"] == "Invalid Auth Token; sign in again"
        assert said["expired"] == "Invalid Auth Token; it has expired, sign in again"
