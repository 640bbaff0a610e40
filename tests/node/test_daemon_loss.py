"""The daemon dies and comes back: apps go on, nothing is restarted, every build ends."""

from collections import Counter
from pathlib import Path

import httpx
import msgspec
import pytest
import trio

from paasd.sandbox import Inventory, node_prefix, take_inventory
from paasd.sandbox.sandbox import SLOTS
from tests.node.daemon import Daemon, Load, running_daemon
from tests.node.harness import HELLO, SPACE, archive

pytestmark = pytest.mark.root

CANARY = "canary"
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


async def ended(daemon: Daemon) -> list[dict[str, str]]:
    """Every build, when none is open any more."""
    with trio.fail_after(90):
        while True:
            found = await builds(daemon)
            if all(build["state"] != "STAGING" for build in found):
                return found
            await trio.sleep(0.1)


async def delete_others(daemon: Daemon) -> None:
    async with client_of(daemon) as api:
        for app in (await api.get("/v3/apps", params={"per_page": 500})).json()["resources"]:
            if app["name"] != CANARY:
                (await api.delete(f"/v3/apps/{app['guid']}")).raise_for_status()
        with trio.fail_after(60):
            while (await api.get("/v3/apps")).json()["pagination"]["total_results"] > 1:
                await trio.sleep(0.05)


def objects(daemon: Daemon) -> Inventory:
    """What the node has on the host, the processes by their ids."""
    return msgspec.structs.replace(take_inventory(daemon.data, node_prefix(daemon.data), SLOTS), descriptors=0)


# httpx leaves its upload where the daemon died.
@pytest.mark.filterwarnings("ignore:.*ByteStream.__aiter__:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kills", [4, pytest.param(10, marks=pytest.mark.slow)])
async def test_kills_under_load_fail_no_request_and_restart_no_instance(tmp_path: Path, kills: int) -> None:
    uploads = kills // 3
    async with running_daemon(tmp_path / "node") as daemon:
        await push(daemon, CANARY)
        ca = daemon.data / "certificates" / "ca.pem"
        load = Load(daemon.https_port, f"{CANARY}.apps.localhost", ca, RATE_PER_S)
        before = objects(daemon)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            with trio.fail_after(20):
                while load.answers["200"] < RATE_PER_S:
                    await trio.sleep(0.05)
            for number in range(kills):
                known = len(await builds(daemon))
                async with trio.open_nursery() as pushing:
                    pushing.start_soon(push, daemon, f"other-{number % 3}")
                    # Some die while bits come in, the others at another moment of a build each.
                    if number >= uploads:
                        with trio.move_on_after(30):
                            while len(await builds(daemon)) == known:
                                await trio.sleep(0.01)
                    await trio.sleep(0.1 * (number % 5))
                    await daemon.kill()
                print(f"kill {number}: back after {await daemon.start():.1f} s")
            found = await ended(daemon)
            await push(daemon, "last")
            await delete_others(daemon)
            with trio.fail_after(60):
                while difference := objects(daemon).difference(before):
                    await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
        print(f"{load.answers} from {len(load.bodies)} instance(s); builds: {Counter(one['state'] for one in found)}")
        assert load.failed == {}
        assert len(load.bodies) == 1, "the instance was restarted or moved"
        assert difference == {}
        assert len(found) >= kills - uploads, "hardly any push came as far as a build"
        for build in found:
            assert build["state"] == "STAGED" or " - " in build["error"], build
