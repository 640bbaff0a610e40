"""One client: signing in by a code, then channels, until it goes, is idle for too long, or is expelled."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import asyncssh

from paasd.ssh.messages import Leave, Settings
from paasd.ssh.server.channels import Forward, Program
from paasd.ssh.server.daemon import Daemon, Refused

ATTEMPTS: Final = 3


class Client(asyncssh.SSHServer):
    """What asyncssh asks of us about one connection."""

    def __init__(self, daemon: Daemon, settings: Settings, address: str, known: Callable[[], None]) -> None:
        self.daemon = daemon
        self.session = ""
        self._settings = settings
        self._address = address
        self._known = known
        self._conn: asyncssh.SSHServerConnection
        self._channels: set[object] = set()
        self._attempts = 0
        self._signing_in = False
        self._moved_at = asyncio.get_running_loop().time()
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self.daemon.expelled.pop(self.session, None)
        if self.session:
            self.daemon.tell(Leave(self.session))

    def begin_auth(self, _username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        """The password is a code. Says why not, where the client shows it."""
        if self._attempts == ATTEMPTS or self._signing_in:
            return False
        self._attempts += 1
        self._signing_in = True
        try:
            self.session = await self.daemon.sign_in(username[:200], password[:200], self._address)
        except Refused as refused:
            self._conn.send_auth_banner(f"paasd: {refused}\r\n")
            if self._attempts == ATTEMPTS:
                self._conn.disconnect(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, str(refused))
            return False
        finally:
            self._signing_in = False
        return True

    def auth_completed(self) -> None:
        self._known()
        self.daemon.expelled[self.session] = self.expel
        self.moved()
        self._look()

    def session_requested(self) -> Program:
        return Program(self)

    def connection_requested(
        self, dest_host: str, dest_port: int, _orig_host: str, _orig_port: int
    ) -> Coroutine[Any, Any, Forward]:
        return Forward.open(self, dest_host[:255], dest_port)

    def expel(self, reason: str) -> None:
        """Say why, and end."""
        for channel in self._channels:
            if isinstance(channel, Program):
                channel.say(reason)
        self._conn.disconnect(asyncssh.DISC_BY_APPLICATION, reason)

    def moved(self) -> None:
        """Something has gone one way or the other."""
        self._moved_at = asyncio.get_running_loop().time()

    def opened(self, channel: object) -> bool:
        """Whether there is room for one more."""
        if len(self._channels) >= self._settings.channels_per_session:
            return False
        self._channels.add(channel)
        return True

    def closed(self, channel: object) -> None:
        self._channels.discard(channel)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        due = self._moved_at + self._settings.idle_s
        if loop.time() >= due:
            self.expel(f"nothing has moved for {self._settings.idle_s:g} s")
        else:
            self._idle = loop.call_at(due, self._look)
