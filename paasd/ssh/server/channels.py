"""The channels of a connection: programs with or without a terminal, and forwarded connections."""

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import asyncssh

from paasd.ssh.messages import COMMAND_LIMIT_BYTES, Connect, Ended, Resize, Shut, Signal, Start
from paasd.ssh.server.daemon import Daemon, Refused
from paasd.ssh.server.pump import Reader, Writer

_ENVIRONMENT = re.compile(rb"LANG|LANGUAGE|LC_[A-Z]{1,20}|TZ|COLORTERM")
_VALUE_LIMIT_BYTES = 200
_NOT_RUN = 126
_QUIET_S = 1.0
"""What a program wrote before its end is there at once; who holds its pipes open for longer is none of its own."""

Size = tuple[int, int, int, int]


class Guest(Protocol):
    """The connection that channels belong to."""

    session: str
    daemon: Daemon

    def moved(self) -> None: ...

    def opened(self, channel: object) -> bool: ...

    def closed(self, channel: object) -> None: ...


class Flow:
    """One channel's descriptors: one that goes both ways, or three. Holds back each side for the other."""

    def __init__(
        self,
        guest: Guest,
        chan: asyncssh.SSHServerChannel[bytes] | asyncssh.SSHTCPChannel[bytes],
        fds: list[int],
        moved_on: Callable[[], None],
    ) -> None:
        self._guest = guest
        self._chan = chan
        self._moved_on = moved_on
        # Reading and writing end at times of their own.
        outputs = [os.dup(fds[0])] if len(fds) == 1 else fds[1:]
        self.writer = Writer(fds[0], chan.pause_reading, self._drained)
        self.readers = [Reader(fd, self._forward(number), moved_on) for number, fd in enumerate(outputs)]

    def start(self, early: bytes = b"") -> None:
        """From now on bytes move; `early` are those that came before."""
        self.writer.write(early)
        self.resume()
        if not self.writer.waits:
            self._chan.resume_reading()

    def _forward(self, number: int) -> Callable[[bytes], None]:
        kind = asyncssh.EXTENDED_DATA_STDERR if number else None

        def forward(data: bytes) -> None:
            self._guest.moved()
            self._chan.write(data, kind)

        return forward

    def pause(self) -> None:
        for reader in self.readers:
            reader.pause()

    def resume(self) -> None:
        for reader in self.readers:
            reader.resume()

    @property
    def read(self) -> bool:
        return all(reader.over for reader in self.readers)

    def _drained(self) -> None:
        self._chan.resume_reading()
        self._moved_on()

    async def drain(self) -> None:
        """Until everything has been read that is there."""
        while not self.read:
            before = [reader.seen for reader in self.readers]
            await asyncio.sleep(_QUIET_S)
            held_back = any(reader.paused and not reader.over for reader in self.readers)
            if not held_back and before == [reader.seen for reader in self.readers]:
                return

    def close(self) -> None:
        for reader in self.readers:
            reader.close()
        self.writer.close()


class Program(asyncssh.SSHServerSession[bytes]):
    """A shell, a command, or the server of sftp."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._chan: asyncssh.SSHServerChannel[bytes]
        self._terminal: Size | None = None
        self._wanted: tuple[str, str | None] | None = None
        self._number: int | None = None
        self._flow: Flow | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._eof = False
        self._early = bytearray()

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._chan = chan

    def pty_requested(self, _term_type: str, term_size: Size, _term_modes: Mapping[int, int]) -> bool:
        self._terminal = term_size
        return True

    def shell_requested(self) -> bool:
        return self._want("shell", None)

    def exec_requested(self, command: str) -> bool:
        return self._want("command", command)

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "sftp" and self._want("sftp", None)

    def _want(self, kind: str, command: str | None) -> bool:
        raw = (command or "").encode(errors="surrogateescape")
        if len(raw) > COMMAND_LIMIT_BYTES or b"\0" in raw:  # no argument of a program has NUL
            return False
        if self._wanted is not None or not self._guest.opened(self):
            return False
        self._wanted = kind, command
        return True

    def session_started(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        kind, command = self._wanted or ("shell", None)
        try:
            self._number, fds = await self._guest.daemon.open(
                lambda number: Start(
                    id=number,
                    session=self._guest.session,
                    kind=kind,
                    command=command,
                    terminal=self._terminal,
                    env=self._environment(),
                ),
                self,
            )
        except Refused as refused:
            self.say(str(refused))
            self._chan.exit(_NOT_RUN)
            return
        self._flow = Flow(self._guest, self._chan, fds, lambda: None)
        self._flow.start(bytes(self._early))
        self._early.clear()
        if self._eof:
            self._flow.writer.finish()
        ended = await self._ended
        await self._flow.drain()
        if ended.reason:
            self.say(ended.reason)
        if ended.signal:
            self._chan.exit_with_signal(ended.signal)
        else:
            self._chan.exit(_NOT_RUN if ended.code is None else ended.code)

    def say(self, text: str) -> None:
        """A line for the person at the other end."""
        self._chan.write_stderr(f"paasd: {text}\r\n".encode())

    def _environment(self) -> dict[str, str]:
        found = {
            name.decode(): value.decode(errors="replace")
            for name, value in self._chan.get_environment_bytes().items()
            if _ENVIRONMENT.fullmatch(name) and len(value) <= _VALUE_LIMIT_BYTES and b"\0" not in value
        }
        term = (self._chan.get_terminal_type() or "").replace("\0", "")
        return {**found, "TERM": term[:_VALUE_LIMIT_BYTES]} if term else found

    def ended(self, how: Ended) -> None:
        if not self._ended.done():
            self._ended.set_result(how)

    def data_received(self, data: bytes, _datatype: int | None) -> None:
        self._guest.moved()
        if self._flow is None:
            self._early += data  # no more than the window, since nothing is taken as read
            self._chan.pause_reading()
        else:
            self._flow.writer.write(data)

    def eof_received(self) -> bool:
        self._eof = True
        if self._flow is not None:
            self._flow.writer.finish()
        return True  # what the program still writes is wanted

    def pause_writing(self) -> None:
        if self._flow is not None:
            self._flow.pause()

    def resume_writing(self) -> None:
        if self._flow is not None:
            self._flow.resume()

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        self._terminal = width, height, pixwidth, pixheight
        if self._number is not None:
            self._guest.daemon.tell(Resize(self._number, self._terminal))

    def signal_received(self, signal: str) -> None:
        if self._number is not None:
            self._guest.daemon.tell(Signal(self._number, signal))

    def break_received(self, _msec: int) -> bool:
        self.signal_received("INT")
        return True

    def connection_lost(self, _exc: Exception | None) -> None:
        self._guest.closed(self)
        if self._task is not None:
            self._task.cancel()
        if self._flow is not None:
            self._flow.close()
        if self._number is not None:
            self._guest.daemon.tell(Shut(self._number))


class Forward(asyncssh.SSHTCPSession[bytes]):
    """One connection to a port of the instance, or to what the instance may reach."""

    def __init__(self, guest: Guest, number: int, fds: list[int]) -> None:
        self._guest = guest
        self._number = number
        self._fds = fds
        self._flow: Flow | None = None
        self._told_end = False
        self._chan: asyncssh.SSHTCPChannel[bytes]
        guest.daemon.channels[number] = self

    @classmethod
    async def open(cls, guest: Guest, host: str, port: int) -> "Forward":
        """Raises ChannelOpenError with the reason."""
        placeholder = _Unopened()
        if not guest.opened(placeholder):
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many channels")
        try:
            number, fds = await guest.daemon.open(
                lambda number: Connect(id=number, session=guest.session, host=host, port=port), placeholder
            )
        except Refused as refused:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, str(refused)) from refused
        finally:
            guest.closed(placeholder)
        made = cls(guest, number, fds)
        guest.opened(made)
        return made

    def connection_made(self, chan: Any) -> None:
        self._chan = chan
        self._flow = Flow(self._guest, chan, self._fds, self._moved_on)
        self._flow.start()

    def _moved_on(self) -> None:
        """Each direction ends when all of it has been passed on, and the channel with the second one."""
        flow = self._flow
        if flow is None or not flow.read:
            return
        if not self._told_end:
            self._told_end = True
            self._chan.write_eof()
        if flow.writer.done:
            self._chan.close()

    def ended(self, _how: Ended) -> None:
        self._chan.abort()

    def data_received(self, data: bytes, _datatype: int | None) -> None:
        self._guest.moved()
        if self._flow is not None:
            self._flow.writer.write(data)

    def eof_received(self) -> bool:
        if self._flow is not None:
            self._flow.writer.finish()
            self._moved_on()
        return True

    def pause_writing(self) -> None:
        if self._flow is not None:
            self._flow.pause()

    def resume_writing(self) -> None:
        if self._flow is not None:
            self._flow.resume()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._guest.closed(self)
        if self._flow is not None:
            self._flow.close()
        self._guest.daemon.channels.pop(self._number, None)
        self._guest.daemon.tell(Shut(self._number))


class _Unopened:
    """Stands for a connection that is being made."""

    def ended(self, how: Ended) -> None: ...
