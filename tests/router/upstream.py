"""A small real app to route to, and a small real client, both on trio."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import h11
import msgspec
import trio
import wsproto
from wsproto.events import AcceptConnection, CloseConnection, Request, TextMessage

from paasd.router import Endpoint


class Answer(msgspec.Struct):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def seen(self) -> dict[str, Any]:
        """What the app says that it saw."""
        loaded: dict[str, Any] = json.loads(self.body)
        return loaded


class App:
    """Answers with what it saw. `/session` starts a session, `/hang` never answers, `/die` hangs up, else JSON."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.requests = 0

    def endpoint(self, index: int = 0) -> Endpoint:
        return Endpoint(instance_guid=self.name, index=index, address="127.0.0.1", port=self.port, app_guid="app-1")

    async def serve(self, stream: trio.SocketStream) -> None:
        try:
            while await self._one(stream):
                pass
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            return

    async def _one(self, stream: trio.SocketStream) -> bool:
        connection = h11.Connection(h11.SERVER)
        head = b""
        while b"\r\n\r\n" not in head:
            data = await stream.receive_some(65536)
            if not data:
                return False
            head += data
        if b"upgrade: websocket" in head.lower():
            await _echo(stream, head)
            return False
        connection.receive_data(head)
        request = connection.next_event()
        size = 0
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(65536))
            elif isinstance(event, h11.Data):
                size += len(event.data)
            else:
                break
        self.requests += 1
        return await self._answer(stream, connection, request, size)

    async def _answer(self, stream: trio.SocketStream, connection: h11.Connection, request: Any, size: int) -> bool:
        target = request.target.decode()
        if target == "/hang":
            await trio.sleep_forever()
        if target == "/die":
            return False
        headers = [(key.decode(), value.decode()) for key, value in request.headers]
        body = json.dumps({"instance": self.name, "target": target, "headers": headers, "size": size}).encode()
        answer = [("content-type", "application/json"), ("content-length", str(len(body))), ("server", "app")]
        if target == "/session":
            answer.append(("set-cookie", "JSESSIONID=abc; Path=/; Secure; Max-Age=60"))
        for event in (h11.Response(status_code=200, headers=answer), h11.Data(data=body), h11.EndOfMessage()):
            await stream.send_all(connection.send(event) or b"")
        return True


async def _echo(stream: trio.SocketStream, head: bytes) -> None:
    connection = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    connection.receive_data(head)
    while True:
        for event in connection.events():
            if isinstance(event, Request):
                await stream.send_all(connection.send(AcceptConnection()))
            elif isinstance(event, TextMessage):
                await stream.send_all(connection.send(TextMessage(data=event.data.upper())))
            elif isinstance(event, CloseConnection):
                await stream.send_all(connection.send(event.response()))
                return
        data = await stream.receive_some(65536)
        if not data:
            return
        connection.receive_data(bytes(data))


@asynccontextmanager
async def apps(*names: str) -> AsyncIterator[list[App]]:
    """Apps on free loopback ports."""
    async with trio.open_nursery() as nursery:
        running = []
        for name in names:
            app = App(name, 0)
            serve = partial(trio.serve_tcp, app.serve, 0, host="127.0.0.1")
            listeners = await nursery.start(serve)
            app.port = listeners[0].socket.getsockname()[1]
            running.append(app)
        yield running
        nursery.cancel_scope.cancel()


async def exchange(
    stream: trio.abc.Stream, host: str, target: str = "/", headers: Sequence[tuple[str, str]] = (), method: str = "GET"
) -> Answer:
    """One request on an open connection."""
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method=method, target=target, headers=[("Host", host), *headers])
    await stream.send_all((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    answer = Answer(0, [], b"")
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(65536))
        elif isinstance(event, h11.Response):
            answer.status = event.status_code
            answer.headers = [(key.decode(), value.decode()) for key, value in event.headers]
        elif isinstance(event, h11.Data):
            answer.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return answer


async def fetch(
    port: int, host: str, target: str = "/", headers: Sequence[tuple[str, str]] = (), method: str = "GET"
) -> Answer:
    """One request on a connection of its own."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        return await exchange(stream, host, target, headers, method)


class Load:
    """Requests without pause on kept-alive connections; what is not a 200 is counted with when it was asked."""

    def __init__(self, port: int, host: str) -> None:
        self._port = port
        self._host = host
        self.done = 0
        self._more = trio.Event()
        self.failures: list[tuple[float, str]] = []

    async def run(self, connections: int = 4) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(connections):
                nursery.start_soon(self._client)

    async def _client(self) -> None:
        while True:
            asked_at = trio.current_time()
            try:
                async with await trio.open_tcp_stream("127.0.0.1", self._port) as stream:
                    while True:
                        asked_at = trio.current_time()
                        answer = await exchange(stream, self._host)
                        if answer.status == 200:
                            self.done += 1
                            self._more.set()
                        else:
                            self.failures.append((asked_at, str(answer.status)))
            except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError) as error:
                self.failures.append((asked_at, repr(error)))
                await trio.sleep(0.005)

    async def progress(self, count: int) -> None:
        """Wait until `count` further requests succeeded."""
        goal = self.done + count
        with trio.fail_after(20):
            while self.done < goal:
                self._more = trio.Event()
                await self._more.wait()
