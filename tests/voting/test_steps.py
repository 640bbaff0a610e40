"""What is done next: small steps, one member at a time, found anew after any crash."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from paasd.model import Node
from paasd.voting.steps import AddLearner, EtcdMember, Promote, Remove, Step, Vote, guids_by_url, next_step


def members(text: str) -> list[EtcdMember]:
    """`a b+` is member 1 of node a and learner 2 of node b."""
    return [
        EtcdMember(id=number, node_guid=word.rstrip("+"), learner=word.endswith("+"))
        for number, word in enumerate(text.split(), 1)
    ]


def test_a_node_gets_its_vote_row_first_then_learner_then_vote() -> None:
    target = frozenset("ab")
    assert next_step(target, {"a": "VOTER", "b": ""}, members("a"), frozenset()) == Vote("b", "", "JOINING")
    assert next_step(target, {"a": "VOTER", "b": "JOINING"}, members("a"), frozenset()) == AddLearner("b")
    assert next_step(target, {"a": "VOTER", "b": "JOINING"}, members("a b+"), frozenset()) == Promote("b", 2)
    assert next_step(target, {"a": "VOTER", "b": "JOINING"}, members("a b"), frozenset()) == Vote(
        "b", "JOINING", "VOTER"
    )
    assert next_step(target, {"a": "VOTER", "b": "VOTER"}, members("a b"), frozenset()) is None


def test_a_worker_that_says_to_be_where_a_voter_is_takes_nothing_from_it() -> None:
    def node(guid: str, role: str, voting: str = "", address: str = "10.0.0.1") -> Node:
        size = {"memory_mb": 1, "disk_mb": 1, "cpus": 1}
        place = {"zone": "a", "address": address, "etcd_peer_port": 2380}
        return msgspec.convert({"guid": guid, "name": guid, "role": role, "voting": voting, **size, **place}, Node)

    liar, newer = node("z-worker", "worker"), node("z-control", "control")
    voter, other = node("a-control", "control", "VOTER"), node("b-control", "control", "VOTER", "fd00::1")
    found = {"https://10.0.0.1:2380": "a-control", "https://[fd00::1]:2380": "b-control"}
    assert guids_by_url([voter, liar, newer, other]) == guids_by_url([newer, liar, other, voter]) == found


def test_a_vote_is_taken_away_in_the_opposite_order() -> None:
    target = frozenset("a")
    assert next_step(target, {"a": "VOTER", "b": "VOTER"}, members("a b"), frozenset()) == Vote("b", "VOTER", "LEAVING")
    assert next_step(target, {"a": "VOTER", "b": "LEAVING"}, members("a b"), frozenset()) == Remove(2)
    assert next_step(target, {"a": "VOTER", "b": "LEAVING"}, members("a"), frozenset()) == Vote("b", "LEAVING", "")


def test_what_is_lost_goes_before_others_come_and_what_lives_goes_after() -> None:
    votes = {"a": "VOTER", "b": "VOTER", "c": "VOTER", "d": ""}
    target = frozenset("abd")
    assert next_step(target, votes, members("a b c"), frozenset("c")) == Vote("c", "VOTER", "LEAVING")
    assert next_step(target, votes, members("a b c"), frozenset()) == Vote("d", "", "JOINING")


def test_who_was_to_join_and_is_not_wanted_any_more_leaves() -> None:
    votes = {"a": "VOTER", "b": "JOINING"}
    assert next_step(frozenset("a"), votes, members("a b+"), frozenset("b")) == Vote("b", "JOINING", "LEAVING")


def test_a_member_without_a_row_is_removed_and_a_voter_without_a_member_joins_anew() -> None:
    assert next_step(frozenset("a"), {"a": "VOTER"}, members("a x"), frozenset()) == Remove(2)
    assert next_step(frozenset("ab"), {"a": "VOTER", "b": "VOTER"}, members("a"), frozenset()) == Vote(
        "b", "VOTER", "LEAVING"
    )


def carry_out(step: Step, votes: dict[str, str], etcd: dict[str, bool], ids: dict[str, int]) -> None:
    """What the step does to rows and members (True: learner), as the operation and etcd allow it."""
    match step:
        case Vote(guid, before, after):
            assert votes[guid] == before
            others = [vote for each, vote in votes.items() if each != guid]
            if before in ("", "VOTER"):
                assert not any(vote in ("JOINING", "LEAVING") for vote in others), "one at a time"
            if before == "VOTER":
                assert "VOTER" in others, "the last one stays"
            votes[guid] = after
        case AddLearner(guid):
            assert guid not in etcd
            assert not any(etcd.values()), "etcd takes one learner at a time"
            etcd[guid] = True
        case Promote(guid):
            etcd[guid] = False
        case Remove(number):
            guid = next(each for each, id_ in ids.items() if id_ == number)
            assert votes[guid] in ("LEAVING", ""), "a member is removed only if its row says so"
            del etcd[guid]


@given(
    st.sets(st.sampled_from("abcdef"), min_size=1, max_size=5),
    st.sets(st.sampled_from("abcdef"), min_size=1, max_size=5),
    st.sets(st.sampled_from("abcdef"), max_size=2),
)
def test_any_set_of_voters_becomes_any_other(start: set[str], target: set[str], lost: set[str]) -> None:
    """In a bounded number of steps, each of which is allowed."""
    target -= lost
    if not target or not start - lost:
        return
    votes = {guid: "VOTER" if guid in start else "" for guid in "abcdef"}
    etcd = dict.fromkeys(sorted(start), False)
    ids = {guid: number for number, guid in enumerate("abcdef", 1)}
    for _ in range(100):
        known = [EtcdMember(id=ids[guid], node_guid=guid, learner=learner) for guid, learner in etcd.items()]
        step = next_step(frozenset(target), votes, known, frozenset(lost))
        if step is None:
            break
        carry_out(step, votes, etcd, ids)
    assert set(etcd) == target == {guid for guid, vote in votes.items() if vote == "VOTER"}
