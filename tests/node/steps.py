"""The push of a Cloud Foundry client, call by call, as `cf push` makes it."""

import json
from pathlib import Path
from typing import Any

import httpx
import trio

from tests.node.harness import Driver, archive

POLL_S = 0.05


async def push_by_steps(
    node: Driver, name: str, files: dict[str, str | bytes] | Path, manifest: str | None = None
) -> dict[str, Any]:
    """Manifest, package, upload, build, droplet, restart, until the processes run; the build's JSON."""
    api = node.api
    space = (await api.get("/v3/spaces", params={"names": "dev"})).json()["resources"][0]["guid"]
    text = manifest or f"applications:\n- name: {name}\n  default-route: true\n"
    headers = {"Content-Type": "application/x-yaml"}
    answer = await api.post(f"/v3/spaces/{space}/actions/apply_manifest", content=text, headers=headers)
    assert answer.status_code == 202, answer.text
    await finished_job(api, answer.headers["Location"])
    app = (await api.get("/v3/apps", params={"names": name, "space_guids": space})).json()["resources"][0]
    package = await upload(api, app["guid"], archive(files))
    build = (await api.post("/v3/builds", json={"package": {"guid": package}})).json()
    with trio.fail_after(180):
        while build["state"] == "STAGING":
            await trio.sleep(POLL_S)
            build = (await api.get(f"/v3/builds/{build['guid']}")).json()
    if build["state"] == "FAILED":
        return dict(build)
    droplet = {"data": {"guid": build["droplet"]["guid"]}}
    answer = await api.patch(f"/v3/apps/{app['guid']}/relationships/current_droplet", json=droplet)
    assert answer.status_code == 200, answer.text
    answer = await api.post(f"/v3/apps/{app['guid']}/actions/restart")
    assert answer.status_code == 200, answer.text
    await stable(api, app["guid"])
    return dict(build)


async def finished_job(api: httpx.AsyncClient, location: str) -> dict[str, Any]:
    """Poll a job to its end."""
    with trio.fail_after(60):
        while True:
            job = (await api.get(location)).json()
            if job["state"] in ("COMPLETE", "FAILED"):
                return dict(job)
            await trio.sleep(POLL_S)


async def upload(api: httpx.AsyncClient, app_guid: str, bits: bytes) -> str:
    """A READY package of the app; its guid."""
    relationships = {"app": {"data": {"guid": app_guid}}}
    package = (await api.post("/v3/packages", json={"type": "bits", "relationships": relationships})).json()["guid"]
    parts = {"resources": (None, json.dumps([])), "bits": ("package.zip", bits, "application/zip")}
    answer = await api.post(f"/v3/packages/{package}/upload", files=parts)
    assert answer.status_code == 200, answer.text
    with trio.fail_after(60):
        while (state := (await api.get(f"/v3/packages/{package}")).json()["state"]) != "READY":
            assert state == "PROCESSING_UPLOAD", state
            await trio.sleep(POLL_S)
    return str(package)


async def stable(api: httpx.AsyncClient, app_guid: str) -> None:
    """Wait until every process of the app has a running instance, or wants none."""
    processes = (await api.get(f"/v3/apps/{app_guid}/processes")).json()["resources"]
    with trio.fail_after(90):
        for process in processes:
            while process["instances"]:
                stats = (await api.get(f"/v3/processes/{process['guid']}/stats")).json()["resources"]
                if any(one["state"] == "RUNNING" for one in stats):
                    break
                await trio.sleep(POLL_S)
