"""One core at a time: probing, suspicion, refutation, and what it makes of its own stalls."""

import msgspec
import pytest

from paasd.gossip.swim.waiting import suspicion_s
from paasd.gossip.wire.messages import Ack, Alive, Nack, Ping, PingRequest, Suspect, Unreachable
from paasd.observed import Change, Delta, Holding
from tests.gossip.wired import CONFIG, Stranger, Wired, zones
from tests.simulation.gossiping import instance

LONGEST_S = suspicion_s(CONFIG, 4, 0, 2)
SHORTEST_S = suspicion_s(CONFIG, 4, 2, 2)


def answer_all(node: Wired, *others: str) -> None:
    """Each of the others acknowledges what it was asked."""
    for guid in others:
        for _, body in node.take(guid):
            if isinstance(body.message, Ping):
                node.hear(STRANGERS[guid].says(Ack(body.message.number)))
            if isinstance(body.message, PingRequest):
                node.hear(STRANGERS[guid].says(Nack(body.message.number)))


STRANGERS: dict[str, Stranger] = {}


@pytest.fixture(autouse=True)
def strangers() -> None:
    new_strangers()


def new_strangers() -> None:
    STRANGERS.clear()
    STRANGERS.update({guid: Stranger(guid) for guid in "bcd"})


def live(node: Wired, seconds: float, *others: str) -> None:
    """Time passes while the others answer at once."""
    end = node.now + seconds
    while node.now < end:
        node.until(min(node.now + 0.01, end))
        answer_all(node, *others)


def test_members_that_answer_stay_alive_and_are_probed_in_turn() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    live(node, 10, "b", "c", "d")
    assert node.changed == []
    assert node.swim.awareness.score == 0
    assert 15 <= node.swim.counters.sent <= 60


def test_a_silent_member_is_probed_by_helpers_before_it_is_suspected() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    asked = []
    while not asked:
        node.until(node.now + 0.01)
        asked = [b.message.target for _, b in node.take("c") if isinstance(b.message, PingRequest)]
        answer_all(node, "c", "d")
    assert asked == ["b"]
    assert node.changed == []
    live(node, 1, "c", "d")
    assert node.changed == [("b", "suspect")]


def test_an_answer_through_a_helper_is_as_good_as_a_direct_one() -> None:
    node = Wired("a", zones("a", "b", "c"))
    for _ in range(2000):
        node.until(node.now + 0.01)
        for _, body in node.take("c"):
            if isinstance(body.message, Ping | PingRequest):
                node.hear(STRANGERS["c"].says(Ack(body.message.number)))
    assert node.swim.counters.probes_failed == 0
    assert node.changed == []


def test_a_suspect_that_nobody_confirms_has_the_longest_time() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    live(node, 3, "c", "d")
    assert node.status("b") == "suspect"
    live(node, LONGEST_S - 4, "c", "d")
    assert node.status("b") == "suspect"


def test_suspicion_ends() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    live(node, LONGEST_S + 5, "c", "d")
    assert node.changed == [("b", "suspect"), ("b", "unreachable")], "and never dead, nor gone"


def test_confirmations_by_others_shorten_a_suspicion() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    live(node, 2.5, "c", "d")
    assert node.status("b") == "suspect"
    for accuser in "cd":
        node.hear(STRANGERS[accuser].says(None, Suspect("b", 0, accuser)))
    live(node, SHORTEST_S, "c", "d")
    assert node.status("b") == "unreachable"


def test_the_same_accuser_twice_is_one_witness() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    for _ in range(4):
        node.hear(STRANGERS["c"].says(None, Suspect("b", 0, "c")))
        live(node, SHORTEST_S / 2, "c", "d")
    assert node.status("b") == "suspect"


def test_a_verdict_with_too_few_witnesses_is_only_a_suspicion() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    node.hear(STRANGERS["c"].says(None, Unreachable("b", 0, ("c",))))
    assert node.status("b") == "suspect"
    node.hear(STRANGERS["c"].says(None, Unreachable("b", 0, ("c", "c", "b", "nobody"))))
    assert node.status("b") == "suspect"
    node.hear(STRANGERS["c"].says(None, Unreachable("b", 0, ("a", "c", "d"))))
    assert node.status("b") == "unreachable"


def test_a_refutation_ends_suspicion_and_unreachability() -> None:
    for accusers in (("c",), ("a", "c", "d")):
        node = Wired("a", zones("a", "b", "c", "d"))
        node.hear(STRANGERS["c"].says(None, Unreachable("b", 7, accusers)))
        node.hear(STRANGERS["c"].says(None, Alive("b", 7)))
        assert node.status("b") != "alive", "the same incarnation refutes nothing"
        node.hear(STRANGERS["c"].says(None, Alive("b", 8)))
        assert node.status("b") == "alive"
        node.hear(STRANGERS["c"].says(None, Suspect("b", 7, "d")))
        assert node.status("b") == "alive", "what was said of an earlier incarnation is over"


def test_a_node_refutes_what_is_said_of_it() -> None:
    node = Wired("a", zones("a", "b", "c"))
    before = node.swim.members.incarnation
    node.hear(STRANGERS["b"].says(Ping(1), Suspect("a", before, "b")))
    header, body = node.take("b")[-1]
    assert body.message.number == 1
    assert header.incarnation == before + 1
    assert Alive("a", before + 1) in body.updates
    node.hear(STRANGERS["b"].says(Ping(2), Suspect("a", before, "c")))
    assert node.swim.members.incarnation == before + 1, "an old accusation needs no second answer"


def test_a_suspect_is_told_before_anybody_else() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    node.hear(STRANGERS["c"].says(None, Suspect("b", 0, "c")))
    node.until(node.now + 0.6)
    told = node.take("b")
    assert told
    assert all(body.updates[0] == Suspect("b", 0, "c") for _, body in told)


def test_a_node_whose_own_loop_stalls_suspects_nobody() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    live(node, 5, "b", "c", "d")
    for _ in range(20):
        node.until(node.swim.deadline)  # a probe goes out, and the answer waits in the socket
        node.stall(2.0)
        answer_all(node, "b", "c", "d")
    assert node.changed == []
    assert node.swim.awareness.score > 0


def test_a_stalled_node_gives_suspects_the_time_that_it_missed() -> None:
    node = Wired("a", zones("a", "b", "c"))
    node.hear(STRANGERS["c"].says(None, Suspect("b", 0, "c")))
    node.stall(LONGEST_S * 2)
    assert node.status("b") == "suspect"


def test_a_node_in_trouble_slows_down_and_recovers() -> None:
    node = Wired("a", zones("a", "b", "c"))
    node.stall(3.0)
    slowed = node.swim.awareness.score
    assert slowed >= 5
    sent = node.swim.counters.sent
    live(node, 4, "b", "c")
    assert node.swim.counters.sent - sent < 8
    live(node, 60, "b", "c")
    assert node.swim.awareness.score == 0


def test_news_that_comes_late_is_no_stall_of_this_node() -> None:
    node = Wired("a", zones("a", "b", "c"))
    live(node, 5, "b", "c")
    node.observed.put(instance("a", "one"))
    node.until(node.now)
    node.hear(STRANGERS["c"].says(None, Suspect("b", 0, "c")))
    live(node, 1, "b", "c")
    assert node.swim.counters.stalls == 0


def test_the_last_two_of_a_cluster_have_only_their_own_calm_as_witness() -> None:
    calm, upset = Wired("a", zones("a", "b")), Wired("a", zones("a", "b"))
    calm.until(calm.now + 8)
    for _ in range(4):
        upset.until(upset.now + 2)
        upset.stall(0.5)
    assert calm.status("b") == "unreachable"
    assert upset.status("b") != "unreachable"


def test_an_unreachable_node_is_tried_further_and_comes_back_by_its_answer() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    node.hear(STRANGERS["c"].says(None, Unreachable("b", 5, ("a", "c", "d"))))
    live(node, 300, "c", "d")
    tries = node.take("b")
    assert 20 <= sum(isinstance(body.message, Ping) for _, body in tries) <= 60, "two of each try, at last every 30 s"
    assert all(Unreachable("b", 5, ("a", "c", "d")) in body.updates for _, body in tries)
    assert node.swim.members.witnessed() == ("b",)
    STRANGERS["b"].incarnation = 6
    node.hear(STRANGERS["b"].says(Ack(0)))
    assert node.status("b") == "alive"
    assert "b" in node.compared
    assert node.swim.members.witnessed() == ()


def test_only_what_a_node_tried_itself_is_its_testimony() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    node.hear(STRANGERS["c"].says(None, Unreachable("b", 5, ("b2", "c", "d", "a"))))
    assert node.status("b") == "unreachable"
    assert node.swim.members.witnessed() == ("b",)
    other = Wired("a", zones("a", "b", "c", "d", "e"))
    other.hear(STRANGERS["c"].says(None, Unreachable("b", 5, ("c", "d", "e"))))
    assert other.status("b") == "unreachable"
    assert other.swim.members.witnessed() == ()


def test_a_node_that_is_set_back_counts_on_from_what_others_know() -> None:
    node = Wired("a", zones("a", "b", "c"))
    node.observed.put(instance("a", "one"))
    node.hear(STRANGERS["b"].says(None, marks=(Holding("a", 9 << 16, 40),)))
    assert node.swim.boot == (9 << 16) + 1
    assert node.swim.members.incarnation > 9 << 28
    assert node.observed.holding("a") == Holding("a", (9 << 16) + 1, 1)
    assert node.observed.get("one") == instance("a", "one")


def test_a_helper_passes_on_the_answer_or_says_that_there_is_none() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    node.hear(STRANGERS["b"].says(PingRequest(77, "c", 300)))
    (_, ping) = node.take("c")[-1]
    node.hear(STRANGERS["c"].says(Ack(ping.message.number)))
    assert [body.message for _, body in node.take("b")][-1] == Ack(77)
    node.hear(STRANGERS["b"].says(PingRequest(78, "d", 300)))
    node.until(node.now + 0.29)
    assert Nack(78) not in [body.message for _, body in node.take("b")]
    node.until(node.now + 0.02)
    assert Nack(78) in [body.message for _, body in node.take("b")]


def test_only_the_target_or_a_helper_can_answer_a_probe() -> None:
    node = Wired("a", zones("a", "b", "c", "d"), msgspec.structs.replace(CONFIG, helpers=0))
    end = node.now + 3
    while node.now < end:
        node.until(node.now + 0.01)
        for _, body in node.take("b"):
            if isinstance(body.message, Ping):
                node.hear(STRANGERS["d"].says(Ack(body.message.number)))
        answer_all(node, "c", "d")
    assert node.status("b") == "suspect"


def test_a_change_is_told_at_once_and_passed_on_a_limited_number_of_times() -> None:
    node = Wired("a", zones("a", "b", "c", "d"))
    live(node, 5, "b", "c", "d")
    node.sent.clear()
    fact = instance("c", "one")
    delta = Delta("c", 1 << 16, Change(1, "one", fact))
    node.hear(STRANGERS["b"].says(None, deltas=(delta,)))
    node.until(node.now)
    passed = [delta in body.deltas for guid in "bcd" for _, body in node.take(guid)]
    assert passed.count(True) >= 1
    assert node.observed.get("one") == fact
    for _ in range(30):
        node.hear(STRANGERS["b"].says(None, deltas=(delta,)))
        node.until(node.now + 0.2)
        passed += [delta in body.deltas for guid in "bcd" for _, body in node.take(guid)]
    assert passed.count(True) == CONFIG.retransmit_mult


def test_a_gap_that_lasts_leads_to_a_comparison_and_one_that_closes_does_not() -> None:
    node = Wired("a", zones("a", "b", "c"))
    live(node, 2, "b", "c")
    node.compared.clear()
    first, second = (Delta("b", 1 << 16, Change(n, f"i{n}", instance("b", f"i{n}"))) for n in (1, 2))
    node.hear(STRANGERS["b"].says(None, deltas=(second,), sequence=2))
    node.hear(STRANGERS["b"].says(None, deltas=(first,), sequence=2))
    live(node, 2, "b", "c")
    assert node.compared == []
    node.hear(STRANGERS["c"].says(None, marks=(Holding("b", 1 << 16, 3),)))
    live(node, 1, "b", "c")
    assert node.compared == ["c"]


def test_what_is_too_large_for_a_datagram_is_announced() -> None:
    node = Wired("a", zones("a", "b", "c"))
    node.observed.put(instance("a", "one", details="x" * 2000))
    node.until(node.now + 0.1)
    told = [body for guid in "bc" for _, body in node.take(guid)]
    assert all(not body.deltas for body in told)
    assert any(Holding("a", 1 << 16, 1) in body.marks for body in told)


def test_no_datagram_is_above_the_limit_however_much_there_is_to_tell() -> None:
    names = {f"node-with-a-rather-long-name-{number:03d}": f"z{number % 3}" for number in range(80)}
    node = Wired("node-with-a-rather-long-name-000", names)
    for number in range(50):
        node.observed.put(instance(node.guid, f"instance-{number}", details="y" * number * 10))
    for guid in list(names)[1:60]:
        node.hear(Stranger(guid).says(Ping(1), Suspect(list(names)[60], 0, guid)))
        node.until(node.now + 0.05)
    assert node.sent
    largest = max(len(send.payload) for send in node.sent)
    assert 900 < largest <= CONFIG.packet_limit_bytes - 41
