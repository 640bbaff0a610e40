"""Lines in log-cache's envelope form. Clients refuse fields that they do not know, so there are none but these."""

from base64 import b64encode

import msgspec

from paasd.logs.line import Line, Stream


class Log(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What was written, in base64, and to which stream."""

    payload: str
    type: Stream


class Envelope(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One line. The timestamp is a string, as 64-bit integers are in protobuf's JSON."""

    timestamp: str
    source_id: str
    instance_id: str
    tags: dict[str, str]
    log: Log


class Batch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Some lines."""

    batch: list[Envelope]


class ReadAnswer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `GET /api/v1/read/:source_id`."""

    envelopes: Batch


def envelope(line: Line) -> Envelope:
    """A line, ready for JSON."""
    return Envelope(
        timestamp=str(line.timestamp_ns),
        source_id=line.source_id,
        instance_id=line.instance_id,
        tags={**line.tags, "source_type": line.source_type},
        log=Log(payload=b64encode(line.payload).decode("ascii"), type=line.stream),
    )


def read_response(lines: list[Line]) -> ReadAnswer:
    """Lines as `GET /api/v1/read/:source_id` shows them."""
    return ReadAnswer(envelopes=Batch(batch=[envelope(line) for line in lines]))
