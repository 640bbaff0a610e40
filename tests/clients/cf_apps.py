"""The commands about apps: push and what comes after it."""

import base64
import io
import json
import zipfile
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from tests.clients.cf import BEGINNING_OF_TIME, ENVELOPE_FIELDS, POLL_S, Cf

Files = dict[str, str]


def zip_of(files: Files) -> bytes:
    """What the CLI uploads."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


class CfApps(Cf):
    """The CLI with a space targeted."""

    async def find_app(self, name: str) -> dict[str, Any]:
        """What every command about an app begins with."""
        return await self.one("/v3/apps", names=name, space_guids=self.space)

    async def push(self, name: str, files: Files, manifest: str | None = None) -> dict[str, Any]:
        """`cf push`; without a manifest of its own the CLI writes one."""
        yaml = {"Content-Type": "application/x-yaml"}
        text = manifest or f"applications:\n- name: {name}\n  path: /home/me/{name}\n  default-route: true\n"
        if manifest is not None:
            diff = await self.call("POST", f"/v3/spaces/{self.space}/manifest_diff", 201, content=text, headers=yaml)
            assert isinstance(diff.json()["diff"], list)
        path = f"/v3/spaces/{self.space}/actions/apply_manifest"
        await self.job(await self.call("POST", path, 202, content=text, headers=yaml))
        app = await self.find_app(name)
        assert app["lifecycle"]["type"] == "buildpack"
        package = await self.upload(app["guid"], files)
        droplet = await self.stage(package)
        await self.set_droplet(app["guid"], droplet)
        await self.call("POST", f"/v3/apps/{app['guid']}/actions/restart")
        await self.wait_for_instances(app["guid"])
        await self.app(name)
        return app

    async def upload(self, app_guid: str, files: Files) -> str:
        """The package part of a push."""
        known = [
            {"path": name, "mode": "644", "checksum": {"value": "0" * 40}, "size_in_bytes": len(text)}
            for name, text in files.items()
        ]
        matches = await self.call("POST", "/v3/resource_matches", 201, json={"resources": known})
        assert matches.json()["resources"] == []
        body = {"type": "bits", "relationships": {"app": {"data": {"guid": app_guid}}}}
        package = (await self.call("POST", "/v3/packages", 201, json=body)).json()
        assert package["state"] == "AWAITING_UPLOAD"
        boundary = "e47ea8cb3eb1bbfdd45af04fe52d9ae9"
        parts = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="resources"\r\n\r\n{json.dumps([])}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="bits"; filename="package.zip"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        content = parts.encode() + zip_of(files) + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        await self.call("POST", f"/v3/packages/{package['guid']}/upload", content=content, headers=headers)
        ready = await self.until(
            lambda: self.get(f"/v3/packages/{package['guid']}"),
            lambda found: found["state"] in ("READY", "FAILED", "EXPIRED"),
        )
        assert ready["state"] == "READY", ready
        return str(package["guid"])

    async def stage(self, package: str) -> str:
        """The build part of a push, and all of `cf stage`."""
        build = (await self.call("POST", "/v3/builds", 201, json={"package": {"guid": package}})).json()
        assert build["state"] == "STAGING"
        build = await self.until(
            lambda: self.get(f"/v3/builds/{build['guid']}"), lambda found: found["state"] in ("STAGED", "FAILED")
        )
        assert build["state"] == "STAGED", build
        droplet = await self.get(f"/v3/droplets/{build['droplet']['guid']}")
        assert set(droplet) >= {"guid", "state", "created_at", "stack", "buildpacks", "process_types", "image"}
        return str(droplet["guid"])

    async def set_droplet(self, app_guid: str, droplet: str) -> None:
        """A droplet becomes current."""
        body = {"data": {"guid": droplet}}
        path = f"/v3/apps/{app_guid}/relationships/current_droplet"
        assert (await self.call("PATCH", path, json=body)).json()["data"] == {"guid": droplet}

    async def wait_for_instances(self, app_guid: str) -> None:
        """Until each process has a running instance or wants none, as `push`, `start` and `restart` end."""

        async def stable() -> bool:
            for process in await self.list(f"/v3/apps/{app_guid}/processes"):
                stats = (await self.get(f"/v3/processes/{process['guid']}/stats"))["resources"]
                assert not stats or {one["state"] for one in stats} != {"CRASHED"}, stats
                if stats and all(one["state"] != "RUNNING" for one in stats):
                    return False
            return True

        await self.until(stable, bool)

    async def apps(self) -> dict[str, str]:
        """`cf apps`: state and running instances by name."""
        rows = {}
        apps = await self.list("/v3/apps", space_guids=self.space, order_by="name")
        processes = await self.list("/v3/processes", space_guids=self.space, embed="process_instances")
        if apps:
            await self.list("/v3/routes", app_guids=",".join(app["guid"] for app in apps))
        for app in apps:
            own = [one for one in processes if one["relationships"]["app"]["data"]["guid"] == app["guid"]]
            for one in own:
                assert all({"index", "state", "since"} <= set(found) for found in one["process_instances"])
            running = sum(found["state"] == "RUNNING" for one in own for found in one["process_instances"])
            rows[app["name"]] = f"{app['state'].lower()} {running}"
        return rows

    async def app(self, name: str) -> dict[str, Any]:
        """`cf app`: the web process, its instances, routes and droplet."""
        app = await self.find_app(name)
        path = f"/v3/apps/{app['guid']}"
        shown: dict[str, Any] = {"state": app["state"]}
        for process in await self.list(path + "/processes"):
            full = await self.get(f"/v3/processes/{process['guid']}")
            await self.list(f"/v3/processes/{process['guid']}/sidecars")
            stats = (await self.get(f"/v3/processes/{process['guid']}/stats"))["resources"]
            shown[process["type"]] = {"process": full, "stats": stats}
        shown["routes"] = await self.list(path + "/routes")
        answer = await self.http.get(f"{self.url}{path}/droplets/current")
        if answer.status_code == 404:
            assert answer.json()["errors"][0]["detail"] == "Droplet not found"
        else:
            shown["droplet"] = answer.json()
        query = {"app_guids": app["guid"], "status_values": "ACTIVE", "order_by": "-created_at"}
        assert await self.list("/v3/deployments", **query) == []
        return shown

    async def logs_recent(self, name: str) -> list[str]:
        """`cf logs --recent`, oldest first, as `[type/instance] stream text`."""
        app = await self.find_app(name)
        cache = self.links["log_cache"]["href"]
        assert (await self.get(cache + "/api/v1/info"))["version"] >= "2"
        return await self.read(
            app["guid"], envelope_types="LOG", limit="1000", descending="true", start_time=BEGINNING_OF_TIME
        )

    async def read(self, source: str, **query: str) -> list[str]:
        """One call of log-cache, decoded as strictly as the CLI does it."""
        answer = await self.get(f"{self.links['log_cache']['href']}/api/v1/read/{source}", **query)
        assert set(answer) == {"envelopes"}
        assert set(answer["envelopes"]) == {"batch"}
        batch = answer["envelopes"]["batch"]
        if query.get("descending") == "true":
            batch.reverse()
        return [_line(envelope) for envelope in batch]

    async def logs(self, name: str, meanwhile: Callable[[], Awaitable[Any]], wanted: str) -> None:
        """`cf logs`: from the newest envelope on, until the text was seen that `meanwhile` leads to."""
        app = await self.find_app(name)
        path = f"{self.links['log_cache']['href']}/api/v1/read/{app['guid']}"
        first = await self.until(
            lambda: self.get(path, start_time=BEGINNING_OF_TIME, descending="true", limit="1"),
            lambda found: bool(found["envelopes"]["batch"]),
        )
        start = int(first["envelopes"]["batch"][0]["timestamp"]) + 1
        await meanwhile()
        with trio.fail_after(30):
            while True:
                batch = (await self.get(path, envelope_types="LOG", start_time=str(start)))["envelopes"]["batch"]
                if any(wanted in _line(envelope) for envelope in batch):
                    return
                start = int(batch[-1]["timestamp"]) + 1 if batch else start
                await trio.sleep(POLL_S)


def _line(envelope: dict[str, Any]) -> str:
    assert set(envelope) <= ENVELOPE_FIELDS, envelope
    assert set(envelope["log"]) <= {"payload", "type"}
    text = base64.b64decode(envelope["log"]["payload"]).decode()
    return f"[{envelope['tags']['source_type']}/{envelope['instance_id']}] {envelope['log'].get('type', 'OUT')} {text}"
