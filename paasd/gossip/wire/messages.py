"""The datagrams as records: arrays of msgpack, each field with its limits, checked while decoding.

A datagram is a header that says who sends it, one message of a probe, and what rides along: updates about members,
changes of observed records, and marks that say how much the sender knows of some nodes' records. What a newer version
adds is skipped by an older one; what no version could have sent is garbage.
"""

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from paasd.observed import Delta, Holding
from paasd.packing import UNREADABLE

VERSION: Final = 1
UPDATES_LIMIT: Final = 64
DELTAS_LIMIT: Final = 32
MARKS_LIMIT: Final = 16
INCARNATION_LIMIT: Final = 1 << 52
BOOT_SHIFT: Final = 12
INCARNATION_LEAP: Final = 1 << 48
"""A node's incarnation starts at boot << 12 and rises by one with each refutation; no honest one leaps further."""

Guid = Annotated[str, Meta(min_length=1, max_length=64)]
Incarnation = Annotated[int, Meta(ge=0, lt=INCARNATION_LIMIT)]
Number = Annotated[int, Meta(ge=0, lt=1 << 53)]


class Message(msgspec.Struct, frozen=True, array_like=True):
    """What the sender wants of the receiver."""


class News(Message, frozen=True, array_like=True, tag=0):
    """Nothing: only what rides along."""


class Ping(Message, frozen=True, array_like=True, tag=1):
    """Are you there? The answer carries the number."""

    number: Number


class Ack(Message, frozen=True, array_like=True, tag=2):
    """I am, or, from a helper, it is. `clock` is the answerer's, in unix seconds; a helper says 0."""

    number: Number
    clock: float = 0.0


class PingRequest(Message, frozen=True, array_like=True, tag=3):
    """Ping `target` for me, and say if it does not answer within `timeout_ms`."""

    number: Number
    target: Guid
    timeout_ms: Annotated[int, Meta(ge=1, le=60_000)]


class Nack(Message, frozen=True, array_like=True, tag=4):
    """I did, and it does not answer. You, however, can hear me."""

    number: Number


class Update(msgspec.Struct, frozen=True, array_like=True):
    """What is said of a member, as of one of its incarnations."""


class Alive(Update, frozen=True, array_like=True, tag=1):
    guid: Guid
    incarnation: Incarnation


class Suspect(Update, frozen=True, array_like=True, tag=2):
    """`accuser` has probed it in vain."""

    guid: Guid
    incarnation: Incarnation
    accuser: Guid


class Unreachable(Update, frozen=True, array_like=True, tag=3):
    """It did not refute in time what these have found."""

    guid: Guid
    incarnation: Incarnation
    accusers: Annotated[tuple[Guid, ...], Meta(min_length=1, max_length=8)]


AnyMessage = News | Ping | Ack | PingRequest | Nack
AnyUpdate = Alive | Suspect | Unreachable


class Header(msgspec.Struct, frozen=True, array_like=True):
    """Who sends. `sequence` is that of the newest change of its own records."""

    version: Annotated[int, Meta(ge=1, le=1000)]
    sender: Guid
    boot: Number
    incarnation: Incarnation
    sequence: Number


class Envelope(Header, frozen=True, array_like=True):
    """A datagram of which only the sender has been read."""

    message: msgspec.Raw
    updates: msgspec.Raw
    deltas: msgspec.Raw
    marks: msgspec.Raw


class Body(msgspec.Struct, frozen=True):
    """The rest of it."""

    message: AnyMessage
    updates: tuple[AnyUpdate, ...]
    deltas: tuple[Delta, ...]
    marks: tuple[Holding, ...]


class Garbage(Exception):
    """The datagram cannot have been meant."""


_encoder = msgspec.msgpack.Encoder()
_envelopes = msgspec.msgpack.Decoder(Envelope)
_messages: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)
_updates = msgspec.msgpack.Decoder(Annotated[tuple[AnyUpdate, ...], Meta(max_length=UPDATES_LIMIT)])
_deltas = msgspec.msgpack.Decoder(Annotated[tuple[Delta, ...], Meta(max_length=DELTAS_LIMIT)])
_marks = msgspec.msgpack.Decoder(Annotated[tuple[Holding, ...], Meta(max_length=MARKS_LIMIT)])
_raws = msgspec.msgpack.Decoder(Annotated[tuple[msgspec.Raw, ...], Meta(max_length=UPDATES_LIMIT)])
_update = msgspec.msgpack.Decoder(AnyUpdate)
_delta = msgspec.msgpack.Decoder(Delta)
_T = TypeVar("_T")


def pack(piece: AnyUpdate | Delta | Holding | AnyMessage) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(piece))


def encode(
    header: Header,
    message: msgspec.Raw,
    updates: list[msgspec.Raw],
    deltas: list[msgspec.Raw],
    marks: list[msgspec.Raw],
) -> bytes:
    head = header.version, header.sender, header.boot, header.incarnation, header.sequence
    return _encoder.encode((*head, message, updates, deltas, marks))


def open_envelope(data: bytes) -> Envelope:
    """Raises Garbage."""
    try:
        return _envelopes.decode(data)
    except UNREADABLE as error:
        raise Garbage(f"no datagram of ours: {error}") from error


def open_body(envelope: Envelope) -> Body:
    """Raises Garbage."""
    newer = envelope.version > VERSION
    try:
        return Body(
            _decode_message(envelope.message, newer),
            _decode_all(_updates, _update, envelope.updates, newer),
            _decode_all(_deltas, _delta, envelope.deltas, newer),
            _marks.decode(envelope.marks),
        )
    except UNREADABLE as error:
        raise Garbage(str(error)) from error


def _decode_message(raw: msgspec.Raw, newer: bool) -> AnyMessage:
    try:
        return _messages.decode(raw)
    except msgspec.ValidationError:
        if newer:
            return News()
        raise


def _decode_all(
    whole: msgspec.msgpack.Decoder[tuple[_T, ...]], single: msgspec.msgpack.Decoder[_T], raw: msgspec.Raw, newer: bool
) -> tuple[_T, ...]:
    """All of them; from a newer version those that this one understands."""
    try:
        return whole.decode(raw)
    except msgspec.ValidationError:
        if not newer:
            raise
    found = []
    for piece in _raws.decode(raw):
        try:
            found.append(single.decode(piece))
        except msgspec.ValidationError:
            continue
    return tuple(found)
