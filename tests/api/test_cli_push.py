"""`cf push` call by call, and the one-call push; both must come to the same."""

import base64
from typing import Any

import httpx
import pytest

from tests.api.hands import tar_of, working_hands, zip_of
from tests.api.serving import PASSWORD, Served

SOURCE = {"app.py": b"print('hello')\n", "requirements.txt": b"flask\n"}
MANIFEST = b"""---
applications:
- name: dora
  memory: 64M
  instances: 2
  default-route: true
  env:
    GREETING: hello
"""


async def poll(http: httpx.AsyncClient, url: str, ends: set[str]) -> dict[str, Any]:
    """Ask until the state is one of `ends`; the client's own timeout bounds it."""
    for _ in range(500):
        found: dict[str, Any] = (await http.get(url)).json()
        if found["state"] in ends:
            return found
    raise AssertionError(f"{url} stays {found['state']}")


async def cf_push(http: httpx.AsyncClient, space: str, name: str = "dora") -> dict[str, Any]:
    """The calls of section "push", in order. Returns the app."""
    diff = await http.post(
        f"/v3/spaces/{space}/manifest_diff", content=MANIFEST, headers={"Content-Type": "application/x-yaml"}
    )
    assert diff.status_code == 201
    assert "diff" in diff.json()
    applied = await http.post(
        f"/v3/spaces/{space}/actions/apply_manifest", content=MANIFEST, headers={"Content-Type": "application/x-yaml"}
    )
    assert applied.status_code == 202, applied.text
    job = await poll(http, applied.headers["Location"], {"COMPLETE", "FAILED"})
    assert job["state"] == "COMPLETE", job
    app: dict[str, Any] = (await http.get(f"/v3/apps?names={name}&space_guids={space}&per_page=1&page=1")).json()
    app = app["resources"][0]
    assert app["lifecycle"]["type"] == "buildpack"
    matches = await http.post(
        "/v3/resource_matches",
        json={"resources": [{"path": "app.py", "mode": "644", "checksum": {"value": "0"}, "size_in_bytes": 1}]},
    )
    assert (matches.status_code, matches.json()) == (201, {"resources": []})
    relation = {"app": {"data": {"guid": app["guid"]}}}
    package = (await http.post("/v3/packages", json={"type": "bits", "relationships": relation})).json()
    assert package["state"] == "AWAITING_UPLOAD"
    uploaded = await http.post(
        f"/v3/packages/{package['guid']}/upload",
        files={"bits": ("package.zip", zip_of(SOURCE), "application/zip")},
        data={"resources": "[]"},
    )
    assert uploaded.status_code == 200, uploaded.text
    assert (await poll(http, f"/v3/packages/{package['guid']}", {"READY", "FAILED"}))["state"] == "READY"
    made = await http.post("/v3/builds", json={"package": {"guid": package["guid"]}})
    assert made.status_code == 201, made.text
    build = await poll(http, f"/v3/builds/{made.json()['guid']}", {"STAGED", "FAILED"})
    assert build["state"] == "STAGED"
    droplet = (await http.get(f"/v3/droplets/{build['droplet']['guid']}")).json()
    assert droplet["process_types"]["web"] == "python app.py"
    current = await http.patch(
        f"/v3/apps/{app['guid']}/relationships/current_droplet", json={"data": {"guid": droplet["guid"]}}
    )
    assert current.status_code == 200, current.text
    restarted = await http.post(f"/v3/apps/{app['guid']}/actions/restart")
    assert restarted.status_code == 200, restarted.text
    assert restarted.json()["state"] == "STARTED"
    for _ in range(500):
        processes = (await http.get(f"/v3/apps/{app['guid']}/processes")).json()["resources"]
        stats = [(await http.get(f"/v3/processes/{one['guid']}/stats")).json()["resources"] for one in processes]
        if all(not rows or any(row["state"] == "RUNNING" for row in rows) for rows in stats):
            break
    else:
        raise AssertionError(stats)
    return restarted.json()  # type: ignore[no-any-return]


async def shape(http: httpx.AsyncClient, name: str) -> dict[str, Any]:
    """What a push leaves behind, without guids and times."""
    app = (await http.get(f"/v3/apps?names={name}")).json()["resources"][0]
    processes = (await http.get(f"/v3/apps/{app['guid']}/processes")).json()["resources"]
    routes = (await http.get(f"/v3/apps/{app['guid']}/routes")).json()["resources"]
    env = (await http.get(f"/v3/apps/{app['guid']}/env")).json()
    droplet = (await http.get(f"/v3/apps/{app['guid']}/droplets/current")).json()
    packages = (await http.get(f"/v3/apps/{app['guid']}/packages")).json()["resources"]
    kept = ("type", "instances", "memory_in_mb", "disk_in_mb", "health_check", "command")
    return {
        "state": app["state"],
        "lifecycle": app["lifecycle"],
        "processes": sorted(({key: one[key] for key in kept} for one in processes), key=lambda one: one["type"]),
        "routes": [
            (one["url"].replace(name, "NAME"), [to["app"]["process"]["type"] for to in one["destinations"]])
            for one in routes
        ],
        "env": env["environment_variables"],
        "droplet": (droplet["state"], droplet["buildpacks"], droplet["stack"]),
        "packages": [(one["state"], one["type"]) for one in packages],
    }


async def space_guid(http: httpx.AsyncClient) -> str:
    return str((await http.get("/v3/spaces?names=dev")).json()["resources"][0]["guid"])


async def test_cf_push_and_then_cf_app_logs_and_delete(served: Served) -> None:
    async with await served.admin() as http, working_hands(served.context):
        app = await cf_push(http, await space_guid(http))
        guid = app["guid"]
        listed = (await http.get(f"/v3/processes?app_guids={guid}&embed=process_instances")).json()["resources"]
        web = next(one for one in listed if one["type"] == "web")
        assert [one["state"] for one in web["process_instances"]] == ["RUNNING", "RUNNING"]
        assert web["memory_in_mb"] == 64
        assert (await http.get(f"/v3/apps/{guid}/routes")).json()["resources"][0]["url"] == "dora.apps.localhost"
        assert (await http.get(f"/v3/processes/{web['guid']}/sidecars")).json()["resources"] == []
        assert (await http.get("/v3/deployments?app_guids=x&status_values=ACTIVE")).json()["resources"] == []
        await served.context.logs.flush()
        # The CLI looks back far beyond 1970 and waits until at least one envelope is there.
        query = "envelope_types=LOG&limit=1000&descending=true&start_time=-6795364578871345152"
        batch = (await http.get(f"/api/v1/read/{guid}?{query}")).json()
        assert set(batch) == {"envelopes"}
        texts = [base64.b64decode(one["log"]["payload"]).decode() for one in batch["envelopes"]["batch"]]
        assert f"Created app with guid {guid}" in texts
        assert (await http.get("/api/v1/info")).json()["version"] == "3.2.12"
        events = (await http.get(f"/v3/audit_events?target_guids={guid}&order_by=-created_at")).json()["resources"]
        assert "audit.app.create" in {one["type"] for one in events}
        deleted = await http.delete(f"/v3/apps/{guid}")
        assert deleted.status_code == 202
        assert deleted.headers["Location"].startswith(served.doors.url)
        assert (await http.get(f"/v3/apps/{guid}")).status_code == 404


async def test_one_call_leaves_what_the_single_calls_leave(served: Served) -> None:
    async with await served.admin() as http, working_hands(served.context):
        await cf_push(http, await space_guid(http))
        manifest = MANIFEST.replace(b"dora", b"zora")
        answer = await http.post(
            "/paasd/v1/spaces/main/dev/push?wait=true",
            files={"manifest": ("manifest.yml", manifest), "bits": ("app.zip", zip_of(SOURCE))},
            headers={"Accept": "application/x-ndjson"},
        )
        assert answer.status_code == 200, answer.text
        lines = [httpx.Response(200, content=line).json() for line in answer.text.splitlines()]
        assert lines[-1]["type"] == "result", lines[-1]
        assert lines[-1]["instances"] == {"running": 2, "total": 2}
        assert lines[-1]["urls"] == ["https://zora.apps.localhost"]
        assert {"type": "log", "stream": "OUT", "source_type": "STG", "line": "-----> Python 3.11"} in lines
        begun = [one["name"] for one in lines if one["type"] == "step" and one["state"] == "begun"]
        assert begun == ["upload", "build", "start", "healthy", "routed"]
        named = [one["name"] for one in lines[-1]["waterfall"]]
        assert (named[:2], named[-3:]) == (["upload", "wait"], ["start", "healthy", "routed"])
        assert "detect" in named
        assert await shape(http, "zora") == await shape(http, "dora")


async def test_curl_pushes_a_tar_with_basic_auth_and_reads_text(served: Served) -> None:
    basic = httpx.AsyncClient(base_url=served.doors.url, auth=("admin", PASSWORD))
    async with working_hands(served.context), basic as curl:
        answer = await curl.post("/paasd/v1/spaces/main/dev/push?wait=true&name=tarred", content=tar_of(SOURCE))
        assert answer.status_code == 200, answer.text
        assert answer.text.splitlines()[-1].startswith("OK tarred: 1 of 1 instances running")
        base = "/paasd/v1/spaces/main/dev/apps"
        assert [one["name"] for one in (await curl.get(base)).json()["resources"]] == ["tarred"]
        assert (await curl.get(f"{base}/tarred")).json()["state"] == "STARTED"
        assert "VCAP_APPLICATION" in (await curl.get(f"{base}/tarred/env")).json()["application_env_json"]
        assert [one["state"] for one in (await curl.get(f"{base}/tarred/stats")).json()["resources"]] == ["RUNNING"]
        assert "Python 3.11" in (await curl.get(f"{base}/tarred/logs", headers={"Accept": "text/plain"})).text
        scaled = await curl.post(f"{base}/tarred/scale", json={"instances": 3})
        assert (scaled.status_code, scaled.json()["instances"]) == (202, 3)
        assert (await curl.post(f"{base}/tarred/restart")).status_code == 200
        assert (await curl.delete(f"{base}/tarred")).status_code == 202
        assert (await curl.get(f"{base}/tarred")).status_code == 404
        # The v3 API itself takes no Basic, and says what does.
        refused = await curl.get("/v3/apps")
        assert (refused.status_code, refused.json()["errors"][0]["title"]) == (401, "CF-InvalidAuthToken")
        assert "/paasd/v1" in refused.text


async def test_who_gives_no_password_is_told_how(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.doors.url) as curl:
        answer = await curl.get("/paasd/v1/spaces/main/dev/apps")
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="paasd"')
        assert "curl -u NAME:PASSWORD" in answer.text
        answer = await curl.get("/v3/apps")
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "bearer")


async def test_curl_may_put_what_it_pushes(served: Served) -> None:
    basic = httpx.AsyncClient(base_url=served.doors.url, auth=("admin", PASSWORD))
    async with working_hands(served.context), basic as curl:
        answer = await curl.put("/paasd/v1/spaces/main/dev/push?wait=true&name=put", content=tar_of(SOURCE))
        assert answer.text.splitlines()[-1].startswith("OK put: 1 of 1 instances running"), answer.text


async def test_an_only_app_without_a_name_in_the_manifest_gets_it_from_the_query(served: Served) -> None:
    async with await served.admin() as http, working_hands(served.context):
        files = {"manifest": ("m.yml", b"applications:\n- memory: 96M\n"), "bits": ("a.zip", zip_of(SOURCE))}
        url, text = "/paasd/v1/spaces/main/dev/push?wait=true", {"Accept": "text/plain"}
        answer = await http.post(f"{url}&name=named", files=files, headers=text)
        assert answer.text.splitlines()[-1].startswith("OK named: "), answer.text
        assert (await shape(http, "named"))["processes"][0]["memory_in_mb"] == 96
        files["bits"] = ("a.zip", zip_of(SOURCE))
        refused = await http.post(url, files=files)
        assert (refused.status_code, "name must be given" in refused.text) == (422, True)


async def test_push_without_wait_is_a_job(served: Served) -> None:
    async with await served.admin() as http, working_hands(served.context) as hands:
        answer = await http.post("/paasd/v1/spaces/main/dev/push?name=later", content=tar_of(SOURCE))
        assert answer.status_code == 202, answer.text
        assert (await poll(http, answer.headers["Location"], {"COMPLETE", "FAILED"}))["state"] == "COMPLETE"
        hands.build_error = "NoAppDetectedError - none of the buildpacks fits"
        answer = await http.post("/paasd/v1/spaces/main/dev/push?name=broken", content=tar_of(SOURCE))
        job = await poll(http, answer.headers["Location"], {"COMPLETE", "FAILED"})
        assert job["state"] == "FAILED"
        assert "NoAppDetectedError" in job["errors"][0]["detail"]


async def test_failures_of_a_push_name_the_step(served: Served) -> None:
    async with await served.admin() as http, working_hands(served.context) as hands:
        url = "/paasd/v1/spaces/main/dev/push?wait=true&name=sad"
        hands.build_error = "StagerError - it did not work"
        answer = await http.post(url, content=tar_of(SOURCE), headers={"Accept": "text/plain"})
        assert answer.text.splitlines()[-1].startswith("FAILED at build: StagerError - it did not work")
        hands.build_error, hands.state, hands.details = None, "CRASHED", "exited with code 3"
        answer = await http.post(url, content=tar_of(SOURCE), headers={"Accept": "text/plain"})
        assert "FAILED at healthy" in answer.text.splitlines()[-1]
        assert "exited with code 3" in answer.text.splitlines()[-1]


@pytest.mark.parametrize(
    ("path", "status", "hint"),
    [
        ("/paasd/v1/spaces/nowhere/dev/push?name=x", 404, "paasd create-org nowhere"),
        ("/paasd/v1/spaces/main/nowhere/push?name=x", 404, "paasd create-space main/nowhere"),
        ("/paasd/v1/spaces/main/dev/push", 422, "'name'"),
        ("/paasd/v1/spaces/main/dev/push?name=x&wait=maybe", 400, "wait"),
        ("/paasd/v1/spaces/main/dev/push?name=x&color=red", 400, "color"),
    ],
)
async def test_a_push_that_cannot_begin_says_why(served: Served, path: str, status: int, hint: str) -> None:
    async with await served.admin() as http:
        answer = await http.post(path, content=tar_of(SOURCE))
    assert answer.status_code == status, answer.text
    assert hint in answer.json()["errors"][0]["detail"]


async def test_a_push_of_something_else_than_an_archive_is_refused_legibly(served: Served) -> None:
    async with await served.admin() as http:
        url = "/paasd/v1/spaces/main/dev/push?wait=true&name=x"
        answer = await http.post(url, content=b"hello", headers={"Accept": "text/plain"})
        assert "neither a zip nor a tar.gz" in answer.text.splitlines()[-1]
        assert (await http.post(url, content=b"")).status_code == 422
        broken = await http.post(
            "/paasd/v1/spaces/main/dev/push?wait=true",
            files={"manifest": ("m.yml", b"applications: ["), "bits": ("a.zip", zip_of(SOURCE))},
        )
        assert broken.status_code == 422, broken.text
