"""Connections that the kernel tracks for an address of an instance, by netlink. Every function blocks: use a thread.

Written by hand: what identifies a connection is handed back as it came, which takes a hundredth of the time that
pyroute2 needs to read and write it, and one instance may have thousands.
"""

import os
import socket
import struct
from ipaddress import IPv4Address

_NETFILTER, _GET, _DELETE = 12, 0x101, 0x102
_REQUEST, _DUMP, _ERROR, _DONE = 1, 0x300, 2, 3
_NESTED, _KIND = 0x8000, 0x3FFF
_ORIGINAL, _FILTER = 1, 25
SOURCE, DESTINATION = 1, 2


def tracked(address: IPv4Address, side: int = SOURCE) -> list[bytes]:
    """What identifies each connection that this address began, or that was made to it: one walk through the table."""
    with _opened() as sock:
        return _dump(sock, side, address.packed)


def forget(address: IPv4Address) -> None:
    """Whatever still comes in on connections that this address began then belongs to nobody."""
    flows = tracked(address)
    with _opened() as sock:
        for flow in flows:
            sock.send(_message(_DELETE, 0, _attribute(_ORIGINAL | _NESTED, flow)))


def _opened() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
    sock.bind((0, 0))
    return sock


def _dump(sock: socket.socket, side: int, address: bytes) -> list[bytes]:
    wanted = _attribute(1 | _NESTED, _attribute(side, address))
    # The kernel (from 5.8 on) sends only what has the address; an older one sends all, so it is looked at here too.
    only = _attribute(_FILTER | _NESTED, _attribute(1, struct.pack("=I", side)))
    sock.send(_message(_GET, _DUMP, _attribute(_ORIGINAL | _NESTED, wanted) + only))
    found: list[bytes] = []
    while True:
        data = sock.recv(1 << 17)
        while data:
            length, kind = struct.unpack_from("=IH", data)
            if kind in (_DONE, _ERROR):
                if code := -struct.unpack_from("=i", data, 16)[0]:
                    raise OSError(code, os.strerror(code))
                return found
            flow = _attributes(data[20:length])[_ORIGINAL]
            if _attributes(_attributes(flow)[1]).get(side) == address:
                found.append(flow)
            data = data[_aligned(length) :]


def _message(kind: int, flags: int, attributes: bytes) -> bytes:
    return (
        struct.pack("=IHHIIBBH", 20 + len(attributes), kind, _REQUEST | flags, 0, 0, socket.AF_INET, 0, 0) + attributes
    )


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value.ljust(_aligned(len(value)), b"\0")


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & _KIND] = data[4:length]
        data = data[_aligned(length) :]
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3
