"""Secrets are planted in every place that takes one, and looked for in everything that the platform writes.

A real daemon at its most talkative, with an app that runs. What an app is given it may write where it likes; this one
writes nothing.
"""

import base64
import mmap
import os
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest

from paasd.sandbox import node_prefix
from tests.node.daemon import Daemon, running_daemon
from tests.node.harness import HELLO, Pusher, clients

pytestmark = pytest.mark.root

MANIFEST = """
applications:
- name: app
  memory: 64M
  disk_quota: 64M
  env:
    FROM_MANIFEST: {manifest}
"""


class Planted:
    """One secret a place; each is its own, so that what leaks says from where."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def new(self, place: str) -> str:
        """A secret for this place."""
        self.places[place] = f"Sx{uuid.uuid4().hex}"
        return self.places[place]

    def found_in(self, data: bytes | mmap.mmap) -> set[str]:
        """The places whose secrets are in there, as they are or in base64."""
        return {place for place, secret in self.places.items() if any(data.find(form) >= 0 for form in forms(secret))}


def forms(secret: str) -> Iterator[bytes]:
    """The secret and what it looks like within base64, wherever in a longer text it begins."""
    raw = secret.encode()
    yield raw
    for shift in range(3):
        yield base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4]


def files_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            if path.is_file() and not path.is_symlink() and path.stat().st_size:
                yield path


def leaks(planted: Planted, files: Iterable[Path]) -> dict[str, set[str]]:
    """Places by the files in which their secret is."""
    found = {}
    for path in files:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if places := planted.found_in(data):
                found[str(path)] = places
    return found


def command_lines() -> dict[int, bytes]:
    """Arguments of every process of this machine that lives."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found[int(entry.name)] = (entry / "cmdline").read_bytes()
            except OSError:
                continue
    return found


def environments(holding: bytes) -> list[int]:
    """Processes whose environment has this in it."""
    found = []
    for pid in command_lines():
        try:
            if holding in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


@asynccontextmanager
async def api_of(daemon: Daemon) -> AsyncIterator[Pusher]:
    async with clients(daemon.data, daemon.socket) as (api, web):
        yield Pusher(api, web, daemon.https_port)


async def plant(driver: Pusher, daemon: Daemon, planted: Planted) -> list[httpx.Response]:
    """Use every place that takes a secret, rightly and wrongly; the answers that must not say any of them."""
    api, new = driver.api, planted.new
    answers: list[httpx.Response] = []

    async def call(method: str, path: str, **more: Any) -> httpx.Response:
        answer = await api.request(method, path, **more)
        answers.append(answer)
        return answer

    done = await driver.push("app", HELLO, MANIFEST.format(manifest=new("manifest")))
    assert done["type"] == "result", done
    app = (await driver.app("app"))["guid"]
    assert (await api.patch(f"/v3/apps/{app}/environment_variables", json={"var": {"SET": new("env")}})).is_success
    await call("PATCH", f"/v3/apps/{app}/environment_variables", json={"var": [new("env of a wrong type")]})
    await call("PATCH", f"/v3/apps/{app}/environment_variables", content=b'{"var": {"A": "' + new("cut off").encode())
    assert (await api.post(f"/v3/apps/{app}/actions/restart")).is_success
    user = {"userName": "ann", "password": new("password")}
    made = await call("POST", "/Users", json={**user, "emails": [{"value": "ann@example.org"}], "name": {}})
    assert made.status_code == 201, made.text
    changed = {"password": new("new password")}
    assert (await call("PUT", f"/Users/{made.json()['id']}/password", json=changed)).is_success
    client = {"client_id": "robot", "client_secret": new("client secret"), "authorities": ["cloud_controller.read"]}
    assert (await call("POST", "/oauth/clients", json=client)).status_code == 201
    for name, word in (("ann", new("wrong password")), ("ann", new("another wrong password"))):
        form = {"grant_type": "password", "username": name, "password": word}
        await call("POST", "/oauth/token", data=form, auth=("cf", ""))
    await call("GET", "/paasd/v1/status", auth=("ann", new("wrong basic")))
    await call("GET", "/v3/apps", headers={"Authorization": f"bearer {new('wrong bearer')}"})
    await call("POST", "/oauth/token", data={"grant_type": "refresh_token", "refresh_token": new("wrong refresh")})
    await call("GET", f"/v3/info?passcode={new('query')}")
    await call("GET", f"/paasd/v1/healthz?token={new('query that is passed over')}")
    buildpack = f"https://ann:{new('buildpack')}@example.org/pack.git"
    lifecycle = {"type": "buildpack", "data": {"buildpacks": [buildpack]}}
    refused = await call("PATCH", f"/v3/apps/{app}", json={"lifecycle": lifecycle})
    assert refused.status_code == 422 and "name and password" in refused.text
    space = (await api.get(f"/v3/apps/{app}")).json()["relationships"]["space"]["data"]["guid"]
    broken = f"applications:\n- name: x\n  env: {{A: {new('broken manifest')}\n".encode()
    yaml = {"Content-Type": "application/x-yaml"}
    await call("POST", f"/v3/spaces/{space}/manifest_diff", content=broken, headers=yaml)
    await call("POST", f"/v3/spaces/{space}/actions/apply_manifest", content=broken, headers=yaml)
    failing = (
        f"applications:\n- name: x\n  env: {{A: {new('failing manifest')}}}\n  routes: [{{route: no.such.domain}}]"
    )
    answer = await call("POST", f"/v3/spaces/{space}/actions/apply_manifest", content=failing.encode(), headers=yaml)
    if "location" in answer.headers:
        await call("GET", answer.headers["location"].replace("http://localhost", ""))
    path = daemon.data.parent / "backup"
    async with api.stream("POST", "/paasd/v1/backup", json={"passphrase": new("passphrase of a backup")}) as pieces:
        assert pieces.is_success
        path.write_bytes(b"".join([piece async for piece in pieces.aiter_bytes()]))
    token = await api.post("/paasd/v1/tokens", json={})
    assert token.status_code == 201, token.text
    planted.places["join token"] = token.json()["token"].split("-")[3]
    for listing in ("apps", "processes", "users", "audit_events", "builds", "droplets", "jobs/x", "packages"):
        await call("GET", f"/v3/{listing}")
    await call("GET", f"/v3/apps/{app}")
    await call("GET", "/paasd/v1/audit/events")
    await call("GET", "/paasd/v1/nodes")
    await call("GET", "/paasd/v1/tokens")
    return answers


async def plant_ways_in(driver: Pusher, planted: Planted) -> list[httpx.Response]:
    """What people and pipelines sign in with, made and used; the answers that must not say any of it again."""
    api, new = driver.api, planted.new
    place = "/paasd/v1/spaces/main/dev"
    made = await api.post(f"{place}/deploy-tokens", json={"name": "ci", "role": "space_developer"})
    assert made.status_code == 201, made.text
    token = made.json()["token"]
    planted.places["deploy token"] = token.rpartition(".")[2]
    invited = await api.post("/paasd/v1/organizations/main/invitations", json={"address": "bob@example.org"})
    assert invited.status_code == 201, invited.text
    planted.places["invitation"] = invited.json()["secret"].removeprefix("paasd-invite-")
    group = await api.patch("/v3/environment_variable_groups/running", json={"var": {"GROUP": new("group")}})
    assert group.is_success, group.text
    bob = {"userName": "bob", "password": new("password of bob"), "emails": [{"value": "b@example.org"}], "name": {}}
    assert (await api.post("/Users", json=bob)).status_code == 201
    form = {"grant_type": "password", "username": "bob", "password": bob["password"]}
    signed_in = (await api.post("/oauth/token", data=form, auth=("cf", ""))).json()
    planted.places |= {kind: signed_in[kind].rpartition(".")[2] for kind in ("access_token", "refresh_token")}
    bearer = {"Authorization": f"bearer {signed_in['access_token']}"}
    mine = {"password": bob["password"]}
    factor = await api.post("/paasd/v1/me/second-factor", headers=bearer, json=mine)
    assert factor.status_code == 201, factor.text
    planted.places["second factor"] = factor.json()["secret"]
    codes = await api.post(
        "/paasd/v1/me/second-factor/actions/confirm",
        headers=bearer,
        json={"code": pyotp.TOTP(factor.json()["secret"]).now()},
    )
    assert codes.is_success, codes.text
    planted.places["recovery code"] = codes.json()["recovery_codes"][0]
    return [
        await api.get("/paasd/v1/spaces/main/dev/apps", headers={"Authorization": f"Bearer {token}"}),
        await api.get(f"{place}/deploy-tokens"),
        await api.get("/paasd/v1/organizations/main/invitations"),
        await api.post("/oauth/token", data={**form, "mfaCode": planted.places["recovery code"]}, auth=("cf", "")),
        await api.get("/v3/audit_events?per_page=5000"),
        await api.get("/v3/users"),
    ]


async def test_no_planted_secret_is_in_anything_that_the_platform_writes(tmp_path: Path) -> None:
    planted = Planted()
    async with running_daemon(tmp_path / "data", node='log_level = "DEBUG"\n') as daemon, api_of(daemon) as driver:
        answers = [*await plant(driver, daemon, planted), *await plant_ways_in(driver, planted)]
        told = {str(one.request.url): planted.found_in(one.content) for one in answers}
        told = {url: places for url, places in told.items() if places}
        assert not told, "answers that tell a secret"
        assert (await driver.stats("app"))[0]["state"] in ("STARTING", "RUNNING")

        # What must be found is found: the app has it, who may read it reads it, and the way of looking sees it.
        guid = (await driver.app("app"))["guid"]
        shown = (await driver.api.get(f"/v3/apps/{guid}/env")).content
        assert planted.found_in(shown) == {"env", "manifest", "group"}
        holders = environments(planted.places["manifest"].encode())
        assert holders
        control = tmp_path / "control"
        control.write_bytes(b"x" * 5000 + base64.b64encode(b"a:" + planted.places["env"].encode() + b";b"))
        assert leaks(planted, [control]) == {str(control): {"env"}}
        sign_in = {"grant_type": "password", "username": "ann", "password": planted.places["new password"]}
        assert (await driver.api.post("/oauth/token", data=sign_in, auth=("cf", ""))).status_code == 200

        verdict = (await driver.api.get("/paasd/v1/audit/verify")).json()
        assert verdict["problem"] is None and verdict["events"] > 10
        assert (daemon.data / "audit-heads.jsonl").stat().st_mode & 0o777 == 0o600

        arguments = {pid: places for pid, line in command_lines().items() if (places := planted.found_in(line))}
        assert not arguments, "arguments of processes"
        admin = (daemon.data / "admin-password").read_text().strip()
        assert admin and admin not in daemon.log, "the log keeps what a terminal would only show"
        assert '"level": "debug"' in daemon.log, "it says all that it can"
        assert daemon.process is not None
        assert_no_core_dumps(daemon.process.pid, node_prefix(daemon.data))
        assert leaks(planted, files_below(daemon.data)) == {}
        assert leaks(planted, [tmp_path / "backup"]) == {}
    assert leaks(planted, files_below(tmp_path / "data")) == {}, "also after it ended"


def assert_no_core_dumps(daemon: int, prefix: str) -> None:
    """Neither the daemon nor what starts containers, which has tenants' environments in passing, may be dumped."""
    title = f"paasd-zygote {prefix}".encode()
    zygotes = [pid for pid, line in command_lines().items() if line.startswith(title)]
    assert zygotes
    for pid in (daemon, *zygotes):
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        [core] = [line.split()[4:6] for line in limits if line.startswith("Max core file size")]
        assert core == ["0", "0"], pid
        assert Path(f"/proc/{pid}/fd").stat().st_uid == 0
