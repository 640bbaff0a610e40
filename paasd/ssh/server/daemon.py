"""The daemon, as the process without rights sees it: questions with answers, channels with descriptors."""

import asyncio
import itertools
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Protocol

from paasd.ssh.messages import (
    PACKET_LIMIT_BYTES,
    Admit,
    Arrived,
    Asked,
    Connect,
    Ended,
    Expel,
    HostKeys,
    Opened,
    Refuse,
    Shut,
    SignIn,
    Start,
    decode_told,
    encode,
)

_DESCRIPTORS = 3
_UNSENT_LIMIT = 10_000


class Refused(Exception):
    """The daemon says no; the text says why."""


class Channel(Protocol):
    """Whoever waits for the end of a program."""

    def ended(self, how: Ended) -> None: ...


class Daemon:
    """The control socket. Without it there is nothing to do, so its end is the end of this process."""

    def __init__(self, control: socket.socket, gone: Callable[[], None]) -> None:
        self._control = control
        self._gone = gone
        self._ids = itertools.count(1)
        self._unsent: deque[bytes] = deque()
        self._waiting: dict[int, asyncio.Future[tuple[Admit | Opened, list[int]]]] = {}
        self.channels: dict[int, Channel] = {}
        self.expelled: dict[str, Callable[[str], None]] = {}
        self.arrived: Callable[[int, str], None] = lambda fd, _address: os.close(fd)
        self.changed: Callable[[list[bytes]], None] = lambda _host_keys: None
        control.setblocking(False)
        asyncio.get_running_loop().add_reader(control.fileno(), self._readable)

    async def sign_in(self, target: str, code: str, address: str) -> str:
        """The name of a session. Raises Refused."""
        answer, _fds = await self._ask(SignIn(id=next(self._ids), target=target, code=code, address=address))
        assert isinstance(answer, Admit)
        return answer.session

    async def open(self, ask: Callable[[int], Start | Connect], channel: Channel) -> tuple[int, list[int]]:
        """Ask for a channel by its number: (number, descriptors). Raises Refused."""
        number = next(self._ids)
        self.channels[number] = channel
        try:
            _answer, fds = await self._ask(ask(number))
        except BaseException:
            self.channels.pop(number, None)
            self.tell(Shut(number))
            raise
        return number, fds

    def tell(self, message: Asked) -> None:
        """Say something that needs no answer."""
        self._unsent.append(encode(message))
        if len(self._unsent) == 1:
            asyncio.get_running_loop().add_writer(self._control.fileno(), self._writable)
            self._writable()
        elif len(self._unsent) > _UNSENT_LIMIT:
            self._gone()

    def _writable(self) -> None:
        try:
            while self._unsent:
                self._control.send(self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()
            self._gone()
        asyncio.get_running_loop().remove_writer(self._control.fileno())

    async def _ask(self, message: SignIn | Start | Connect) -> tuple[Admit | Opened, list[int]]:
        waiting: asyncio.Future[tuple[Admit | Opened, list[int]]] = asyncio.get_running_loop().create_future()
        self._waiting[message.id] = waiting
        try:
            self.tell(message)
            return await waiting
        finally:
            self._waiting.pop(message.id, None)

    def _readable(self) -> None:
        try:
            room = socket.CMSG_SPACE(_DESCRIPTORS * 4)
            packet, ancillary, _flags, _address = self._control.recvmsg(
                PACKET_LIMIT_BYTES, room, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            packet, ancillary = b"", []
        fds = [fd for _level, _kind, data in ancillary for fd in struct.unpack(f"{len(data) // 4}i", data)]
        if not packet:
            self._gone()
            return
        match decode_told(packet):
            case Admit() | Opened() as answer:
                waiting = self._waiting.get(answer.id)
                if waiting is not None and not waiting.done():
                    waiting.set_result((answer, fds))
                    return
            case Refuse(number, reason):
                waiting = self._waiting.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_exception(Refused(reason))
            case Ended() as ended:
                if (channel := self.channels.pop(ended.id, None)) is not None:
                    channel.ended(ended)
            case Arrived(address) if len(fds) == 1:
                self.arrived(fds.pop(), address)
            case HostKeys(host_keys):
                self.changed(host_keys)
            case Expel(session, reason):
                if (expel := self.expelled.get(session)) is not None:
                    expel(reason)
            case _:
                pass
        for fd in fds:
            os.close(fd)
