from base64 import b64decode

import msgspec

from paasd.logs import Line, envelope, read_response

LINE = Line(
    source_id="app",
    instance_id="2",
    source_type="APP/PROC/WEB",
    stream="ERR",
    timestamp_ns=1_700_000_000_123_456_789,
    payload=b"\x1b[31m\xff raw",
    tags={"source_type": "RTR", "process_type": "web"},
)


def test_an_envelope_has_only_the_fields_that_clients_know() -> None:
    made = msgspec.to_builtins(envelope(LINE))
    assert set(made) == {"timestamp", "source_id", "instance_id", "tags", "log"}
    assert set(made["log"]) == {"payload", "type"}
    assert made["timestamp"] == "1700000000123456789"
    assert b64decode(made["log"]["payload"]) == LINE.payload
    assert made["log"]["type"] == "ERR"


def test_a_tag_cannot_pretend_to_be_another_source() -> None:
    assert envelope(LINE).tags == {"source_type": "APP/PROC/WEB", "process_type": "web"}


def test_a_batch_may_be_empty() -> None:
    assert msgspec.to_builtins(read_response([])) == {"envelopes": {"batch": []}}
