"""Who should vote: 1, 3 or 5 nodes over zones, and no change without need."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from paasd.voting.choosing import Candidate, Fitness, choose_voters, zone_limit


def nodes(text: str, **fitness: Fitness) -> list[Candidate]:
    """`a:x b:y` is node a in zone x and node b in zone y."""
    pairs = [word.split(":") for word in text.split()]
    return [Candidate(guid=guid, zone=zone, fitness=fitness.get(guid, "fit")) for guid, zone in pairs]


def chosen(text: str, current: str, **fitness: Fitness) -> str:
    return "".join(sorted(choose_voters(nodes(text, **fitness), frozenset(current))))


def test_one_votes_until_there_are_three_then_three_until_there_are_five() -> None:
    assert chosen("a:x", "a") == "a"
    assert chosen("a:x b:y", "a") == "a"
    assert chosen("a:x b:y c:z", "a") == "abc"
    assert chosen("a:x b:y c:z d:x", "abc") == "abc"
    assert chosen("a:x b:y c:z d:x e:y", "abc") == "abcde"
    assert chosen("a:x b:y c:z d:x e:y f:z g:x", "abcde") == "abcde"


def test_with_three_zones_none_of_them_has_the_majority() -> None:
    assert chosen("a:x b:x c:x", "a") == "abc"
    assert chosen("a:x b:x c:x d:y e:z", "abc") == "ade"
    assert chosen("a:x b:x c:x d:y e:y f:z", "a") in ("abdef", "acdef")


def test_two_zones_share_as_evenly_as_they_can() -> None:
    assert chosen("a:x b:x c:x d:y", "a") == "abd"
    assert chosen("a:x b:x c:y d:y", "a") in ("abc", "acd")


def test_clouds_are_mixed_where_zones_leave_the_choice() -> None:
    assert chosen("a:aws/1 b:aws/2 c:aws/3 d:gcp/1", "a") == "abd"


def test_a_voter_that_leaves_or_is_lost_is_replaced_by_one_that_can() -> None:
    assert chosen("a:x b:y c:z d:x", "abc", a="leaving") == "bcd"
    assert chosen("a:x b:y c:z d:x", "abc", a="away") == "bcd"
    assert chosen("a:x b:y c:z d:x", "abc", a="gone") == "bcd"
    assert chosen("a:x b:y c:z d:y", "abc", a="steady") == "abc"


def test_a_lost_voter_keeps_its_seat_when_nobody_can_take_it() -> None:
    assert chosen("a:x b:y c:z", "abc", a="away") == "abc"
    assert chosen("a:x b:y c:z d:x", "abc", a="away", d="away") == "abc"
    assert chosen("a:x b:y c:z d:x e:y", "abcde", a="away") == "abcde"


def test_fewer_vote_when_so_many_are_lost_that_the_rest_is_safer_alone() -> None:
    assert chosen("a:x b:y c:z d:x e:y", "abcde", d="away", e="away") == "abc"


def test_a_drained_voter_goes_even_without_a_successor_and_is_expected_back() -> None:
    assert chosen("a:x b:y c:z", "abc", c="leaving") == "ab"
    assert chosen("a:x b:y c:z", "ab") == "abc"
    assert chosen("a:x b:y c:z", "abc", c="gone") == "a"


def test_the_only_voter_hands_its_vote_over_when_it_is_drained() -> None:
    assert chosen("a:x b:y", "a", a="leaving") == "b"
    assert chosen("a:x", "a", a="leaving") == ""
    assert chosen("a:x b:y", "a", a="away") == "a"


def test_nobody_is_given_a_vote_who_is_not_fit() -> None:
    assert chosen("a:x b:y c:z", "a", c="steady") == "a"


FITNESS = st.sampled_from(["fit", "fit", "fit", "steady", "away", "leaving", "gone"])
CLUSTERS = st.lists(st.tuples(st.sampled_from("xyzw"), FITNESS, st.booleans()), min_size=1, max_size=9).map(
    lambda rows: (
        [Candidate(guid=str(number), zone=zone, fitness=fitness) for number, (zone, fitness, _) in enumerate(rows)],
        frozenset(str(number) for number, (_, _, votes) in enumerate(rows) if votes),
    )
)


@given(CLUSTERS)
def test_what_was_chosen_is_chosen_again(cluster: tuple[list[Candidate], frozenset[str]]) -> None:
    """Or voters would be swapped for ever."""
    candidates, current = cluster
    once = choose_voters(candidates, current)
    assert choose_voters(candidates, once) == once


@given(CLUSTERS)
def test_those_that_are_chosen_can_vote_and_are_well_spread(cluster: tuple[list[Candidate], frozenset[str]]) -> None:
    candidates, current = cluster
    fitness = {one.guid: one.fitness for one in candidates}
    voters = choose_voters(candidates, current)
    assert all(fitness[guid] == "fit" for guid in voters - current)
    assert not any(fitness[guid] in ("leaving", "gone") for guid in voters)
    if all(each == "fit" for each in fitness.values()):
        assert len(voters) in (1, 3, 5)
        zones = {one.guid: one.zone for one in candidates}
        held = Counter(zones[guid] for guid in voters).values()
        assert max(held) <= zone_limit(len(voters), len(set(zones.values())))
