"""A client of an app on several nodes at once: requests at a steady rate to each in turn. A program.

Arguments: host name, path of the CA, requests per second, then the nodes' `address:port`. Each request becomes a line
`<monotonic start> <seconds> <address> <status or error> <body's first word>` on standard output, until standard input
ends.
"""

import ssl
import sys
import time

import trio

TIMEOUT_S = 5.0


class Target:
    """One node, over one connection at a time that is opened again when it broke."""

    def __init__(self, place: str, host: str, context: ssl.SSLContext) -> None:
        self.address, _, port = place.partition(":")
        self._port = int(port)
        self._host = host
        self._context = context
        self._idle: list[trio.SSLStream[trio.SocketStream]] = []

    async def ask(self) -> None:
        """One request, reported."""
        began = time.monotonic()
        try:
            with trio.fail_after(TIMEOUT_S):
                outcome = await self._request()
        except (trio.TooSlowError, trio.BrokenResourceError, OSError, EOFError, ValueError) as error:
            outcome = type(error).__name__
        print(f"{began:.4f} {time.monotonic() - began:.4f} {self.address} {outcome}", flush=True)

    async def _request(self) -> str:
        stream = self._idle.pop() if self._idle else await self._connect()
        done = False
        try:
            await stream.send_all(f"GET / HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
            received = b""
            while b"\r\n\r\n" not in received:
                received += await _some(stream)
            head, _, body = received.partition(b"\r\n\r\n")
            lines = head.decode().lower().split("\r\n")
            length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
            while len(body) < length:
                body += await _some(stream)
            done = "connection: close" not in lines
            return f"{lines[0].split()[1]} {(body.split() or [b'-'])[0].decode()}"
        finally:
            if done:
                self._idle.append(stream)
            else:
                with trio.CancelScope(shield=True):
                    await trio.aclose_forcefully(stream)

    async def _connect(self) -> trio.SSLStream[trio.SocketStream]:
        plain = await trio.open_tcp_stream(self.address, self._port)
        stream = trio.SSLStream(plain, self._context, server_hostname=self._host)
        await stream.do_handshake()
        return stream


async def _some(stream: trio.SSLStream[trio.SocketStream]) -> bytes:
    data = bytes(await stream.receive_some(65536))
    if not data:
        raise EOFError
    return data


async def main(host: str, ca: str, rate_per_s: str, *places: str) -> None:
    """Until standard input ends."""
    context = ssl.create_default_context(cafile=ca)
    targets = [Target(place, host, context) for place in places]
    async with trio.open_nursery() as nursery:

        async def until_end() -> None:
            await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
            nursery.cancel_scope.cancel()

        nursery.start_soon(until_end)
        due, number = trio.current_time(), 0
        while True:
            nursery.start_soon(targets[number % len(targets)].ask)
            number += 1
            due += 1 / float(rate_per_s)
            await trio.sleep_until(due)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
