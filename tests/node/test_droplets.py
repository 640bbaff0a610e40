"""Droplets as archives: one app's becomes another's, one made by hand runs, bad ones and strangers are refused."""

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trio

from paasd.config import StagingConfig
from paasd.sandbox import Container, Inventory, node_prefix, take_inventory
from paasd.sandbox.sandbox import SLOTS
from tests.node.daemon import running_daemon
from tests.node.harness import HELLO, SERVER, Driver, archive, clients, running_node

pytestmark = pytest.mark.root
BY_HAND: dict[str, str | bytes] = {"app/server.py": SERVER, "app/Procfile": "web: python3 server.py\n"}
ENDED = {"STAGED", "FAILED"}


async def new_app(api: httpx.AsyncClient, name: str) -> str:
    """An app without a droplet; its guid."""
    space = (await api.get("/v3/spaces", params={"names": "dev"})).json()["resources"][0]["guid"]
    body = {"name": name, "relationships": {"space": {"data": {"guid": space}}}}
    answer = await api.post("/v3/apps", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["guid"])


async def new_droplet(api: httpx.AsyncClient, app_guid: str, **more: Any) -> dict[str, Any]:
    """A droplet that awaits its bits."""
    answer = await api.post("/v3/droplets", json={"relationships": {"app": {"data": {"guid": app_guid}}}, **more})
    assert answer.status_code == 201, answer.text
    assert answer.json()["state"] == "AWAITING_UPLOAD"
    return dict(answer.json())


async def begin(api: httpx.AsyncClient, droplet: dict[str, Any], bits: bytes) -> httpx.Response:
    path = droplet["links"]["upload"]["href"].partition("/v3/")[2]
    return await api.post(f"/v3/{path}", files={"bits": ("droplet.tgz", bits, "application/octet-stream")})


async def ended(api: httpx.AsyncClient, droplet_guid: str) -> dict[str, Any]:
    """The droplet as soon as it is STAGED or FAILED."""
    with trio.fail_after(120):
        while (droplet := (await api.get(f"/v3/droplets/{droplet_guid}")).json())["state"] not in ENDED:
            await trio.sleep(0.05)
    return dict(droplet)


async def upload(api: httpx.AsyncClient, app_guid: str, bits: bytes, **more: Any) -> tuple[dict[str, Any], Any]:
    """Create and upload, as `cf push --droplet` does; the droplet and its job in the end."""
    answer = await begin(api, await new_droplet(api, app_guid, **more), bits)
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "PROCESSING_UPLOAD"
    droplet = await ended(api, answer.json()["guid"])
    return droplet, (await api.get("/v3/jobs/" + answer.headers["Location"].rpartition("/")[2])).json()


async def start(driver: Driver, app_guid: str, droplet_guid: str) -> None:
    """Make it the current droplet, start, and wait until an instance runs."""
    api = driver.api
    body = {"data": {"guid": droplet_guid}}
    chosen = await api.patch(f"/v3/apps/{app_guid}/relationships/current_droplet", json=body)
    assert chosen.status_code == 200, chosen.text
    assert (await api.post(f"/v3/apps/{app_guid}/actions/start")).status_code == 200
    await running(api, app_guid)


async def running(api: httpx.AsyncClient, app_guid: str) -> None:
    with trio.fail_after(60):
        while True:
            stats = (await api.get(f"/v3/apps/{app_guid}/processes/web/stats")).json()["resources"]
            if stats and all(one["state"] == "RUNNING" for one in stats):
                return
            await trio.sleep(0.05)


async def route(driver: Driver, app_guid: str, host: str) -> None:
    api = driver.api
    space = (await api.get("/v3/spaces", params={"names": "dev"})).json()["resources"][0]["guid"]
    domain = (await api.get("/v3/domains", params={"names": "apps.localhost"})).json()["resources"][0]["guid"]
    relationships = {"domain": {"data": {"guid": domain}}, "space": {"data": {"guid": space}}}
    made = await api.post("/v3/routes", json={"host": host, "relationships": relationships})
    body = {"destinations": [{"app": {"guid": app_guid}}]}
    assert (await api.post(f"/v3/routes/{made.json()['guid']}/destinations", json=body)).status_code == 200


async def serves(driver: Driver, host: str) -> None:
    with trio.fail_after(30):
        while (answer := await driver.get(f"{host}.apps.localhost")).status_code != 200:
            await trio.sleep(0.05)
    assert len(answer.text.strip()) == 36, answer.text


async def current(api: httpx.AsyncClient, app_guid: str) -> str:
    answer = await api.get(f"/v3/apps/{app_guid}/droplets/current")
    return str(answer.json()["guid"])


def names(bits: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(bits)) as tar:
        return {member.name for member in tar}


async def test_a_downloaded_droplet_runs_as_another_apps(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node") as driver:
        api = driver.api
        assert (await driver.push("one", HELLO))["type"] == "result"
        one = (await driver.app("one"))["guid"]
        answer = await api.get(f"/v3/droplets/{await current(api, one)}/download")
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "application/gzip"
        parts = {"./app", "./deps", "./profile.d", "./tmp", "./logs", "./staging_info.yml", "./app/server.py"}
        assert parts <= names(answer.content)
        two = await new_app(api, "two")
        droplet, job = await upload(api, two, answer.content)
        assert (droplet["state"], job["state"], job["errors"]) == ("STAGED", "COMPLETE", []), (droplet, job)
        assert droplet["process_types"] == {"web": "python3 server.py"}
        await route(driver, two, "two")
        await start(driver, two, droplet["guid"])
        await serves(driver, "two")
        again = await api.get(f"/v3/droplets/{droplet['guid']}/download")
        assert names(again.content) == names(answer.content)
        events = (await api.get("/v3/audit_events", params={"target_guids": two})).json()["resources"]
        made = {"audit.app.droplet.create", "audit.app.droplet.upload", "audit.app.droplet.download"}
        assert made <= {event["type"] for event in events}
        assert not [guid for guid in driver.node.sandbox.containers if guid.startswith(("stg-", "get-"))]


async def test_a_droplet_made_by_hand_runs_and_given_process_types_count_more(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node") as driver:
        api = driver.api
        app = await new_app(api, "hand")
        droplet, _ = await upload(api, app, archive(BY_HAND))
        assert droplet["state"] == "STAGED", droplet
        await route(driver, app, "hand")
        await start(driver, app, droplet["guid"])
        await serves(driver, "hand")
        types = {"web": "python3 server.py --given", "worker": "sleep 9"}
        other, _ = await upload(api, app, archive(BY_HAND), process_types=types)
        assert (other["state"], other["process_types"]) == ("STAGED", types)
        silent, job = await upload(api, app, archive({"app/server.py": SERVER}))
        assert (silent["state"], job["state"]) == ("FAILED", "FAILED")
        assert "nothing in the droplet says how to start it" in silent["error"] == job["errors"][0]["detail"]
        given, _ = await upload(
            api, app, archive({"app/server.py": SERVER}), process_types={"web": "python3 server.py"}
        )
        assert given["state"] == "STAGED", given


def odd(kind: bytes = tarfile.REGTYPE, name: str = "app/odd", size: int = 0) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, size
        tar.addfile(info, io.BytesIO(bytes(size)))
    return packed.getvalue()


def on_host(data: Path) -> Inventory:
    """What the node has there; descriptors are those of this test's connections, too."""
    return msgspec.structs.replace(take_inventory(data, node_prefix(data), SLOTS), descriptors=0)


async def test_bad_uploads_fail_in_one_line_and_leave_nothing(tmp_path: Path) -> None:
    data = tmp_path / "node"
    staging = StagingConfig(unpacked_limit_bytes=8 * 1024**2, entries_limit=100)
    async with running_node(data, staging=staging) as driver:
        api = driver.api
        app = await new_app(api, "bad")
        inventory = on_host(data)
        toolchain = json.dumps({"paasd": {"process_types": {"web": "x"}, "toolchains": [["node", "0.0.1"]]}})
        cases = {
            "'../../evil' leads outside the droplet": odd(name="../../evil"),
            "'app/odd' is a character device": odd(tarfile.CHRTYPE),
            "unpacks to more than 8 MB": odd(size=9 * 1024**2),
            "more than 100 entries": archive({f"app/{number}": "" for number in range(200)}),
            "not a readable tar.gz archive": b"<html>moved</html>",
            "the droplet needs 'node' '0.0.1'": archive({**BY_HAND, "staging_info.yml": toolchain}),
            "unexpected form": archive({**BY_HAND, "staging_info.yml": "[]"}),
        }
        for expected, bits in cases.items():
            droplet, job = await upload(api, app, bits)
            assert droplet["state"] == job["state"] == "FAILED"
            assert expected in droplet["error"] and "\n" not in droplet["error"], droplet["error"]
            assert job["errors"][0]["detail"] == droplet["error"]
        empty = await begin(api, await new_droplet(api, app), b"")
        assert (empty.status_code, empty.json()["errors"][0]["title"]) == (422, "CF-UnprocessableEntity")
        good, _ = await upload(api, app, archive(BY_HAND))
        assert good["state"] == "STAGED"
        with trio.fail_after(30):
            while difference := on_host(data).difference(inventory):
                await trio.sleep(0.1)
        assert difference == {}
        assert list((data / "staging" / "builds").iterdir()) == []


async def begin_download(driver: Driver, path: str) -> trio.SocketStream:
    """A client that has read the beginning and now stops reading."""
    stream = await trio.open_unix_socket(str(driver.node.doors.unix_path))
    await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    begun = b""
    while b"\x1f\x8b" not in begun:
        begun += await stream.receive_some(1000)
    assert begun.startswith(b"HTTP/1.1 200 ")
    return stream


def downloading(driver: Driver) -> list[Container]:
    found = driver.node.sandbox.containers.items()
    return [container for guid, container in found if guid.startswith("get-")]


async def test_a_download_waits_for_its_reader_and_one_that_breaks_off_does_not_look_whole(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node", staging=StagingConfig(downloads=1)) as driver:
        api = driver.api
        app = await new_app(api, "big")
        droplet, _ = await upload(api, app, archive({**BY_HAND, "app/noise": os.urandom(2**24)}))
        path = f"/v3/droplets/{droplet['guid']}/download"
        async with await begin_download(driver, path):
            busy = await api.get(path)
            assert busy.status_code == 503 and "downloads" in busy.json()["errors"][0]["detail"]
            assert len(downloading(driver)) == 1
        with trio.fail_after(30):
            while (whole := await api.get(path)).status_code != 200:
                await trio.sleep(0.05)
        assert "./app/noise" in names(whole.content)
        with trio.fail_after(30):
            while downloading(driver):
                await trio.sleep(0.05)
        async with await begin_download(driver, path) as stream:
            await downloading(driver)[0].kill()
            rest = b""
            with trio.fail_after(30):
                while piece := await stream.receive_some(2**20):
                    rest = (rest + piece)[-100:]
            assert not rest.endswith(b"0\r\n\r\n")
        with trio.fail_after(30):
            while downloading(driver):
                await trio.sleep(0.05)
        assert (await api.get(path)).status_code == 200


@pytest.mark.timeout(240)
async def test_an_upload_that_a_killed_daemon_left_is_taken_in_by_the_next(tmp_path: Path) -> None:
    bits = archive({**BY_HAND, **{f"app/f{number}": "x" * 1000 for number in range(2000)}})
    async with running_daemon(tmp_path / "node") as daemon:
        async with clients(daemon.data, daemon.socket) as (api, _):
            app = await new_app(api, "kept")
            answer = await begin(api, await new_droplet(api, app), bits)
            assert answer.status_code == 202, answer.text
        await daemon.kill()
        await daemon.start()
        async with clients(daemon.data, daemon.socket) as (api, _):
            droplet = await ended(api, answer.json()["guid"])
            assert droplet["state"] == "STAGED", droplet
            assert (await api.get(f"/v3/droplets/{droplet['guid']}/download")).status_code == 200
