"""Datagrams sealed with AES-GCM under a ring of keys: known keys open, the sending one seals.

Each process draws a stream (12 random bytes) and derives from the ring's key one of its own for it, so that a running
number is a safe nonce: no two nodes and no two starts of one ever seal under the same derived key. The cluster's id and
the receiver's guid are bound to each datagram, so it opens in no other cluster and at no other node.

    version 1 | key id 4 | stream 12 | number 8 | sealed, with a tag of 16
"""

import hashlib
import hmac
import struct
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORMAT: Final = 1
_HEAD = struct.Struct(">B4s12sQ")
OVERHEAD_BYTES: Final = _HEAD.size + 16
_CACHE_LIMIT: Final = 4096


class RingKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of the ring, 32 bytes. Exactly one of a ring is `sending`."""

    id: str
    secret: bytes
    sending: bool = False


class Opened(msgspec.Struct, frozen=True):
    """What a datagram held, and where in its sender's stream it stands."""

    payload: bytes
    stream: bytes
    number: int


class Keyring:
    """One node's ring. `now` is a steady clock; keys that leave the ring open for `grace_s` more.

    Rows reach nodes at different times: who drops a key at once is deaf to those that have not heard of it yet.
    """

    def __init__(self, cluster: str, guid: str, keys: Iterable[RingKey], stream: bytes, grace_s: float) -> None:
        self._cluster = cluster.encode()
        self._guid = guid
        self._stream = stream
        self._grace_s = grace_s
        self._number = 0
        self._known: dict[bytes, bytes] = {}
        self._names: dict[bytes, str] = {}
        self._leaving: dict[bytes, float] = {}
        self._derived: OrderedDict[tuple[bytes, bytes], AESGCM] = OrderedDict()
        self._sending = b""
        self.set_keys(0.0, keys)

    def set_keys(self, now: float, keys: Iterable[RingKey]) -> None:
        """Take another ring, live. Raises ValueError if it has no or several sending keys, or one of a wrong size."""
        ring = list(keys)
        sending = [key for key in ring if key.sending]
        if len(sending) != 1 or any(len(key.secret) != 32 for key in ring):
            raise ValueError("a key ring has keys of 32 bytes, exactly one of them sending")
        names = {short_id(key): key.id for key in ring}
        for gone in self._known.keys() - names.keys():
            self._leaving.setdefault(gone, now + self._grace_s)
        for key in ring:
            self._known[short_id(key)] = key.secret
            self._leaving.pop(short_id(key), None)
        self._names = names
        self._sending = short_id(sending[0])
        self.prune(now)

    def prune(self, now: float) -> None:
        """Drop the keys whose grace is over."""
        for gone in [key for key, until in self._leaving.items() if until <= now]:
            del self._leaving[gone], self._known[gone]
            for derived in [one for one in self._derived if one[0] == gone]:
                del self._derived[derived]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._names.values()))

    @property
    def sending(self) -> str:
        return self._names[self._sending]

    def seal(self, receiver: str, payload: bytes) -> bytes:
        self._number += 1
        head = _HEAD.pack(FORMAT, self._sending, self._stream, self._number)
        cipher = self._derived.get((self._sending, self._stream)) or self._derive(self._sending, self._stream)
        self._keep(self._sending, self._stream, cipher)
        return head + cipher.encrypt(_nonce(self._number), payload, self._bound(head, receiver))

    def open(self, datagram: bytes) -> Opened | None:
        """None if it was not sealed for this node, in this cluster, under a key of the ring."""
        if len(datagram) < OVERHEAD_BYTES:
            return None
        head = datagram[: _HEAD.size]
        form, key, stream, number = _HEAD.unpack(head)
        if form != FORMAT or key not in self._known:
            return None
        cipher = self._derived.get((key, stream)) or self._derive(key, stream)
        try:
            payload = cipher.decrypt(_nonce(number), datagram[_HEAD.size :], self._bound(head, self._guid))
        except InvalidTag:
            return None
        self._keep(key, stream, cipher)  # only now: what strangers send must not push out what is in use
        return Opened(payload, stream, number)

    def _bound(self, head: bytes, receiver: str) -> bytes:
        return head + self._cluster + b"\0" + receiver.encode()

    def _derive(self, key: bytes, stream: bytes) -> AESGCM:
        return AESGCM(hmac.digest(self._known[key], b"paasd gossip" + stream, "sha256"))

    def _keep(self, key: bytes, stream: bytes, cipher: AESGCM) -> None:
        if (key, stream) not in self._derived:
            self._derived[key, stream] = cipher
            if len(self._derived) > _CACHE_LIMIT:
                self._derived.popitem(last=False)


def short_id(key: RingKey) -> bytes:
    """What stands in the datagram for the key's name."""
    return hashlib.sha256(key.id.encode()).digest()[:4]


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
