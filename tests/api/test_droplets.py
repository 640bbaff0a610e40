"""`/v3/droplets`: what is said to clients that ask for the wrong one, or in the wrong order."""

import httpx
import pytest

from tests.api.hands import tar_of
from tests.api.serving import Served

FIELD = "The upload has no file in the field 'bits'"


def error(answer: httpx.Response) -> tuple[int, str, str]:
    [found] = answer.json()["errors"]
    return answer.status_code, found["title"], found["detail"]


async def new_droplet(http: httpx.AsyncClient, name: str = "up") -> str:
    space = (await http.get("/v3/spaces?names=dev")).json()["resources"][0]["guid"]
    app = await http.post("/v3/apps", json={"name": name, "relationships": {"space": {"data": {"guid": space}}}})
    made = await http.post("/v3/droplets", json={"relationships": {"app": {"data": {"guid": app.json()["guid"]}}}})
    assert made.status_code == 201, made.text
    return str(made.json()["guid"])


async def test_a_new_droplet_awaits_its_bits_and_takes_them_once(served: Served) -> None:
    async with await served.admin() as http:
        guid = await new_droplet(http)
        shown = (await http.get(f"/v3/droplets/{guid}")).json()
        assert (shown["state"], shown["process_types"], shown["checksum"]) == ("AWAITING_UPLOAD", {}, None)
        assert shown["links"]["upload"]["method"] == "POST"
        none = await http.post(f"/v3/droplets/{guid}/upload", files={"other": ("x", b"x")})
        assert error(none) == (422, "CF-UnprocessableEntity", FIELD)
        empty = await http.post(f"/v3/droplets/{guid}/upload", files={"bits": ("x.tgz", b"")})
        assert error(empty)[2] == "Uploaded droplet file is invalid: bits cannot be empty"
        taken = await http.post(f"/v3/droplets/{guid}/upload", files={"bits": ("x.tgz", tar_of({"app/x": b"x"}))})
        assert (taken.status_code, taken.json()["state"]) == (202, "PROCESSING_UPLOAD")
        assert "upload" not in taken.json()["links"]
        job = (await http.get(taken.headers["Location"])).json()
        assert (job["operation"], job["state"]) == ("droplet.upload", "PROCESSING")
        assert job["links"]["droplet"]["href"].endswith(f"/v3/droplets/{guid}")
        again = await http.post(f"/v3/droplets/{guid}/upload", files={"bits": ("x.tgz", b"x")})
        text = "Droplet may be uploaded only once. Create a new droplet to upload bits."
        assert error(again) == (422, "CF-UnprocessableEntity", text)


async def test_only_what_is_there_and_staged_can_be_downloaded(served: Served) -> None:
    async with await served.admin() as http:
        guid = await new_droplet(http)
        answer = await http.get(f"/v3/droplets/{guid}/download")
        assert error(answer) == (422, "CF-UnprocessableEntity", "Only staged droplets can be downloaded.")
        for method, path in (("GET", "download"), ("POST", "upload")):
            answer = await http.request(method, f"/v3/droplets/unknown/{path}")
            assert error(answer) == (404, "CF-ResourceNotFound", "Droplet not found")
        gone = {"relationships": {"app": {"data": {"guid": "gone"}}}}
        answer = await http.post("/v3/droplets", json={**gone, "process_types": {"a/b": "x"}})
        assert error(answer)[0] == 422 and "Process type 'a/b' must be" in error(answer)[2]
        answer = await http.post("/v3/droplets", json=gone)
        text = 'App with guid "gone" does not exist, or you do not have access to it.'
        assert error(answer) == (422, "CF-UnprocessableEntity", text)


@pytest.mark.parametrize("role", ["space_auditor", None])
async def test_others_than_developers_get_no_droplet(served: Served, role: str | None) -> None:
    await served.make_user("eve")
    async with await served.admin() as http:
        guid = await new_droplet(http)
        space = (await http.get("/v3/spaces?names=dev")).json()["resources"][0]
        organization = space["relationships"]["organization"]
        for kind, place in (("organization_user", {"organization": organization}), (role, {"space": {"data": space}})):
            if kind is not None:
                place = {name: {"data": {"guid": one["data"]["guid"]}} for name, one in place.items()}
                user = {"data": {"username": "eve"}}
                made = await http.post("/v3/roles", json={"type": kind, "relationships": {"user": user, **place}})
                assert made.status_code == 201, made.text
    async with served.client((await served.login("eve"))["access_token"]) as http:
        expected = (403, "CF-NotAuthorized") if role else (404, "CF-ResourceNotFound")
        download = await http.get(f"/v3/droplets/{guid}/download")
        upload = await http.post(f"/v3/droplets/{guid}/upload", files={"bits": ("x.tgz", b"x")})
        assert error(download)[:2] == error(upload)[:2] == expected
    async with await served.admin() as http:
        assert (await http.get(f"/v3/droplets/{guid}")).json()["state"] == "AWAITING_UPLOAD"
