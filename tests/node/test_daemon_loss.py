"""The daemon dies and comes back: apps go on, nothing is restarted, every build ends."""

from pathlib import Path

import httpx
import pytest
import trio

from tests.node.daemon import Daemon, Load, running_daemon
from tests.node.harness import HELLO, SPACE, archive

pytestmark = pytest.mark.root

ROUNDS = 10
RATE_PER_S = 100.0


def client_of(daemon: Daemon) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(daemon.socket))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60)


async def push(daemon: Daemon, name: str) -> None:
    """A push whose connection may die with the daemon."""
    async with client_of(daemon) as api:
        try:
            await api.post(SPACE + "/push", params={"name": name, "wait": "true"}, content=archive(HELLO))
        except httpx.TransportError:
            return


async def builds(daemon: Daemon) -> list[dict[str, str]]:
    async with client_of(daemon) as api:
        return list((await api.get("/v3/builds", params={"per_page": 500})).json()["resources"])


@pytest.mark.timeout(300)
async def test_ten_kills_under_load_fail_no_request_and_restart_no_instance(tmp_path: Path) -> None:
    async with running_daemon(tmp_path / "node") as daemon:
        await push(daemon, "canary")
        ca = daemon.data / "certificates" / "ca.pem"
        load = Load(daemon.https_port, "canary.apps.localhost", ca, RATE_PER_S)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            with trio.fail_after(20):
                while load.answers["200"] < RATE_PER_S:
                    await trio.sleep(0.05)
            for number in range(ROUNDS):
                async with trio.open_nursery() as pushing:
                    pushing.start_soon(push, daemon, f"other-{number % 3}")
                    await trio.sleep(0.1 * number)
                    await daemon.kill()
                print(f"kill {number}: back after {await daemon.start():.1f} s")
            with trio.fail_after(90):
                while any(build["state"] == "STAGING" for build in await builds(daemon)):
                    await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
        print(f"{load.answers} from {len(load.bodies)} instance(s)")
        assert load.failed == {}
        assert len(load.bodies) == 1, "the instance was restarted or moved"
        for build in await builds(daemon):
            assert build["state"] == "STAGED" or build["error"], build
