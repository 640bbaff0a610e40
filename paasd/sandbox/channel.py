"""Sockets of the launcher, used from trio: the same frames as `launcher.wire`, without ever blocking the daemon."""

import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio

from paasd.sandbox.launcher import wire

_DESCRIPTORS = 4


async def send_datagram(directory: Path, name: str, message: dict[str, Any]) -> None:
    """Send one message of JSON to the datagram socket `name` in `directory`, and wait for nothing."""
    handle = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as connection:
            await connection.connect(f"/proc/self/fd/{handle}/{name}")
            await connection.send(msgspec.json.encode(message))
    finally:
        os.close(handle)


async def connect(directory: Path, name: str) -> trio.socket.SocketType:
    """Connect to the socket `name` in `directory`, whose path may be longer than a socket address can be."""
    handle = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        try:
            await connection.connect(f"/proc/self/fd/{handle}/{name}")
        except BaseException:
            connection.close()
            raise
    finally:
        os.close(handle)
    return connection


async def send(connection: trio.socket.SocketType, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message; `fds` are duplicated into the receiver."""
    data = memoryview(wire.encode(message))
    if fds:
        rights = struct.pack(f"{len(fds)}i", *fds)
        sent = await connection.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        data = data[sent:]
    while data:
        data = data[await connection.send(data) :]


async def receive(connection: trio.socket.SocketType) -> dict[str, Any]:
    """The next message. EOFError when the other side has closed."""
    (length,) = struct.unpack("<I", await _exactly(connection, 4))
    if length > wire.FRAME_LIMIT_BYTES:
        raise EOFError(f"frame of {length} bytes")
    return msgspec.json.decode(await _exactly(connection, length), type=dict[str, Any])


async def receive_with_fds(connection: trio.socket.SocketType) -> tuple[dict[str, Any], list[int]]:
    """As `receive`, with the descriptors that came along; the caller closes them."""
    room = socket.CMSG_SPACE(_DESCRIPTORS * 4)
    head, ancillary, _flags, _address = await connection.recvmsg(4, room, socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
    try:
        if not head:
            raise EOFError
        (length,) = struct.unpack("<I", head + await _exactly(connection, 4 - len(head)))
        return msgspec.json.decode(await _exactly(connection, length), type=dict[str, Any]), fds
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise


async def _exactly(connection: trio.socket.SocketType, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = await connection.recv(count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)
