"""A whole node for tests, and the few calls that every test of it makes."""

import io
import json
import socket
import ssl
import tarfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio

from paasd.config import ApiConfig, Config, NodeConfig, RouterConfig, SshConfig
from paasd.node import Node, open_node

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SPACE = "/paasd/v1/spaces/main/dev"
SERVER = """
import http.server, os
class Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment: two would wait 40 ms for each other
    def do_GET(self):
        body = (os.environ["CF_INSTANCE_GUID"] + "\\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, form, *words):
        print(form % words, flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Hello).serve_forever()
"""
HELLO: dict[str, str | bytes] = {"server.py": SERVER, "Procfile": "web: python3 server.py\n"}
"""The smallest app that says which instance answered."""


def node_config(data: Path, **sections: Any) -> Config:
    """Free ports, and little of the machine."""
    return Config(
        data=str(data),
        node=NodeConfig(name="test", memory_mb=8192, disk_mb=20480),
        api=ApiConfig(port=0),
        **{"router": RouterConfig(http_port=0, https_port=0), "ssh": SshConfig(port=0), **sections},
    )


@asynccontextmanager
async def running_node(
    data: Path, *, outlive: bool = False, clock: Callable[[], float] = time.time, **sections: Any
) -> AsyncIterator["Driver"]:
    """A node on `data` and a client of its API as root. What a test raises comes out as it is, without its groups."""
    config = node_config(data, **sections)
    try:
        async with open_node(config, outlive=outlive, clock=clock) as node, driver(node) as found:
            yield found
    except BaseExceptionGroup as group:
        alone: BaseException = group
        while isinstance(alone, BaseExceptionGroup) and len(alone.exceptions) == 1:
            alone = alone.exceptions[0]
        raise alone from None


@asynccontextmanager
async def driver(node: Node) -> AsyncIterator["Driver"]:
    """Clients of a running node: its API through the admin socket, its apps through the router."""
    async with clients(node.directory, node.doors.unix_path) as (api, web):
        yield Driver(node, api, web)


@asynccontextmanager
async def clients(data: Path, unix_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """For root's door of a node's API, and for its apps."""
    context = ssl.create_default_context(cafile=str(data / "certificates" / "ca.pem"))
    transport = httpx.AsyncHTTPTransport(uds=str(unix_path))
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=120) as api,
        httpx.AsyncClient(verify=context, timeout=30) as web,
    ):
        yield api, web


class Pusher:
    """What tests say to a node, whichever process it runs in."""

    def __init__(self, api: httpx.AsyncClient, web: httpx.AsyncClient, https_port: int) -> None:
        self.api = api
        self.web = web
        self.https_port = https_port

    async def push(
        self,
        name: str,
        files: dict[str, str | bytes] | Path | bytes,
        manifest: str | None = None,
        space: str = SPACE,
    ) -> dict[str, Any]:
        """The last event of a one-call push; `log` holds the staging lines. Bytes are sent as they are."""
        bits = files if isinstance(files, bytes) else archive(files)
        parts: dict[str, Any] = {"bits": ("bits", bits, "application/octet-stream")}
        if manifest is not None:
            parts["manifest"] = ("manifest.yml", manifest.encode(), "application/x-yaml")
        events = []
        params = {"name": name, "wait": "true"}
        headers = {"Accept": "application/x-ndjson"}
        async with self.api.stream("POST", space + "/push", params=params, headers=headers, files=parts) as answer:
            if answer.is_error:
                await answer.aread()
                return {"type": "error", "status": answer.status_code, **answer.json()["errors"][0], "log": []}
            events = [json.loads(line) async for line in answer.aiter_lines() if line.strip()]
        return {**events[-1], "log": [event["line"] for event in events if event["type"] == "log"], "events": events}

    async def get(self, host: str, path: str = "/", **options: Any) -> httpx.Response:
        """A request of a client of the app, over HTTPS."""
        url = f"https://127.0.0.1:{self.https_port}{path}"
        headers = {"Host": host, **options.pop("headers", {})}
        return await self.web.get(url, headers=headers, extensions={"sni_hostname": host}, **options)

    async def app(self, name: str) -> dict[str, Any]:
        """The app's JSON."""
        answer = await self.api.get(f"{SPACE}/apps/{name}")
        answer.raise_for_status()
        return dict(answer.json())

    async def stats(self, name: str, process: str = "web") -> list[dict[str, Any]]:
        """What the instances of a process do."""
        app = await self.app(name)
        answer = await self.api.get(f"/v3/apps/{app['guid']}/processes/{process}/stats")
        answer.raise_for_status()
        return list(answer.json()["resources"])

    async def logs(self, name: str) -> list[dict[str, Any]]:
        """Recent envelopes, oldest first."""
        app = await self.app(name)
        answer = await self.api.get(f"/api/v1/read/{app['guid']}", params={"limit": 1000, "start_time": -1})
        answer.raise_for_status()
        return list(answer.json()["envelopes"]["batch"])

    async def delete(self, name: str) -> None:
        """Delete the app and wait until it is gone."""
        guid = (await self.app(name))["guid"]
        (await self.api.delete(f"{SPACE}/apps/{name}")).raise_for_status()
        with trio.fail_after(30):
            while (await self.api.get(f"/v3/apps/{guid}")).status_code != 404:
                await trio.sleep(0.05)


class Driver(Pusher):
    """What tests say to a node of their own process."""

    def __init__(self, node: Node, api: httpx.AsyncClient, web: httpx.AsyncClient) -> None:
        super().__init__(api, web, node.router.https_port)
        self.node = node

    async def delete(self, name: str) -> None:
        """Delete the app and wait until its containers are gone."""
        guid = (await self.app(name))["guid"]
        (await self.api.delete(f"{SPACE}/apps/{name}")).raise_for_status()
        with trio.fail_after(30):
            while any(guid in str(one.spec.labels) for one in self.node.sandbox.containers.values()):
                await trio.sleep(0.05)


def archive(files: dict[str, str | bytes] | Path) -> bytes:
    """A tar.gz of a folder, or of the files named."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        if isinstance(files, Path):
            tar.add(files, ".")
        else:
            for name, content in files.items():
                data = content.encode() if isinstance(content, str) else content
                info = tarfile.TarInfo(name)
                info.size = len(data)
                info.mode = 0o755
                tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
