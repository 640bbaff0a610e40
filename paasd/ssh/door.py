"""The listening socket, and the process that speaks ssh: begun by the first connection, ended when it is idle."""

import math
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from paasd.actions import Context
from paasd.auth.host_keys import HostKey, fingerprint, keep_host_keys
from paasd.auth.service import Auth
from paasd.auth.throttle import Throttle
from paasd.config import SshConfig
from paasd.containment import contained
from paasd.errors import PaasdError, Unavailable
from paasd.lasting import LastingProcess
from paasd.processors import COMPANIONS
from paasd.ssh.confinement import build_filter
from paasd.ssh.desk import Desk, Opens
from paasd.ssh.listening import RETRY_S, listen
from paasd.ssh.messages import Settings, encode
from paasd.state.sealing import Sealer

LONGEST_PAUSE_S: Final = 30.0
GRACE_S: Final = 0.2
TAKE_IN_S: Final = 10.0
log = structlog.get_logger("paasd.ssh")


class SshDoor:
    """Made by `open_door`. `port` is 0, `public_key` empty, until it listens."""

    def __init__(
        self,
        context: Context,
        auth: Auth,
        sealer: Sealer,
        opens: Opens,
        log_file: Path,
        on_refused: Callable[[str, str, str], None],
    ) -> None:
        self.port = 0
        self.public_key = ""
        self.process: LastingProcess | None = None
        self._keys: list[HostKey] = []
        self._desk: Desk | None = None
        self._wanted = trio.Event()
        self._begun = trio.Event()
        self._context = context
        self._auth = auth
        self._sealer = sealer
        self._opens = opens
        self._log_file = log_file
        self._on_refused = on_refused
        self._throttle = Throttle(context.config.auth)
        self._filter = b""

    @property
    def _config(self) -> SshConfig:
        return self._context.config.ssh

    @property
    def fingerprint(self) -> str:
        """Of the host key, as clients show it."""
        return fingerprint(self.public_key) if self.public_key else ""

    @property
    def address(self) -> str:
        """host:port for clients, empty when there is none."""
        if not self.port or not self.public_key:
            return ""
        return self._config.advertise or f"ssh.{self._context.config.domains.system}:{self.port}"

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """For ever. Reports to be started when the first attempt to listen has been made."""
        while (listener := listen(self._context.config)) is None:
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            await trio.sleep(RETRY_S)
        with listener:
            self.port = listener.getsockname()[1]
            async with trio.open_nursery() as nursery:
                have_keys = trio.Event()
                await nursery.start(self._follow_keys, have_keys)
                task_status.started()
                await have_keys.wait()
                await self._take(listener)

    async def _take(self, listener: socket.socket) -> None:
        """One process after the other. For ever."""
        pause_s = 0.0
        while True:
            await self._somebody_comes(listener)
            began = trio.current_time()
            await contained("ssh", partial(self._serve, listener))
            # One that ends at once has a reason that will not go away by itself, and connections may keep coming.
            brief = trio.current_time() - began < RETRY_S
            pause_s = min(LONGEST_PAUSE_S, max(0.1, pause_s * 2)) if brief else 0.0
            await trio.sleep(pause_s)

    async def _somebody_comes(self, listener: socket.socket) -> None:
        """To the port, or by a worker."""
        async with trio.open_nursery() as nursery:

            async def by_worker() -> None:
                await self._wanted.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(by_worker)
            await trio.lowlevel.wait_readable(listener)
            nursery.cancel_scope.cancel()

    async def take_in(self, address: str) -> socket.socket:
        """Our end of a connection of somebody who came by a worker. Raises Unavailable."""
        with trio.move_on_after(TAKE_IN_S):
            while (desk := self._desk) is None:
                self._wanted.set()
                await self._begun.wait()
            ours, theirs = socket.socketpair()
            with theirs:
                await desk.take_in(address, theirs.fileno())
            return ours
        raise Unavailable("there is no process for ssh at the moment")

    async def _follow_keys(self, have_keys: trio.Event, task_status: trio.TaskStatus[None]) -> None:
        """Show those that the rows name. For ever. Reports to be started when it has looked once."""
        async with self._context.database.watch("authorities") as changes:
            while True:
                pause_s = math.inf
                try:
                    keys = await keep_host_keys(self._context.database, self._sealer)
                except PaasdError as error:
                    log.warning("no host key for ssh", error=error.detail)
                    pause_s = RETRY_S
                else:
                    await self._show(keys)
                    have_keys.set()
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                with trio.move_on_after(pause_s):
                    await changes.wait()
                changes.take()

    async def _show(self, keys: list[HostKey]) -> None:
        """To clients first, so that nobody is told of a key that is not shown yet."""
        if keys == self._keys:
            return
        self._keys = keys
        if self._desk is not None:
            await self._desk.show([key.private for key in keys])
        self.public_key = keys[0].public

    async def _serve(self, listener: socket.socket) -> None:
        """One process, from its start to its end."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with trio.socket.from_stdlib_socket(ours) as control:
            with theirs:
                self.process = process = self._start(theirs, listener)
            try:
                keys = self._keys
                await control.send(encode(self._settings(keys)))
                self._desk = desk = Desk(
                    self._context, self._auth, self._opens, control, self._throttle, self._on_refused
                )
                self._begun.set()
                if self._keys is not keys:
                    await desk.show([key.private for key in self._keys])
                await desk.serve()
            except OSError:
                pass  # it has gone before it heard a word
            finally:
                COMPANIONS.discard(process.pid)
                self._desk = self.process = None
                self._wanted, self._begun = trio.Event(), trio.Event()
                with trio.CancelScope(shield=True):
                    await process.stop(GRACE_S)
                process.close()

    def _start(self, control: socket.socket, listener: socket.socket) -> LastingProcess:
        command = [sys.executable, "-I", "-m", "paasd.ssh.server", str(control.fileno()), str(listener.fileno())]
        with self._log_file.open("wb") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/"},
                pass_fds=(control.fileno(), listener.fileno()),
                start_new_session=True,
            )
        COMPANIONS.add(child.pid)
        pidfd = os.pidfd_open(child.pid)
        child.returncode = 0  # the object would wait for it, which is LastingProcess's business
        return LastingProcess(child.pid, pidfd)

    def _settings(self, keys: list[HostKey]) -> Settings:
        config = self._config
        self._filter = self._filter or build_filter()
        return Settings(
            host_keys=[key.private for key in keys],
            uid=config.uid,
            sign_in_s=config.sign_in_s,
            unknown_connections=config.unknown_connections,
            unknown_connections_per_address=config.unknown_connections_per_address,
            channels_per_session=config.channels_per_session,
            idle_s=config.idle_s,
            keepalive_s=config.keepalive_s,
            window_bytes=config.window_bytes,
            process_idle_s=config.process_idle_s,
            memory_limit_bytes=config.memory_limit_mb << 20,
            filter=self._filter,
        )


@asynccontextmanager
async def open_door(
    context: Context,
    auth: Auth,
    sealer: Sealer,
    opens: Opens,
    log_file: Path,
    on_refused: Callable[[str, str, str], None],
) -> AsyncIterator[SshDoor]:
    """Take connections until the block ends, which ends them all. `on_refused` is told address, name and reason."""
    door = SshDoor(context, auth, sealer, opens, log_file, on_refused)
    async with trio.open_nursery() as nursery:
        await nursery.start(door.run)
        try:
            yield door
        finally:
            nursery.cancel_scope.cancel()
