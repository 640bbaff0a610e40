"""A network that can be cut: every connection to a member of etcd goes through here, on the loopback address.

A cut drops what is sent without closing anything, as a firewall or a pulled cable does.
"""

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import trio

_CHUNK = 64 * 1024


class Network:
    """`cut` are ways: pairs of (from, to), names of members and clients. `lose_answer` is a chance for each answer."""

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(seed)
        self.cut: set[tuple[str, str]] = set()
        self.lose_answer = 0.0
        self.delay_s = 0.0
        self.lost = 0

    def isolate(self, name: str, others: list[str]) -> None:
        """Nothing gets from the member to the others or back, nor between it and clients elsewhere."""
        for other in others:
            self.cut |= {(name, other), (other, name)}

    def heal(self) -> None:
        self.cut.clear()

    async def carry(self, source: str, target: str, data: bytes, send: Callable[[bytes], object]) -> bool:
        """One piece; False when it is lost, and with it all that follows on this way of this connection."""
        if self.delay_s:
            await trio.sleep(self.random.random() * self.delay_s)
        if (source, target) in self.cut:
            return False
        if target.startswith("client") and self.random.random() < self.lose_answer:
            self.lost += 1
            return False
        await send(data)  # type: ignore[misc]
        return True


async def forward(
    network: Network, listener: trio.SocketListener, target: str, port: int, source_of: Callable[[int], str]
) -> None:
    """Serve until cancelled. `source_of` names who has the local port of a connection."""
    async with trio.open_nursery() as nursery:

        async def connect(client: trio.SocketStream) -> None:
            source = source_of(client.socket.getpeername()[1])
            try:
                if (source, target) in network.cut:
                    await trio.sleep_forever()
                async with await trio.open_tcp_stream("127.0.0.1", port) as server, trio.open_nursery() as both:
                    both.start_soon(pump, client, server, source, target, both.cancel_scope)
                    both.start_soon(pump, server, client, target, source, both.cancel_scope)
            except OSError:
                return
            finally:
                with trio.CancelScope(shield=True):
                    await trio.aclose_forcefully(client)

        async def pump(
            one: trio.SocketStream, other: trio.SocketStream, source: str, target: str, end: trio.CancelScope
        ) -> None:
            try:
                while data := await one.receive_some(_CHUNK):
                    if not await network.carry(source, target, bytes(data), other.send_all):
                        await swallow(one)
                        return
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            end.cancel()

        async def swallow(one: trio.SocketStream) -> None:
            """The sender notices nothing."""
            try:
                while await one.receive_some(_CHUNK):
                    pass
            except trio.BrokenResourceError:
                return
            await trio.sleep_forever()

        nursery.start_soon(trio.serve_listeners, connect, [listener])
        await trio.sleep_forever()


def owner_of_port(port: int, pids: dict[str, int | None]) -> str | None:
    """Which of the processes has a connection from this port of the loopback address; None: none of them."""
    wanted = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted:
            inode = fields[9]
            break
    else:
        return None
    for name, pid in pids.items():
        if pid is None:
            continue
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if re.fullmatch(rf"socket:\[{inode}\]", str(fd.readlink())):
                    return name
            except FileNotFoundError:
                continue
    return None
