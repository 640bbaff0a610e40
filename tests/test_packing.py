"""Messages from elsewhere: whatever the bytes, there is one error."""

import msgspec
import pytest

import paasd.membership.messages as membership
from paasd.errors import BadRequest
from paasd.gossip.wire import messages as datagrams
from paasd.packing import unpack
from paasd.state.log import messages as log
from tests.wire.messages import messages

ODD = [b"", b"\xc1", b"\x92\xa5hel\xff\xfe\x01", b"\x91" * 60_000, b"\xa2\xff\xfe", b"\x81\xa1x" * 30_000]


@pytest.mark.parametrize("body", ODD)
def test_bytes_that_are_no_message_are_refused_by_every_kind(body: bytes) -> None:
    for kind in (kind for _, kind in messages() if kind.__struct_fields__):
        with pytest.raises(BadRequest, match="is the other node of another release"):
            unpack(body, kind)
    with pytest.raises(datagrams.Garbage):
        datagrams.open_envelope(body)
    with pytest.raises(BadRequest):
        log.decode(body, log.ReadLog)


def test_what_follows_as_a_field_that_nobody_knows_is_refused_when_it_is_too_deep() -> None:
    fields = msgspec.msgpack.encode({"domain": "x", "signing_request": b""})
    body = bytes([fields[0] + 1]) + fields[1:] + b"\xa5newer" + b"\x91" * 60_000 + b"\x01"
    with pytest.raises(BadRequest):
        unpack(body, membership.DomainRequest)


@pytest.mark.parametrize("change", [{"after": -1}, {"after": 2**63}, {"limit": 0}, {"limit": -5}])
def test_a_log_is_asked_for_what_there_can_be(change: dict[str, int]) -> None:
    good = log.ReadLog(identity="log", after=0, limit=10)
    assert log.decode(log.encode(good), log.ReadLog) == good
    with pytest.raises(BadRequest):
        log.decode(log.encode(msgspec.structs.replace(good, **change)), log.ReadLog)
