"""Entries of the ordered log: what is appended, byte for byte the same on every node.

Each entry names the hash of the one before, so a log that lost, changed or reordered an entry stops a node at once.
"""

import hashlib
from typing import Final, Literal

import msgspec

from paasd.errors import PaasdError
from paasd.packing import UNREADABLE

FORMAT_VERSION: Final = 1
NO_HASH: Final = bytes(32)


class LogDamaged(PaasdError):
    """An entry cannot be read or does not follow the one before; the node must not go on from here."""


class OperationId(msgspec.Struct, frozen=True, array_like=True):
    """Which operation run is part of an entry."""

    request_id: str
    name: str
    version: int


class Entry(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """`payload` is a changeset (data) or a migration (ddl); `id` tells our own entry from another at the same index."""

    version: int = FORMAT_VERSION
    index: int
    kind: Literal["data", "ddl"]
    id: str
    origin: str
    previous: bytes
    schema: int
    operations: tuple[OperationId, ...] = ()
    payload: bytes = b""


class Migration(msgspec.Struct, frozen=True, array_like=True):
    """The payload of a ddl entry: one numbered step of the schema."""

    number: int
    name: str
    script: str


def encode_entry(entry: Entry) -> bytes:
    return msgspec.msgpack.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """Raises LogDamaged for bytes that are no entry, and for an entry of a later format."""
    try:
        version = msgspec.msgpack.decode(data, type=list[msgspec.Raw])[0]
        if msgspec.msgpack.decode(version) != FORMAT_VERSION:
            raise LogDamaged("the log has entries of a newer format; upgrade paasd on this node")
        return msgspec.msgpack.decode(data, type=Entry)
    except (*UNREADABLE, IndexError) as error:
        raise LogDamaged(f"an entry of the log cannot be read: {error}; restore this node from a snapshot") from error


def entry_hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
