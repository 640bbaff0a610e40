"""What may come over the network: garbage, repetitions, strangers, newer versions."""

import msgspec
import pytest

from paasd.gossip.swim.effects import Datagram
from paasd.gossip.wire.guard import WINDOW, Quarantine, ReplayWindow
from paasd.gossip.wire.messages import Ack, Alive, Garbage, News, Ping, Suspect, encode, open_body, open_envelope, pack
from paasd.observed import Change, Delta, Holding, NodeFact
from tests.gossip.wired import CONFIG, Stranger, Wired, zones
from tests.simulation.gossiping import instance


def garbage() -> list[tuple[str, bytes]]:
    """Datagrams that no honest node sends, by what is wrong with them."""
    good = 1, "b", 1 << 16, 1 << 28, 0
    pack_all = msgspec.msgpack.encode
    absurd = (1 << 28) + (1 << 49)
    foreign = Delta("c", 1 << 16, Change(1, "one", instance("b", "one")))
    renamed = Delta("b", 1 << 16, Change(1, "two", instance("b", "one")))
    return [
        ("a sender and nothing else", pack_all(good)),
        ("an unknown message", pack_all((*good, [99], [], [], []))),
        ("a ping without a number", pack_all((*good, [1], [], [], []))),
        ("a number that is text", pack_all((*good, [1, "x"], [], [], []))),
        ("a negative number", pack_all((*good, [1, -1], [], [], []))),
        ("an unknown update", pack_all((*good, [0], [[9, "c", 1]], [], []))),
        ("too many updates", pack_all((*good, [0], [[1, "c", 1]] * 65, [], []))),
        ("too many marks", pack_all((*good, [0], [], [], [["c", 1, 1]] * 17))),
        ("a guid of 65 characters", pack_all((*good, [0], [[1, "c" * 65, 1]], [], []))),
        ("an absurd incarnation of another", pack_all((*good, [0], [[1, "c", absurd]], [], []))),
        ("an incarnation beyond all", pack_all((*good, [0], [[1, "c", 1 << 53]], [], []))),
        ("an absurd incarnation of its own", pack_all((1, "b", 1 << 16, 1 << 51, 0, [0], [], [], []))),
        ("a node that suspects itself", pack_all((*good, [0], [[2, "c", 1 << 28, "c"]], [], []))),
        ("a record of somebody else", encode_deltas(foreign)),
        ("a record under another name", encode_deltas(renamed)),
        ("a port beyond all", encode_deltas(Delta("b", 1, Change(1, "one", instance("b", "one", port=70_000))))),
        (
            "a state that does not exist",
            encode_deltas(Delta("b", 1, Change(1, "one", instance("b", "one", state="X")))),
        ),
    ]


def encode_deltas(*deltas: Delta) -> bytes:
    head = open_envelope(Stranger("b").says().payload)
    return encode(head, pack(News()), [], [pack(one) for one in deltas], [])


@pytest.mark.parametrize(("what", "payload"), garbage(), ids=[what for what, _ in garbage()])
def test_garbage_is_counted_against_its_sender_and_changes_nothing(what: str, payload: bytes) -> None:
    node = Wired("a", zones("a", "b", "c"))
    sender = Stranger("b")
    node.hear(sender.raw(payload))
    assert node.swim.quarantine.garbage == {"b": 1}, what
    assert node.observed.instances() == []
    assert node.status("c") == "alive"
    node.hear(sender.says(Ping(5)))
    assert Ack in [type(body.message) for _, body in node.take("b")], "the next good datagram is answered"


def test_a_sender_of_garbage_loses_its_voice_for_a_while_but_not_its_life() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    sender = Stranger("b")
    for _ in range(CONFIG.garbage_limit + 3):
        node.hear(sender.raw(encode_deltas(Delta("c", 1, Change(1, "one", instance("b", "one"))))))
    assert node.quarantined == ["b"], "said once, however much more comes"
    assert node.swim.quarantine.members(node.now) == ("b",)
    node.hear(sender.says(Ping(5), Suspect("d", 0, "b")))
    assert node.status("d") == "alive", "its news is not taken"
    assert Ack in [type(body.message) for _, body in node.take("b")], "it is answered"
    assert node.status("b") == "alive"
    node.hear(Stranger("c").says(None, Suspect("d", 0, "c")))
    assert node.status("d") == "suspect", "others are heard as before"
    node.now += CONFIG.quarantine_s + 1
    node.hear(sender.says(None, Alive("d", 1)))
    assert node.status("d") == "alive", "it is over after a while"


def test_garbage_in_another_name_counts_against_the_node_whose_address_it_comes_from() -> None:
    node = Wired("a", zones("a", "b", "c"))
    written_by_c = Stranger("b").says(None, Suspect("a", 1 << 28, "b"))
    node.hear(Datagram(written_by_c.payload, b"c" * 12, 1, via="c"))
    assert node.swim.quarantine.garbage == {"c": 1}
    assert node.swim.members.incarnation == 1 << 28, "and it is not believed"


def test_who_is_no_member_is_not_heard() -> None:
    node = Wired("a", zones("a", "b"))
    node.hear(Stranger("x").says(Ping(1), Suspect("b", 0, "x")))
    assert node.sent == []
    assert node.status("b") == "alive"
    assert node.swim.counters.strangers == 1


def test_what_is_said_of_a_node_without_a_row_is_left_aside_and_is_no_offence() -> None:
    node = Wired("a", zones("a", "b"))
    delta = Delta("new", 1 << 16, Change(1, "one", instance("new", "one")))
    node.hear(Stranger("b").says(None, Alive("new", 7), deltas=(delta,), marks=(Holding("new", 1, 9),)))
    assert node.swim.quarantine.garbage == {}
    assert node.observed.instances() == []


def test_a_newer_version_may_say_more_and_what_is_understood_counts() -> None:
    head = open_envelope(Stranger("b").says(version=2).payload)
    update, unknown = pack(Alive("c", 3)), msgspec.Raw(msgspec.msgpack.encode([44, "c", "new"]))
    delta = pack(Delta("b", 1, Change(1, "one", instance("b", "one"))))
    body = open_body(open_envelope(encode(head, unknown, [unknown, update], [unknown, delta], [])))
    assert body.message == News()
    assert body.updates == (Alive("c", 3),)
    assert [one.change.key for one in body.deltas] == ["one"]
    same_version = open_envelope(Stranger("b").says().payload)
    with pytest.raises(Garbage):
        open_body(open_envelope(encode(same_version, pack(News()), [unknown], [], [])))


def test_fields_that_a_newer_version_appends_are_passed_over() -> None:
    fact = msgspec.to_builtins(NodeFact(node_guid="b", boot=1))
    longer = msgspec.msgpack.encode([*fact, "a field of the future"])
    assert msgspec.msgpack.decode(longer, type=NodeFact) == NodeFact(node_guid="b", boot=1)


def test_a_repeated_datagram_is_not_accepted() -> None:
    node = Wired("a", zones("a", "b", "c"))
    datagram = Stranger("b").says(Ping(1))
    node.hear(datagram)
    node.take("b")
    node.hear(datagram)
    assert node.take("b") == []
    assert node.swim.counters.repeated == 1


def test_a_datagram_of_an_earlier_start_is_not_accepted() -> None:
    node = Wired("a", zones("a", "b", "c"))
    old = Stranger("b", boot=1 << 16, stream=b"o" * 12)
    kept = old.says(Ping(1))
    node.hear(Stranger("b", boot=2 << 16, stream=b"n" * 12).says(Ping(2)))
    node.take("b")
    node.hear(kept)
    assert node.take("b") == []


def test_the_window_lets_each_number_pass_once_in_any_order_and_nothing_far_behind() -> None:
    window = ReplayWindow()
    order = [5, 3, 9, 4, 2000, 1999, 2000 - WINDOW + 1]
    assert all(window.fresh("b", 1, b"s", number) for number in order)
    assert not any(window.fresh("b", 1, b"s", number) for number in order)
    assert not window.fresh("b", 1, b"s", 2000 - WINDOW)
    assert window.fresh("c", 1, b"s", 5), "another sender has numbers of its own"


def test_two_streams_of_one_start_are_a_copy() -> None:
    window = ReplayWindow()
    assert window.fresh("b", 1, b"s", 1)
    assert not window.fresh("b", 1, b"t", 2)
    assert window.fresh("b", 2, b"t", 2)


def test_garbage_now_and_then_is_forgiven() -> None:
    quarantine = Quarantine(limit=3, duration_s=60)
    assert not any(quarantine.strike(now, "b") for now in (0.0, 59.0, 119.5, 200.0))
    assert quarantine.strike(200.0, "b") is False
    assert quarantine.strike(201.0, "b") is True
    assert quarantine.members(260.0) == ("b",)
    assert quarantine.members(261.5) == ()
