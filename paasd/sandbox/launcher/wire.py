"""Frames on the launcher's sockets: a 4-byte little-endian length, then JSON; descriptors ride on the first byte.

Both sides are root on one host; the limits guard against mistakes, not against an enemy.
"""

import array  # noqa: F401 (socket.send_fds imports it late, when the library may be out of sight)
import json
import os
import socket
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROGRAM = zlib.crc32(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
"""Of the launcher as it was when this process began: a zygote of another one is replaced."""
FRAME_LIMIT_BYTES = 8 * 1024 * 1024
_DESCRIPTOR_LIMIT = 8


def encode(message: dict[str, Any]) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return struct.pack("<I", len(body)) + body


def send(connection: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """`descriptors` are duplicated into the receiver, with the first byte."""
    data = encode(message)
    sent = socket.send_fds(connection, [data], list(descriptors)) if descriptors else 0
    connection.sendall(data[sent:])


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next message and the descriptors that came with it. EOFError when the peer has closed."""
    descriptors: list[int] = []
    head = b""
    while len(head) < 4:
        chunk, received, _flags, _address = socket.recv_fds(connection, 4 - len(head), _DESCRIPTOR_LIMIT)
        descriptors += received
        if not chunk:
            raise EOFError
        head += chunk
    (length,) = struct.unpack("<I", head)
    if length > FRAME_LIMIT_BYTES:
        raise ValueError(f"frame of {length} bytes")
    body = bytearray()
    while len(body) < length:
        chunk = connection.recv(min(65536, length - len(body)))
        if not chunk:
            raise EOFError
        body += chunk
    message: dict[str, Any] = json.loads(body)
    return message, descriptors


def write_file(name: str, content: dict[str, Any], directory_fd: int | None = None) -> None:
    """Write JSON so that a reader sees the old content or the new, never a half (rename)."""
    fd = os.open(name + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=directory_fd)
    try:
        os.write(fd, json.dumps(content).encode())
    finally:
        os.close(fd)
    os.rename(name + ".new", name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)


def start_time(pid: int) -> int:
    """When `pid` was started, in clock ticks since boot: with it a pid names one process for ever."""
    fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(fd, 4096).rpartition(b")")[2].split()[19])
    finally:
        os.close(fd)
