"""A client of HTTP/1.1 over TLS that costs little: hundreds of them shall not be what is measured."""

import ssl
from typing import Any

import msgspec
import trio


class Answer(msgspec.Struct):
    """Status and body."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Connection:
    """One kept-alive connection to a host behind 127.0.0.1:PORT; opened when it is needed, anew after a failure."""

    def __init__(self, port: int, host: str, context: ssl.SSLContext, token: str = "") -> None:
        self._port, self._host, self._context = port, host, context
        self.token = token
        self._stream: trio.SSLStream[trio.SocketStream] | None = None

    async def call(self, method: str, path: str, body: Any = None, form: str | None = None) -> Answer:
        """Send a request and read the answer. Raises OSError, trio.BrokenResourceError or EOFError."""
        if self._stream is None:
            plain = await trio.open_tcp_stream("127.0.0.1", self._port)
            self._stream = trio.SSLStream(plain, self._context, server_hostname=self._host, https_compatible=True)
        content = form.encode() if form is not None else b"" if body is None else msgspec.json.encode(body)
        kind = "application/json" if form is None else "application/x-www-form-urlencoded"
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {len(content)}"]
        if content:
            lines.append(f"Content-Type: {kind}")
        if self.token:
            lines.append(f"Authorization: {self.token}")
        try:
            await self._stream.send_all("\r\n".join([*lines, "", ""]).encode() + content)
            return await self._read(self._stream)
        except BaseException:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._stream)
            self._stream = None
            raise

    async def _read(self, stream: "trio.SSLStream[trio.SocketStream]") -> Answer:
        text = b""
        while (end := text.find(b"\r\n\r\n")) < 0:
            chunk = await stream.receive_some(65536)
            if not chunk:
                raise EOFError("the connection was closed")
            text += chunk
        head, body = text[:end].decode("latin-1").split("\r\n"), bytearray(text[end + 4 :])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        status = int(head[0].split()[1])
        if status in (204, 304):
            return Answer(status, b"")
        length = int(headers["content-length"])
        while len(body) < length:
            chunk = await stream.receive_some(65536)
            if not chunk:
                raise EOFError("the connection was closed")
            body += chunk
        return Answer(status, bytes(body))

    async def close(self) -> None:
        if self._stream is not None:
            await trio.aclose_forcefully(self._stream)
            self._stream = None
