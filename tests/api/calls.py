"""One good call of each operation of the API: something to call it on, and a body that it takes.

What a family has is made anew for each call, so that a call may take it away.
"""

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import trio

from paasd.api.table import Route
from tests.api.calls_of_people import call_of_people
from tests.api.hands import tar_of, zip_of
from tests.api.serving import PASSWORD, Served

PLACE = re.compile(r"<([a-z_]+)>")
BITS = zip_of({"Procfile": b"web: run"})


def to(guid: str) -> dict[str, Any]:
    return {"data": {"guid": guid}}


class Caller:
    """Makes things as an administrator, and calls operations on them."""

    def __init__(self, served: Served, http: httpx.AsyncClient) -> None:
        self.served = served
        self.http = http
        self.seen: dict[str, dict[str, str]] = {}
        self.makers: dict[str, Callable[[], Awaitable[dict[str, str]]]] = {
            name.removeprefix("make_"): getattr(self, name) for name in dir(self) if name.startswith("make_")
        }

    async def call(self, route: Route) -> httpx.Response:
        """The answer to a good call."""
        method, address, more = await self.request(route)
        return await self.http.request(method, address, **more)

    async def request(self, route: Route) -> tuple[str, str, dict[str, Any]]:
        """Method, address, and what else a good call sends; all that it needs is there."""
        path = route.path.removeprefix("/uaa")
        places = await self.shown(path) if route.method == "GET" else await self.places(path)
        more = await self.body(route.method, path, places)
        return route.method, PLACE.sub(lambda match: places.get(match[1], "none"), route.path), more

    async def shown(self, path: str) -> dict[str, str]:
        """As `places`, of something that others look at, too."""
        family = "/".join(path.split("/")[:4])
        if not PLACE.search(path):
            return {}
        if family not in self.seen:
            self.seen[family] = await self.places(path)
        return self.seen[family]

    async def places(self, path: str) -> dict[str, str]:
        """What stands for the names in the path."""
        if not PLACE.search(path):
            return {}
        parts = [part for part in path.split("/") if part not in ("", "v3", "v1", "paasd", "api", "uaa")]
        maker = self.makers.get(parts[0].lower().replace("-", "_"))
        found = {"feature": "ssh", "type": "web", "index": "0"}
        if maker is not None:
            found |= await maker()
            if path.endswith("/deploy-tokens/<name>"):
                found["name"] = self.name()
                made = path.removesuffix("/<name>")
                address = PLACE.sub(lambda match: found[match[1]], made)
                assert (await self.http.post(address, json={"name": found["name"]})).is_success
            return found
        listed = (await self.http.get(f"/v3/{parts[0]}")).json()["resources"][0]
        return {**found, "guid": listed.get("guid", ""), "name": listed.get("name", "")}

    async def make(self, path: str, body: dict[str, Any]) -> str:
        answer = await self.http.post(path, json=body)
        assert answer.status_code == 201, (path, answer.text)
        return str(answer.json()["guid"])

    def name(self) -> str:
        return f"n{secrets.token_hex(6)}"

    async def make_organizations(self) -> dict[str, str]:
        name = self.name()
        return {"guid": await self.make("/v3/organizations", {"name": name}), "organization": name}

    async def make_security_groups(self) -> dict[str, str]:
        """One that counts in a space."""
        group, space = await self.make("/v3/security_groups", {"name": self.name()}), await self.dev()
        for when in ("running", "staging"):
            path = f"/v3/security_groups/{group}/relationships/{when}_spaces"
            assert (await self.http.post(path, json={"data": [{"guid": space}]})).is_success
        return {"guid": group, "space_guid": space}

    async def make_keys(self) -> dict[str, str]:
        """One of which no change is under way."""
        answer = await self.http.post("/paasd/v1/keys/ssh/actions/change", params={"at_once": "true"})
        assert answer.status_code == 200, answer.text
        return {"what": "ssh"}

    async def make_buildpacks(self) -> dict[str, str]:
        return {"guid": await self.make("/v3/buildpacks", {"name": self.name()})}

    async def make_organization_quotas(self) -> dict[str, str]:
        return {"guid": await self.make("/v3/organization_quotas", {"name": self.name()})}

    async def make_space_quotas(self) -> dict[str, str]:
        """One that a space has."""
        space = (await self.make_spaces())["guid"]
        shown = (await self.http.get(f"/v3/spaces/{space}")).json()
        relationships = {"organization": shown["relationships"]["organization"], "spaces": {"data": [{"guid": space}]}}
        quota = await self.make("/v3/space_quotas", {"name": self.name(), "relationships": relationships})
        return {"guid": quota, "space_guid": space}

    async def make_tasks(self) -> dict[str, str]:
        app = (await self.make_apps())["guid"]
        answer = await self.http.post(f"/v3/apps/{app}/tasks", json={"command": "run"})
        assert answer.status_code == 202, answer.text
        return {"guid": answer.json()["guid"]}

    async def make_app_usage_events(self) -> dict[str, str]:
        app = (await self.make_apps())["guid"]
        assert (await self.http.post(f"/v3/apps/{app}/actions/start")).is_success
        return {"guid": (await self.http.get("/v3/app_usage_events")).json()["resources"][0]["guid"]}

    async def make_revisions(self) -> dict[str, str]:
        app = (await self.make_apps())["guid"]
        assert (await self.http.post(f"/v3/apps/{app}/actions/start")).is_success
        return {"guid": (await self.http.get(f"/v3/apps/{app}/revisions")).json()["resources"][0]["guid"]}

    async def make_oauth(self) -> dict[str, str]:
        name = self.name()
        body = {"client_id": name, "client_secret": PASSWORD, "authorities": ["cloud_controller.read"]}
        assert (await self.http.post("/oauth/clients", json=body)).status_code == 201
        return {**await self.make_users(), "client_id": name}

    async def make_none(self) -> dict[str, str]:
        """What there is none of here."""
        return {"guid": "none", "provider": "none", "user": "none", "client_id": "none"}

    make_isolation_segments = make_service_usage_events = make_oidc = make_none

    async def make_spaces(self) -> dict[str, str]:
        organization = (await self.make_organizations())["guid"]
        relationships = {"organization": to(organization)}
        name = self.name()
        made = await self.make("/v3/spaces", {"name": name, "relationships": relationships})
        app = await self.make_apps(made)
        shown = (await self.http.get(f"/v3/organizations/{organization}")).json()
        application = (await self.http.get(f"/v3/apps/{app['guid']}")).json()["name"]
        return {"guid": made, "organization": shown["name"], "space": name, "app": application}

    async def make_users(self) -> dict[str, str]:
        return {"guid": await self.served.make_user(self.name())}

    async def make_groups(self) -> dict[str, str]:
        """Somebody who is in it."""
        guid, group = (await self.make_users())["guid"], "cloud_controller.global_auditor"
        assert (await self.http.post(f"/Groups/{group}/members", json={"value": guid})).status_code == 201
        return {"group": group, "guid": guid}

    async def make_roles(self) -> dict[str, str]:
        body = await self.role()
        return {"guid": await self.make("/v3/roles", body)}

    async def role(self) -> dict[str, Any]:
        user, organization = await self.make_users(), await self.make_organizations()
        relationships = {"user": to(user["guid"]), "organization": to(organization["guid"])}
        return {"type": "organization_user", "relationships": relationships}

    async def make_domains(self) -> dict[str, str]:
        """One that an organization has, and another with which it can be shared."""
        owner, other = (await self.make_organizations())["guid"], (await self.make_organizations())["guid"]
        body = {"name": f"{self.name()}.example.org", "relationships": {"organization": to(owner)}}
        return {"guid": await self.make("/v3/domains", body), "organization_guid": other}

    async def dev(self) -> str:
        return str((await self.http.get("/v3/spaces?names=dev")).json()["resources"][0]["guid"])

    async def route(self) -> dict[str, Any]:
        domain = (await self.http.get("/v3/domains?names=apps.localhost")).json()["resources"][0]["guid"]
        return {"host": self.name(), "relationships": {"domain": to(domain), "space": to(await self.dev())}}

    async def make_routes(self) -> dict[str, str]:
        route = await self.make("/v3/routes", await self.route())
        body = {"destinations": [{"app": {"guid": (await self.make_apps())["guid"]}}]}
        answer = await self.http.post(f"/v3/routes/{route}/destinations", json=body)
        return {"guid": route, "destination_guid": answer.json()["destinations"][0]["guid"]}

    async def make_apps(self, space: str | None = None) -> dict[str, str]:
        """One that can be started."""
        relationships = {"space": to(space or await self.dev())}
        app = await self.make("/v3/apps", {"name": self.name(), "relationships": relationships})
        droplet = await self.staged(app)
        changed = await self.http.patch(f"/v3/apps/{app}/relationships/current_droplet", json=to(droplet))
        assert changed.status_code == 200, changed.text
        return {"guid": app, "droplet": droplet, "source_id": app}

    async def staged(self, app: str) -> str:
        package = await self.package(app)
        build = await self.make("/v3/builds", {"package": {"guid": package}})
        with trio.fail_after(10):
            while (shown := (await self.http.get(f"/v3/builds/{build}")).json())["state"] != "STAGED":
                await trio.sleep(0.005)
        return str(shown["droplet"]["guid"])

    async def package(self, app: str) -> str:
        package = await self.make("/v3/packages", {"type": "bits", "relationships": {"app": to(app)}})
        await self.http.post(f"/v3/packages/{package}/upload", files={"bits": ("bits.zip", BITS)})
        with trio.fail_after(10):
            while (await self.http.get(f"/v3/packages/{package}")).json()["state"] != "READY":
                await trio.sleep(0.005)
        return package

    async def make_read(self) -> dict[str, str]:
        return await self.make_apps()

    async def make_processes(self) -> dict[str, str]:
        app = (await self.make_apps())["guid"]
        shown = await self.http.get(f"/v3/apps/{app}/processes/web")
        return {"guid": shown.json()["guid"]}

    async def make_sidecars(self) -> dict[str, str]:
        app = (await self.make_apps())["guid"]
        body = {"name": "one", "command": "run", "process_types": ["web"]}
        return {"guid": await self.make(f"/v3/apps/{app}/sidecars", body)}

    async def make_packages(self) -> dict[str, str]:
        return {"guid": await self.package((await self.make_apps())["guid"])}

    async def make_builds(self) -> dict[str, str]:
        app = (await self.make_apps())["guid"]
        return {"guid": (await self.http.get(f"/v3/apps/{app}/builds")).json()["resources"][0]["guid"]}

    async def make_droplets(self) -> dict[str, str]:
        """One that is no app's current one."""
        app = (await self.make_apps())["guid"]
        return {"guid": await self.staged(app)}

    async def make_jobs(self) -> dict[str, str]:
        deleted = await self.http.delete(f"/v3/organizations/{(await self.make_organizations())['guid']}")
        return {"guid": deleted.headers["Location"].rpartition("/")[2]}

    async def make_nodes(self) -> dict[str, str]:
        return {"node": "node"}

    async def make_environment_variable_groups(self) -> dict[str, str]:
        return {"name": "running"}

    async def make_tokens(self) -> dict[str, str]:
        return {"token": "none"}

    async def body(self, method: str, path: str, places: dict[str, str]) -> dict[str, Any]:
        """What is sent with the call."""
        if (sent := await call_of_people(self, method, path, places)) is not None:
            return sent
        if (method, path) == ("DELETE", "/v3/spaces/<guid>/routes"):
            return {"params": {"unmapped": "true"}}
        if (method, path) == ("DELETE", "/v3/space_quotas/<guid>"):
            await self.http.delete(f"/v3/space_quotas/{places['guid']}/relationships/spaces/{places['space_guid']}")
        if path.startswith("/v3/routes/<guid>/relationships"):
            await self.http.patch("/v3/feature_flags/route_sharing", json={"enabled": True})
            places["space_guid"] = (await self.make_spaces())["guid"]
            one = {"guid": places["space_guid"]}
            sent = {"POST": {"data": [one]}, "PATCH": {"data": one}}
            return {"json": sent[method]} if method in sent else {}
        sharing = {"data": [{"guid": places.get("organization_guid", "")}]}
        if (method, path) == ("DELETE", "/v3/domains/<guid>/relationships/shared_organizations/<organization_guid>"):
            shared = f"/v3/domains/{places['guid']}/relationships/shared_organizations"
            assert (await self.http.post(shared, json=sharing)).is_success
        if method in ("GET", "DELETE"):
            return {}
        if path == "/v3/domains/<guid>/relationships/shared_organizations":
            return {"json": sharing}
        if path.endswith("/upload") and "buildpacks" in path:
            return {"files": {"bits": ("bits.zip", BITS)}}
        if path.endswith("/upload"):
            if "droplets" in path:
                app = (await self.make_apps())["guid"]
                places["guid"] = await self.make("/v3/droplets", {"relationships": {"app": to(app)}})
                return {"files": {"bits": ("x.tgz", tar_of({"app/x": b"x"}))}}
            app = (await self.make_apps())["guid"]
            places["guid"] = await self.make("/v3/packages", {"type": "bits", "relationships": {"app": to(app)}})
            return {"files": {"bits": ("bits.zip", BITS)}}
        if path.endswith("/push"):
            return {"params": {"name": self.name(), "wait": "true"}, "content": tar_of({"Procfile": b"web: run"})}
        if path.endswith(("apply_manifest", "manifest_diff")):
            text = f"applications: [{{name: {self.name()}}}]"
            return {"content": text.encode(), "headers": {"Content-Type": "application/x-yaml"}}
        if path.endswith("/oauth/token"):
            form = {"grant_type": "password", "username": "admin", "password": PASSWORD}
            return {"data": form, "auth": ("cf", "")}
        return {"json": await self.json(method, path, places)}

    async def json(self, method: str, path: str, places: dict[str, str]) -> dict[str, Any]:
        app = (await self.make_apps())["guid"] if method == "POST" and path in OF_APPS else ""
        bodies: dict[tuple[str, str], Any] = {
            ("POST", "/v3/organizations"): {"name": self.name()},
            ("POST", "/v3/stacks"): {"name": self.name()},
            ("POST", "/v3/users"): {"guid": self.name()},
            ("POST", "/v3/security_groups"): {"name": self.name()},
            ("POST", "/v3/buildpacks"): {"name": self.name()},
            ("PATCH", "/paasd/v1/organizations/<organization>/ssh"): {"allowed": True},
            ("POST", "/v3/organization_quotas"): {"name": self.name()},
            ("POST", "/v3/apps/<guid>/tasks"): {"command": "run"},
            ("PATCH", "/v3/feature_flags/<name>"): {"enabled": True},
            ("PATCH", "/v3/environment_variable_groups/<name>"): {"var": {"A": "b"}},
            ("PATCH", "/v3/organizations/<guid>/relationships/default_isolation_segment"): {"data": None},
            ("PATCH", "/v3/spaces/<guid>/relationships/isolation_segment"): {"data": None},
            ("PUT", "/paasd/v1/organizations/<organization>/second-factor"): {"demanded": False},
            ("POST", "/v3/domains"): {"name": f"{self.name()}.example.org"},
            ("POST", "/v3/packages"): {"type": "bits", "relationships": {"app": to(app)}},
            ("POST", "/v3/droplets"): {"relationships": {"app": to(app)}},
            ("POST", "/v3/resource_matches"): {"resources": []},
            ("POST", "/v3/apps/<guid>/sidecars"): {"name": "one", "command": "run", "process_types": ["web"]},
            ("PATCH", "/v3/apps/<guid>/relationships/current_droplet"): to(places.get("droplet", "")),
            ("PATCH", "/v3/apps/<guid>/environment_variables"): {"var": {"A": "b"}},
            ("POST", "/v3/routes/<guid>/destinations"): {"destinations": []},
            ("PATCH", "/v3/routes/<guid>/destinations"): {"destinations": []},
            ("PATCH", "/v3/routes/<guid>/destinations/<destination_guid>"): {"protocol": "http2"},
            ("POST", "/oauth/clients"): {
                "client_id": self.name(),
                "client_secret": PASSWORD,
                "authorities": ["cloud_controller.read"],
            },
            ("POST", "/Groups/<group>/members"): {"value": places.get("guid", "")},
            ("POST", "/Users"): {"userName": self.name(), "password": PASSWORD},
            ("PUT", "/Users/<guid>"): {"userName": self.name(), "emails": [{"value": "ada@example.org"}]},
            ("PATCH", "/Users/<guid>"): {"emails": [{"value": "bob@example.org"}]},
            ("PUT", "/Users/<guid>/password"): {"password": PASSWORD + "!"},
            ("POST", "/paasd/v1/backup"): {"passphrase": "a long enough passphrase"},
        }
        if (method, path) in bodies:
            found: dict[str, Any] = bodies[method, path]
            return found
        if path.startswith("/networking/v1/external/policies") and not path.endswith("cleanup"):
            one, two = (await self.make_apps())["guid"], (await self.make_apps())["guid"]
            ends = {"id": two, "protocol": "tcp", "ports": {"start": 8080, "end": 8080}}
            return {"policies": [{"source": {"id": one}, "destination": ends}]}
        if path.endswith("/deploy-tokens"):
            return {"name": self.name()}
        if path.endswith("/invitations"):
            return {"address": f"{self.name()}@example.org"}
        if "/relationships/" in path and path.endswith("spaces"):
            return {"data": [{"guid": places["space_guid"]}]}
        if path.endswith("/relationships/organizations"):
            return {"data": [{"guid": (await self.make_organizations())["guid"]}]}
        if (method, path) == ("POST", "/v3/space_quotas"):
            organization = (await self.make_organizations())["guid"]
            return {"name": self.name(), "relationships": {"organization": to(organization)}}
        if (method, path) == ("POST", "/v3/spaces"):
            return {"name": "s", "relationships": {"organization": to((await self.make_organizations())["guid"])}}
        if (method, path) == ("POST", "/v3/roles"):
            return await self.role()
        if (method, path) == ("POST", "/v3/routes"):
            return await self.route()
        if (method, path) == ("POST", "/v3/apps"):
            return {"name": self.name(), "relationships": {"space": to(await self.dev())}}
        if (method, path) == ("POST", "/v3/builds"):
            return {"package": {"guid": await self.package(app)}}
        return {"enabled": True} if "/features/" in path else {}


OF_APPS = ("/v3/packages", "/v3/droplets", "/v3/builds")
