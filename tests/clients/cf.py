"""The call sequences of the `cf` CLI, command by command, with its headers, over HTTPS through the router.

Each method makes the calls of one command in their order and checks what the command needs of the answers.
"""

import base64
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import trio

from tests.api.conforming import conforms

POLL_S = 0.1
DEADLINE_S = 180.0
BEGINNING_OF_TIME = "-6795364578871345152"
"""What Go makes of the zero time in nanoseconds; the CLI asks for logs since then."""
ENVELOPE_FIELDS = {"timestamp", "source_id", "instance_id", "deprecated_tags", "tags", "log"}
RESOURCE_FIELDS = {"guid", "created_at", "updated_at"}


class LocalhostTransport(httpx.AsyncHTTPTransport):
    """Takes names below .localhost to this machine, name and port of the request untouched."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host="127.0.0.1")
        return await super().handle_async_request(request)


class Cf:
    """A user of the CLI: where it is signed in, and what is targeted."""

    def __init__(self, url: str, ca: str) -> None:
        self.url = url
        # As the CLI: HTTP/1.1, JSON announced on every request.
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "cf/8.18.4+abcdef.2026-01-01 (go1.25.0; amd64 linux)",
        }
        transport = LocalhostTransport(verify=ssl.create_default_context(cafile=ca))
        hooks = {"response": [conforms]}
        self.http = httpx.AsyncClient(transport=transport, headers=headers, timeout=60, event_hooks=hooks)
        self.links: dict[str, Any] = {}
        self.organization = self.space = ""

    async def call(self, method: str, path: str, status: int = 200, **options: Any) -> httpx.Response:
        """One request; the path may be a link as the API gave it."""
        url = path if "://" in path else f"{self.url}{path}"
        answer = await self.http.request(method, url, **options)
        assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        return answer

    async def get(self, path: str, **query: str) -> Any:
        """JSON of a resource or of a page."""
        return (await self.call("GET", path + (f"?{urlencode(query, safe=',:')}" if query else ""))).json()

    async def list(self, path: str, **query: str) -> list[dict[str, Any]]:
        """All pages, by following `next`."""
        page = await self.get(path, **query)
        found: list[dict[str, Any]] = page["resources"]
        while page["pagination"]["next"] is not None:
            page = await self.get(page["pagination"]["next"]["href"])
            found += page["resources"]
        for resource in found:
            assert set(resource) >= RESOURCE_FIELDS
            assert all(isinstance(link, dict) for link in resource["links"].values())
        return found

    async def one(self, path: str, **query: str) -> dict[str, Any]:
        """The only resource that matches."""
        found = await self.list(path, **query, per_page="1", page="1")
        assert len(found) == 1, (path, query, found)
        return found[0]

    async def job(self, answer: httpx.Response) -> None:
        """Poll the job of a 202 to its end, at the absolute URL that the API gave."""
        location = answer.headers["Location"]
        assert location.startswith(self.url + "/v3/jobs/"), location
        job = await self.until(lambda: self.get(location), lambda found: found["state"] in ("COMPLETE", "FAILED"))
        assert job["state"] == "COMPLETE", job
        assert set(job) >= {"guid", "operation", "state", "errors", "warnings"}

    async def until(self, ask: Callable[[], Awaitable[Any]], done: Callable[[Any], bool]) -> Any:
        """Ask until it is so."""
        with trio.fail_after(DEADLINE_S):
            while not done(found := await ask()):
                await trio.sleep(POLL_S)
        return found

    async def api(self) -> None:
        """`cf api URL`."""
        self.links = (await self.get("/"))["links"]
        assert self.links["self"]["href"] == self.url
        assert self.links["cloud_controller_v3"]["meta"]["version"] >= "3.160.0"
        assert not self.links.get("cf_on_k8s")
        for name in ("login", "uaa", "log_cache"):
            assert self.links[name]["href"].startswith("https://")
        # Its path is overwritten by the client.
        assert httpx.URL(self.links["log_cache"]["href"]).path == "/"

    async def login(self, username: str, password: str) -> None:
        """`cf login`."""
        prompts = (await self.get(self.links["login"]["href"] + "/login"))["prompts"]
        assert prompts["username"][0] == "text"
        assert prompts["password"][0] == "password"
        form = {"grant_type": "password", "password": password, "username": username}
        answer = await self.call(
            "POST",
            self.links["login"]["href"] + "/oauth/token",
            content=urlencode(form),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Authorization": "Basic " + base64.b64encode(b"cf:").decode(),
                "Connection": "close",
            },
        )
        token = answer.json()
        assert {"access_token", "refresh_token", "token_type", "expires_in", "scope", "jti"} <= set(token)
        payload = token["access_token"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert {"exp", "jti", "user_name", "user_id", "origin"} <= set(claims)
        self.http.headers["Authorization"] = f"{token['token_type']} {token['access_token']}"
        assert self.http.headers["Authorization"].startswith("bearer ")
        for organization in await self.list("/v3/organizations", order_by="name"):
            await self.list("/v3/spaces", organization_guids=organization["guid"], order_by="name")

    async def target(self, organization: str, space: str) -> None:
        """`cf target -o ORG -s SPACE`."""
        found = await self.list("/v3/organizations", names=organization)
        self.organization = found[0]["guid"]
        found = await self.list("/v3/spaces", names=space, organization_guids=self.organization)
        assert found[0]["relationships"]["organization"]["data"]["guid"] == self.organization
        self.space = found[0]["guid"]

    async def create_org(self, name: str) -> None:
        """`cf create-org`: twice is fine, by the text of the refusal."""
        answer = await self.http.post(f"{self.url}/v3/organizations", json={"name": name})
        if answer.status_code == 422:
            assert answer.json()["errors"][0]["detail"] == f"Organization '{name}' already exists."
        else:
            assert answer.status_code == 201, answer.text
            assert answer.json()["relationships"]["quota"]["data"]["guid"]

    async def create_space(self, organization: str, name: str, username: str) -> None:
        """`cf create-space`, with the four roles that it grants."""
        owner = (await self.list("/v3/organizations", names=organization))[0]["guid"]
        place: dict[str, Any] = {"organization": {"data": {"guid": owner}}}
        body = {"name": name, "relationships": place}
        space = (await self.call("POST", "/v3/spaces", 201, json=body)).json()["guid"]
        user = {"data": {"username": username, "origin": "uaa"}}
        for kind in ("organization_user", "space_manager", "organization_user", "space_developer"):
            where = place if kind.startswith("organization") else {"space": {"data": {"guid": space}}}
            role = {"type": kind, "relationships": {"user": user, **where}}
            answer = await self.http.post(f"{self.url}/v3/roles", json=role)
            if answer.status_code == 422:
                detail = answer.json()["errors"][0]["detail"]
                assert f"User '{username}' already has '{kind}' role" in detail
            else:
                assert answer.status_code == 201, answer.text
