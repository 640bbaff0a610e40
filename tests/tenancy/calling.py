"""Calls of the API in this process, without a socket: the walk over every route makes thousands of them.

Each JSON answer is held against what its handler says that it answers with, and what is refused has to change nothing.
"""

import json
from typing import Any
from urllib.parse import urlsplit

import msgspec
import trio
from quart_trio import QuartTrio

from paasd.state import Database
from tests.api.conforming import JSON, check
from tests.tenancy.effects import Effects

HOST = b"api.example.org"
REQUEST_ID = b"the-same-for-all"


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def refused(self) -> bool:
        return self.status >= 400


class Api:
    """An app and the calls on it."""

    def __init__(self, app: QuartTrio, database: Database) -> None:
        self._app = app
        self._effects = Effects(database)
        self.calls = 0

    async def call(self, token: str | None, method: str, url: str, body: Any = None) -> Answer:
        """One request with a bearer token; `body` is JSON, or a form or YAML when it is text."""
        self.calls += 1
        before = self._effects.now()
        answer = await self._answer(token, method, url, body)
        if answer.refused:
            changed = self._effects.since(before)
            assert changed == [], f"{method} {url} was refused ({answer.status}) and changed {changed}"
        return answer

    async def _answer(self, token: str | None, method: str, url: str, body: Any) -> Answer:
        raw = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        parts = urlsplit(url)
        headers = [(b"host", HOST), (b"x-vcap-request-id", REQUEST_ID), (b"content-length", str(len(raw)).encode())]
        if token is not None:
            headers.append((b"authorization", f"bearer {token}".encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": headers,
            "client": ("192.0.2.1", 1),
            "server": ("192.0.2.2", 80),
            "state": {},
            "extensions": {},
        }
        sent = False
        status, answered, pieces = 0, list[tuple[str, str]](), list[bytes]()

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if sent:
                await trio.sleep_forever()
            sent = True
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(event: dict[str, Any]) -> None:
            nonlocal status
            await trio.lowlevel.checkpoint()
            if event["type"] == "http.response.start":
                status = event["status"]
                answered.extend((name.decode().lower(), value.decode()) for name, value in event["headers"])
            elif event["type"] == "http.response.body":
                pieces.append(event.get("body", b""))

        await self._app(scope, receive, send)  # type: ignore[arg-type]
        content = b"".join(pieces)
        if content and ("content-type", JSON) in answered:
            check(method, parts.path, status, content)
        return Answer(status, sorted(answered), content.decode(errors="replace"))
