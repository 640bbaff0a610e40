"""Lines in log-cache's envelope form. Clients refuse fields that they do not know, so there are none but these."""

from base64 import b64encode
from typing import Any

from paasd.logs.line import Line


def envelope(line: Line) -> dict[str, Any]:
    """One envelope, ready for JSON. The timestamp is a string, as 64-bit integers are in protobuf's JSON."""
    return {
        "timestamp": str(line.timestamp_ns),
        "source_id": line.source_id,
        "instance_id": line.instance_id,
        "tags": {**line.tags, "source_type": line.source_type},
        "log": {"payload": b64encode(line.payload).decode("ascii"), "type": line.stream},
    }


def read_response(lines: list[Line]) -> dict[str, Any]:
    """The body of `GET /api/v1/read/:source_id`."""
    return {"envelopes": {"batch": [envelope(line) for line in lines]}}
