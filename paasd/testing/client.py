"""What a test says to a platform: push, get, and the API through whichever node lives."""

import io
import json
import ssl
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from paasd.buildpacks.ignore import Ignore
from paasd.errors import PaasdError, Unavailable
from paasd.testing.embedded import EmbeddedNode

SPACE = "/paasd/v1/spaces/main/dev"
PUSH_LIMIT_S = 600.0
Files = Mapping[str, str | bytes] | Path


class PushFailed(PaasdError):
    """A push that did not end in running instances: the reason, and the lines of staging and app before it."""


class AnyNode(httpx.AsyncBaseTransport):
    """Sends each request to the first node that lives."""

    def __init__(self, nodes: Sequence[EmbeddedNode]) -> None:
        self._nodes = nodes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await living(self._nodes).transport.handle_async_request(request)


def living(nodes: Sequence[EmbeddedNode]) -> EmbeddedNode:
    """The first node that runs. Raises Unavailable when there is none."""
    for node in nodes:
        if node.alive:
            return node
    raise Unavailable("no node of the cluster runs")


async def push(api: httpx.AsyncClient, name: str, files: Files, manifest: str | None, space: str) -> dict[str, Any]:
    """The result of a push that worked. Raises PushFailed."""
    if manifest is None and isinstance(files, Path):
        found = next((files / name for name in ("manifest.yml", "manifest.yaml") if (files / name).is_file()), None)
        manifest = None if found is None else found.read_text()
    parts: dict[str, Any] = {"bits": ("bits", archive(files), "application/octet-stream")}
    if manifest is not None:
        parts["manifest"] = ("manifest.yml", manifest.encode(), "application/x-yaml")
    events: list[dict[str, Any]] = []
    query = {"name": name, "wait": "true"}
    headers = {"Accept": "application/x-ndjson"}
    url = space + "/push"
    async with api.stream("POST", url, params=query, headers=headers, files=parts, timeout=PUSH_LIMIT_S) as answer:
        if answer.is_error:
            await answer.aread()
            raise PushFailed(f"push of {name} was refused ({answer.status_code}): {answer.text}")
        events = [json.loads(line) async for line in answer.aiter_lines() if line.strip()]
    if not events or events[-1]["type"] != "result":
        said = [event["line"] for event in events if event["type"] == "log"]
        reason = events[-1].get("detail", "the connection ended") if events else "there was no answer"
        raise PushFailed("\n".join([f"push of {name} failed: {reason}", *said]))
    return events[-1]


def archive(files: Files) -> bytes:
    """A tar of a folder, without what its .cfignore names, or of files by name, all of them programs."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        if isinstance(files, Path):
            ignore = Ignore.of_directory(files)
            tar.add(files, ".", filter=_keeping(ignore))
        else:
            for name, content in files.items():
                data = content.encode() if isinstance(content, str) else content
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(data), 0o755
                tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def _keeping(ignore: Ignore) -> "Callable[[tarfile.TarInfo], tarfile.TarInfo | None]":
    def keep(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = info.name.removeprefix("./")
        return None if name != "." and ignore.matches(name, is_directory=info.isdir()) else info

    return keep


def web_client(authority: Path) -> httpx.AsyncClient:
    """A client that trusts the cluster's certificates."""
    return httpx.AsyncClient(verify=ssl.create_default_context(cafile=str(authority)), timeout=30)


async def get(web: httpx.AsyncClient, node: EmbeddedNode, host: str, path: str, **options: Any) -> httpx.Response:
    """A request to an app, by its host or just its name, over HTTPS through the router of `node`."""
    if "." not in host:
        host = f"{host}.{node.config.domains.apps}"
    method = options.pop("method", "GET")
    headers = {"Host": host, **options.pop("headers", {})}
    url = f"https://127.0.0.1:{node.https_port}{path}"
    return await web.request(method, url, headers=headers, extensions={"sni_hostname": host}, **options)
