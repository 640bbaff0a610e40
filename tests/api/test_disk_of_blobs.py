"""What one organization can put on everybody's disk: no more than its quota, whatever it deletes or has refused."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from paasd.actions.storing import incoming
from paasd.config import BlobsConfig, Config
from paasd.model.quotas.places import QuotaExceeded
from tests.api.hands import tar_of
from tests.api.serving import API, CHEAP_HASHES, Served, serve
from tests.api.tenants import Tenant, make_tenant
from tests.api.test_droplets import error

MB = 1024 * 1024
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def archive(size_bytes: int) -> bytes:
    """One like no other."""
    return tar_of({"app": os.urandom(size_bytes)})


async def form_of(data: bytes) -> AsyncIterator[bytes]:
    """A form whose length nobody tells."""
    yield b'--b\r\nContent-Disposition: form-data; name="bits"; filename="a"\r\n\r\n'
    for start in range(0, len(data), 65536):
        yield data[start : start + 65536]
    yield b"\r\n--b--\r\n"


async def limited(served: Served, limit_mb: int) -> Tenant:
    tenant = await make_tenant(served, "aco")
    async with await served.admin() as http:
        body = {
            "name": "small",
            "apps": {"total_blobs_in_mb": limit_mb},
            "relationships": {"organizations": {"data": [{"guid": tenant.organization}]}},
        }
        assert (await http.post("/v3/organization_quotas", json=body)).status_code == 201
    return tenant


async def new_app(http: httpx.AsyncClient, tenant: Tenant) -> dict[str, object]:
    space = {"space": {"data": {"guid": tenant.space}}}
    made = await http.post("/v3/apps", json={"name": "up", "relationships": space})
    return {"relationships": {"app": {"data": {"guid": made.json()["guid"]}}}}


async def upload(http: httpx.AsyncClient, kind: str, of_app: dict[str, object], data: bytes) -> httpx.Response:
    """Into a new package or droplet, in pieces."""
    made = await http.post(f"/v3/{kind}", json=of_app | ({"type": "bits"} if kind == "packages" else {}))
    path = f"/v3/{kind}/{made.json()['guid']}/upload"
    return await http.post(path, content=form_of(data), headers=FORM)


def kept(directory: Path) -> list[int]:
    return sorted(file.stat().st_size for file in (directory / "blobs").rglob("*") if file.is_file())


async def test_what_is_refused_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    push = "/paasd/v1/spaces/aco/dev/push"
    async with serve(tmp_path) as served:
        tenant = await limited(served, 1)
        async with tenant.client("developer") as http:
            answer = await http.post(f"{push}?name=app&wait=true", content=archive(3 * MB))
            assert "total_blobs_in_mb organization quota exceeded" in error(answer)[2]
            answer = await http.post(push, files={"bits": ("a", archive(1000)), "manifest": ("m", "applications: 7")})
            assert error(answer)[0] == 422
            answer = await http.post(f"{push}?name=app", content=b"no archive")
            assert "neither a zip nor a tar.gz" in error(answer)[2]
            of_app = await new_app(http, tenant)
            for kind in ("packages", "droplets"):
                # Above all that the quota could ever hold, and above what there is room for.
                assert "quota exceeded" in error(await upload(http, kind, of_app, archive(3 * MB)))[2]
            assert kept(tmp_path) == []
            first = archive(MB // 2)
            for _ in range(2):
                assert (await upload(http, "packages", of_app, first)).status_code == 200
            for kind in ("packages", "droplets"):
                assert "quota exceeded" in error(await upload(http, kind, of_app, archive(MB * 3 // 4)))[2]
            assert error(await upload(http, "droplets", of_app, b""))[0] == 422
    assert kept(tmp_path) == [len(first)]


async def test_what_is_deleted_takes_the_disk_until_it_is_collected(tmp_path: Path) -> None:
    config = Config(api=API, auth=CHEAP_HASHES, blobs=BlobsConfig(uploads_per_day=3.0))
    async with serve(tmp_path, config) as served:
        tenant = await limited(served, 1)
        async with tenant.client("developer") as http:
            of_app = await new_app(http, tenant)
            answers = []
            for _ in range(5):
                data = archive(MB * 3 // 4)
                answers.append(await upload(http, "packages", of_app, data))
                if answers[-1].status_code == 200:
                    # What is there already is no more of the disk, however often it comes.
                    assert (await upload(http, "packages", of_app, data)).status_code == 200
                for package in (await http.get("/v3/packages")).json()["resources"]:
                    await http.delete(f"/v3/packages/{package['guid']}")
            assert [answer.status_code for answer in answers] == [200, 200, 200, 422, 422]
            assert "blobs.uploads_per_day" in error(answers[-1])[2]
            assert len(kept(tmp_path)) == 3
        served.clock.ahead_s += 6 * 3600
        async with served.client((await served.login("developer@aco"))["access_token"]) as http:
            assert (await upload(http, "packages", of_app, data)).status_code == 200


async def test_who_has_used_up_the_day_learns_nothing_of_what_others_have(tmp_path: Path) -> None:
    config = Config(api=API, auth=CHEAP_HASHES, blobs=BlobsConfig(uploads_per_day=1.0))
    async with serve(tmp_path, config) as served:
        guesser, other = await limited(served, 1), await make_tenant(served, "bolt")
        theirs, own, deleted = archive(MB // 2), archive(MB // 4), archive(MB // 4)
        async with other.client("developer") as http:
            assert (await upload(http, "packages", await new_app(http, other), theirs)).status_code == 200
        async with guesser.client("developer") as http:
            of_app = await new_app(http, guesser)
            assert (await upload(http, "packages", of_app, own)).status_code == 200
            gone = await upload(http, "packages", of_app, deleted)
            await http.delete(f"/v3/packages/{gone.json()['guid']}")
            left = await upload(http, "packages", of_app, archive(MB // 2 - 20_000))
            assert left.status_code == 200
            await http.delete(f"/v3/packages/{left.json()['guid']}")
            for data in (theirs, archive(MB // 2)):
                assert "blobs.uploads_per_day" in error(await upload(http, "packages", of_app, data))[2]
            for data in (own, deleted):
                assert (await upload(http, "packages", of_app, data)).status_code == 200, "it takes no more of the disk"


async def test_what_no_quota_could_hold_is_refused_while_it_comes(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        tenant = await limited(served, 1)
        async with incoming(served.context, tenant.space) as coming:
            await coming.write(bytes(MB))
            with pytest.raises(QuotaExceeded, match="may take 1 MB and take 0 MB; 2 MB more do not fit"):
                await coming.write(b"x")
            assert coming.size_bytes == MB
