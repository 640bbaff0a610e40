"""The commands that change what was pushed."""

from typing import Any

from tests.clients.cf_apps import CfApps


class CfChanges(CfApps):
    """All of the CLI that the tests use."""

    async def env(self, name: str) -> dict[str, str]:
        """`cf env`: what the user provided; the four other groups have to be there."""
        app = await self.find_app(name)
        found = await self.get(f"/v3/apps/{app['guid']}/env")
        assert {"staging_env_json", "running_env_json", "system_env_json", "application_env_json"} <= set(found)
        assert found["application_env_json"]["VCAP_APPLICATION"]["application_name"] == name
        assert "VCAP_SERVICES" in found["system_env_json"]
        return dict(found["environment_variables"])

    async def set_env(self, name: str, key: str, value: str | None) -> None:
        """`cf set-env`, and with None `cf unset-env`."""
        app = await self.find_app(name)
        await self.call("PATCH", f"/v3/apps/{app['guid']}/environment_variables", json={"var": {key: value}})

    async def scale(self, name: str, **amounts: int) -> None:
        """`cf scale -i/-m/-k`; a new size stops and starts the app."""
        app = await self.find_app(name)
        path = f"/v3/apps/{app['guid']}/processes/web/actions/scale"
        scaled = (await self.call("POST", path, 202, json=amounts)).json()
        assert {key: scaled[key] for key in amounts} == amounts
        if set(amounts) != {"instances"}:
            await self.stop(name)
            await self.start(name)

    async def stop(self, name: str) -> None:
        """`cf stop`."""
        app = await self.find_app(name)
        stopped = (await self.call("POST", f"/v3/apps/{app['guid']}/actions/stop")).json()
        assert stopped["state"] == "STOPPED"

    async def start(self, name: str) -> None:
        """`cf start`: the newest package has a droplet, so nothing is staged."""
        app = await self.find_app(name)
        await self.newest_droplet(app["guid"])
        await self.call("POST", f"/v3/apps/{app['guid']}/actions/start")
        await self.wait_for_instances(app["guid"])

    async def restart(self, name: str) -> None:
        """`cf restart`."""
        app = await self.find_app(name)
        await self.newest_droplet(app["guid"])
        await self.stop(name)
        await self.call("POST", f"/v3/apps/{app['guid']}/actions/start")
        await self.wait_for_instances(app["guid"])

    async def newest_droplet(self, app_guid: str) -> str:
        """What `start` and `restart` look at first."""
        package = await self.one("/v3/packages", app_guids=app_guid, order_by="-created_at")
        droplets = await self.list(f"/v3/packages/{package['guid']}/droplets", states="STAGED", order_by="-created_at")
        return str(droplets[0]["guid"])

    async def restage(self, name: str) -> None:
        """`cf restage`."""
        app = await self.find_app(name)
        package = await self.one("/v3/packages", app_guids=app["guid"], states="READY", order_by="-created_at")
        droplet = await self.stage(package["guid"])
        await self.stop(name)
        await self.set_droplet(app["guid"], droplet)
        await self.call("POST", f"/v3/apps/{app['guid']}/actions/start")
        await self.wait_for_instances(app["guid"])

    async def delete_with_routes(self, name: str) -> None:
        """`cf delete -r`."""
        app = await self.find_app(name)
        routes = await self.list(f"/v3/apps/{app['guid']}/routes")
        await self.job(await self.call("DELETE", f"/v3/apps/{app['guid']}", 202))
        for route in routes:
            await self.job(await self.call("DELETE", f"/v3/routes/{route['guid']}", 202))

    async def domains(self) -> list[str]:
        """`cf domains`."""
        found = await self.list(f"/v3/organizations/{self.organization}/domains")
        assert all({"internal", "supported_protocols", "router_group"} <= set(one) for one in found)
        return [one["name"] for one in found]

    async def create_route(self, domain: str, host: str) -> str:
        """`cf create-route`; one that is there is found by the text of the refusal."""
        found = await self.list("/v3/domains", names=domain)
        places = {"space": self.space, "domain": found[0]["guid"]}
        body = {"host": host, "relationships": {key: {"data": {"guid": guid}} for key, guid in places.items()}}
        answer = await self.http.post(f"{self.url}/v3/routes", json=body)
        if answer.status_code == 422:
            assert "Route already exists" in answer.json()["errors"][0]["detail"]
            return await self.find_route(found[0]["guid"], host)
        assert answer.status_code == 201, answer.text
        route = answer.json()
        fields = {"host", "path", "port", "protocol", "url", "options", "destinations"}
        assert set(route) >= fields
        return str(route["guid"])

    async def find_route(self, domain_guid: str, host: str) -> str:
        """The route without a path: a filter that is there and empty."""
        found = await self.list("/v3/routes", domain_guids=domain_guid, hosts=host, paths="")
        assert [(one["host"], one["path"]) for one in found] == [(host, "")]
        return str(found[0]["guid"])

    async def map_route(self, name: str, domain: str, host: str) -> None:
        """`cf map-route`."""
        app = await self.find_app(name)
        route = await self.create_route(domain, host)
        await self.get(f"/v3/routes/{route}/destinations")
        body = {"destinations": [{"app": {"guid": app["guid"], "process": {"type": "web"}}}]}
        answer = await self.call("POST", f"/v3/routes/{route}/destinations", json=body)
        assert answer.json()["destinations"][0]["app"] == {"guid": app["guid"], "process": {"type": "web"}}

    async def routes(self) -> dict[str, list[str]]:
        """`cf routes`: app guids by URL."""
        found = await self.list("/v3/routes", space_guids=self.space)
        await self.list("/v3/spaces", guids=self.space)
        guids = sorted({one["app"]["guid"] for route in found for one in route["destinations"]})
        apps = {app["guid"]: app["name"] for app in await self.list("/v3/apps", guids=",".join(guids))} if guids else {}
        routes = ",".join(route["guid"] for route in found)
        if routes:
            bindings = "/v3/service_route_bindings"
            assert await self.list(bindings, route_guids=routes, include="service_instance") == []
        return {route["url"]: [apps[one["app"]["guid"]] for one in route["destinations"]] for route in found}

    async def events(self, name: str) -> list[dict[str, Any]]:
        """`cf events`, newest first."""
        app = await self.find_app(name)
        found = await self.list("/v3/audit_events", target_guids=app["guid"], order_by="-created_at")
        assert all({"type", "created_at", "actor", "data"} <= set(one) for one in found)
        assert all(one["actor"]["name"] for one in found)
        return found
