"""The life of the process: a first word from the daemon, no rights any more, then clients until there are none."""

import asyncio
import logging
import socket
from collections import Counter
from copy import copy
from functools import partial
from typing import Final

import asyncssh

from paasd.sources import source_of
from paasd.ssh.messages import PACKET_LIMIT_BYTES, Settings, decode_told
from paasd.ssh.server.daemon import Daemon
from paasd.ssh.server.guest import Client
from paasd.ssh.server.rights import confine, give_up

PACKET_BYTES: Final = 32768


def main(control_fd: int, listener_fd: int) -> None:
    """Returns when there was nobody for long enough, or the daemon has gone."""
    control, listener = socket.socket(fileno=control_fd), socket.socket(fileno=listener_fd)
    settings = decode_told(control.recv(PACKET_LIMIT_BYTES))
    if not isinstance(settings, Settings):
        return
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    # Rights go before anything else is read: what is imported or opened for good has been by now.
    give_up(settings.uid, settings.memory_limit_bytes)
    options = make_options(settings, settings.host_keys)
    with asyncio.Runner() as runner:
        runner.get_loop()  # makes sockets of its own, which it may not do later
        confine(settings.filter)
        runner.run(serve(control, listener, settings, options))


def make_options(settings: Settings, host_keys: list[bytes]) -> asyncssh.SSHServerConnectionOptions:
    """A password and nothing else gets in; what is inside is bytes."""
    return asyncssh.SSHServerConnectionOptions(
        # The first is shown; that there are others is told to those who are in, who remember them for later.
        server_host_keys=[asyncssh.import_private_key(key) for key in host_keys],
        send_server_host_keys=True,
        server_version="paasd",
        password_auth=True,
        kbdint_auth=False,
        public_key_auth=False,
        host_based_auth=False,
        gss_host=None,
        gss_kex=False,
        gss_auth=False,
        login_timeout=settings.sign_in_s,
        keepalive_interval=settings.keepalive_s,
        keepalive_count_max=3,
        # What clients of the last ten years speak; nothing with SHA-1 or a key exchange that strangers can make costly.
        kex_algs=("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"),
        encryption_algs=(
            "chacha20-poly1305@openssh.com",
            "aes128-gcm@openssh.com",
            "aes256-gcm@openssh.com",
            "aes128-ctr",
        ),
        mac_algs=("hmac-sha2-256-etm@openssh.com", "hmac-sha2-256"),
        compression_algs=None,
        agent_forwarding=False,
        x11_forwarding=False,
        allow_scp=False,
        line_editor=False,
        encoding=None,
        window=settings.window_bytes,
        max_pktsize=PACKET_BYTES,
        server_factory=asyncssh.SSHServer,
    )


class Connection(asyncssh.SSHServerConnection):
    """Of a server that has no configuration by user or address."""

    async def reload_config(self) -> None:
        """Would take a thread, and files that are out of reach."""


async def serve(
    control: socket.socket,
    listener: socket.socket,
    settings: Settings,
    options: asyncssh.SSHServerConnectionOptions,
) -> None:
    """Take clients until there are none for a while."""
    over = asyncio.Event()
    house = House(Daemon(control, over.set), settings, options, over)
    listener.setblocking(False)
    accepting = asyncio.create_task(house.accept(listener))
    await over.wait()
    accepting.cancel()


class House:
    """Who is here. Strangers are counted by address, and those who take too long are shown out by asyncssh."""

    def __init__(
        self, daemon: Daemon, settings: Settings, options: asyncssh.SSHServerConnectionOptions, over: asyncio.Event
    ) -> None:
        self._daemon = daemon
        daemon.changed = self._change
        daemon.arrived = lambda fd, address: self._take(socket.socket(fileno=fd), address)
        self._tasks: set[asyncio.Task[None]] = set()
        self._settings = settings
        self._options = options
        self._over = over
        self._strangers: Counter[str] = Counter()
        self._here = 0
        self._closing = self._close_later()

    async def accept(self, listener: socket.socket) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError:  # it went away before, or descriptors are short
                await asyncio.sleep(0.01)
                continue
            self._take(connection, str(address[0]))

    def _take(self, connection: socket.socket, address: str) -> None:
        """In a task of its own; those that are too many are closed at once."""
        connection.setblocking(False)
        place = source_of(address)
        full = self._strangers.total() >= self._settings.unknown_connections
        if full or self._strangers[place] >= self._settings.unknown_connections_per_address:
            connection.close()
            return
        self._strangers[place] += 1  # here, since the task begins after the next ones have been taken
        task = asyncio.get_running_loop().create_task(self._serve(connection, address, place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket, address: str, place: str) -> None:
        loop = asyncio.get_running_loop()
        self._here += 1
        self._closing.cancel()
        stranger = True

        def known() -> None:
            nonlocal stranger
            if stranger:
                stranger = False
                self._strangers[place] -= 1
                if not self._strangers[place]:
                    del self._strangers[place]

        options = copy(self._options)
        options.protocol_factory = partial(Client, self._daemon, self._settings, plain(address), known)
        try:
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _transport, client = await loop.connect_accepted_socket(lambda: Connection(loop, options), connection)
            await client.wait_closed()
        except OSError:
            pass  # it went away
        finally:
            known()
            self._here -= 1
            if not self._here:
                self._closing = self._close_later()

    def _change(self, host_keys: list[bytes]) -> None:
        """For connections from now on."""
        self._options = make_options(self._settings, host_keys)

    def _close_later(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._settings.process_idle_s, self._over.set)


def plain(address: str) -> str:
    """An IPv4 address as such, also where it came in by an IPv6 socket."""
    return address.removeprefix("::ffff:")
