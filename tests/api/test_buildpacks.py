"""Buildpacks over the API: their order, their bits, what comes with the platform."""

from typing import Any

import httpx

from paasd.model.buildpacks import usable
from paasd.model.retention import referenced_blobs
from tests.api.serving import Served
from tests.api.tenants import make_tenant

BUILTIN = ["staticfile_buildpack", "nodejs_buildpack", "python_buildpack", "binary_buildpack"]


async def order(http: httpx.AsyncClient) -> list[str]:
    found = (await http.get("/v3/buildpacks?order_by=position")).json()["resources"]
    assert [one["position"] for one in found] == list(range(1, len(found) + 1))
    return [one["name"] for one in found]


async def make(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    made = await http.post("/v3/buildpacks", json={"name": "rust_buildpack", **body})
    assert made.status_code == 201, made.text
    return dict(made.json())


async def detail(answer: httpx.Response, status: int = 422) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["errors"][0]["detail"])


async def test_buildpacks_have_one_order_in_which_they_are_asked(served: Served) -> None:
    async with await served.admin() as http:
        assert await order(http) == BUILTIN
        made = await make(http, position=3)
        assert (made["state"], made["stack"], made["filename"]) == ("AWAITING_UPLOAD", None, None)
        assert await order(http) == [*BUILTIN[:2], "rust_buildpack", *BUILTIN[2:]]
        path = f"/v3/buildpacks/{made['guid']}"
        assert (await http.patch(path, json={"position": 99})).json()["position"] == 5
        await http.patch("/v3/buildpacks/binary_buildpack", json={"position": 1})
        assert (await order(http))[0] == "binary_buildpack"
        again = await http.post("/v3/buildpacks", json={"name": "rust_buildpack"})
        text = "Buildpack with name 'rust_buildpack' and an unassigned stack already exists"
        assert await detail(again) == text
        assert "alphanumeric" in await detail(await http.post("/v3/buildpacks", json={"name": "a b"}))
        assert "existing stack" in await detail(await http.post("/v3/buildpacks", json={"name": "a", "stack": "x"}))
        assert "disable it instead" in await detail(await http.delete("/v3/buildpacks/python_buildpack"))
        assert (await http.delete(path)).status_code == 202
        assert await detail(await http.get(path), 404) == "Buildpack not found"


async def test_bits_make_it_usable_and_stay_as_long_as_it_does(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer")
    async with await served.admin() as admin, tenant.client("developer") as http:
        path = f"/v3/buildpacks/{(await make(admin))['guid']}"
        files = {"bits": ("rust.zip", b"PK\x03\x04 the rest", "application/zip")}
        wanted = {"lifecycle": {"type": "buildpack", "data": {"buildpacks": ["rust_buildpack"], "stack": None}}}
        app = {"name": "a", "relationships": {"space": {"data": {"guid": tenant.space}}}, **wanted}
        assert "must be an existing admin buildpack" in await detail(await http.post("/v3/apps", json=app))
        assert (await http.post(f"{path}/upload", files=files)).status_code == 403
        wrong = {"bits": ("rust.zip", b"no zip", "application/zip")}
        assert "must be a zip file" in await detail(await admin.post(f"{path}/upload", files=wrong))
        done = await admin.post(f"{path}/upload", files=files)
        assert (done.status_code, done.json()["state"]) == (202, "READY")
        assert (await admin.get(done.headers["Location"])).json()["state"] == "COMPLETE"
        assert (await http.post("/v3/apps", json=app)).status_code == 201
        with served.context.database.read() as tx:
            [row] = [one for one in usable(tx, "cflinuxfs4") if not one.builtin]
            assert row.blob_sha256 in referenced_blobs(tx)
        await admin.patch(path, json={"locked": True, "stack": "host"})
        assert "is locked" in await detail(await admin.post(f"{path}/upload", files=files))
        with served.context.database.read() as tx:
            assert row.guid not in [one.guid for one in usable(tx, "cflinuxfs4")]
            assert row.guid in [one.guid for one in usable(tx, "host")]
        await admin.patch(path, json={"enabled": False})
        with served.context.database.read() as tx:
            assert row.guid not in [one.guid for one in usable(tx, "host")]
