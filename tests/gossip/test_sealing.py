"""The key ring: who can open what, and how keys change while datagrams are under way."""

import pytest

from paasd.gossip import RingKey
from paasd.gossip.wire.sealing import OVERHEAD_BYTES, Keyring

OLD = RingKey(id="old", secret=b"o" * 32, sending=True)
OLD_KNOWN = RingKey(id="old", secret=b"o" * 32)
NEW_KNOWN = RingKey(id="new", secret=b"n" * 32)
NEW = RingKey(id="new", secret=b"n" * 32, sending=True)


def ring(guid: str, *keys: RingKey, cluster: str = "one", stream: bytes = b"") -> Keyring:
    return Keyring(cluster, guid, keys or (OLD,), stream or guid.encode() * 12, 30.0)


def test_the_receiver_opens_what_was_sealed_for_it() -> None:
    a, b = ring("a"), ring("b")
    first, second = (b.open(a.seal("b", b"hello")) for _ in range(2))
    assert first is not None and second is not None
    assert first.payload == second.payload == b"hello"
    assert (first.stream, first.number, second.number) == (b"a" * 12, 1, 2)
    assert len(a.seal("b", b"hello")) == 5 + OVERHEAD_BYTES


@pytest.mark.parametrize("where", range(0, OVERHEAD_BYTES + 5, 3))
def test_a_datagram_with_one_changed_byte_does_not_open(where: int) -> None:
    sealed = bytearray(ring("a").seal("b", b"hello"))
    assert ring("b").open(bytes(sealed)) is not None
    sealed[where] ^= 1
    assert ring("b").open(bytes(sealed)) is None


def test_it_opens_at_no_other_node_in_no_other_cluster_and_under_no_other_key() -> None:
    sealed = ring("a").seal("b", b"hello")
    assert ring("b").open(sealed) is not None
    assert ring("c").open(sealed) is None
    assert ring("b", cluster="two").open(sealed) is None
    assert ring("b", NEW).open(sealed) is None
    assert ring("b", RingKey(id="old", secret=b"x" * 32, sending=True)).open(sealed) is None


@pytest.mark.parametrize("noise", [b"", b"\x01", b"\x00" * 40, b"\xff" * 1200])
def test_noise_does_not_open(noise: bytes) -> None:
    assert ring("b").open(noise) is None


def test_keys_change_live_and_nobody_is_deaf_on_the_way() -> None:
    a, b = ring("a"), ring("b")
    steps = [(OLD, NEW_KNOWN), (OLD_KNOWN, NEW), (NEW,)]
    for now, keys in enumerate(steps):
        a.set_keys(float(now), keys)  # the rows reach a first: b is one step behind
        for sender, receiver, name in ((a, b, "b"), (b, a, "a")):
            assert receiver.open(sender.seal(name, b"x")) is not None, f"step {now}: {name} cannot hear"
        b.set_keys(float(now), keys)
    assert a.names == b.names == ("new",)
    assert a.sending == "new"


def test_a_key_that_left_the_ring_opens_for_a_while_and_then_no_more() -> None:
    a, b = ring("a"), ring("b", OLD, NEW_KNOWN)
    b.set_keys(100.0, (NEW,))
    b.prune(129.0)
    assert b.open(a.seal("b", b"late")) is not None
    b.prune(130.0)
    assert b.open(a.seal("b", b"too late")) is None


def test_a_key_that_comes_back_stays() -> None:
    a, b = ring("a"), ring("b", OLD, NEW_KNOWN)
    b.set_keys(100.0, (NEW,))
    b.set_keys(110.0, (NEW, OLD_KNOWN))
    b.prune(200.0)
    assert b.open(a.seal("b", b"x")) is not None


@pytest.mark.parametrize("keys", [(), (OLD_KNOWN,), (OLD, NEW), (RingKey(id="short", secret=b"s", sending=True),)])
def test_a_ring_has_exactly_one_sending_key_of_32_bytes(keys: tuple[RingKey, ...]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ring("a").set_keys(0.0, keys)


def test_strangers_cannot_push_out_what_is_in_use() -> None:
    a, b = ring("a"), ring("b")
    assert b.open(a.seal("b", b"x")) is not None
    for number in range(50):
        forged = ring("a", RingKey(id="old", secret=b"?" * 32, sending=True), stream=number.to_bytes(12, "big"))
        assert b.open(forged.seal("b", b"x")) is None
    assert len(b._derived) == 1


def test_no_two_starts_seal_alike() -> None:
    one, two = ring("a", stream=b"1" * 12), ring("a", stream=b"2" * 12)
    assert one.seal("b", b"hello")[25:] != two.seal("b", b"hello")[25:]
