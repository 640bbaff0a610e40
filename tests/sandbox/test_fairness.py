"""Who takes little counts for more, has short turns and processors to itself, and only as long as it takes little."""

import pytest

from paasd.sandbox.fairness import MOST, PERIOD_S, SHORT_TURN_NS, Fairness, Standing
from paasd.sandbox.launcher.syscalls import LONG_TURN_NS

WEIGHTS = {"light": 25, "heavy": 25}
SECOND_NS = 1_000_000_000
BOTH = (0, 1)


class Host:
    """Two containers on two processors: the share of each is one of them. There may be idle ones beside them."""

    def __init__(self, processors: tuple[int, ...] = BOTH, free_percent: int = 25, idle: int = 0) -> None:
        self.fairness = Fairness(processors, 2, free_percent)
        self.weights = {**WEIGHTS, **{f"idle {number}": 25 for number in range(idle)}}
        self.taken = dict.fromkeys(self.weights, 5 * SECOND_NS)
        self.standings: dict[str, Standing] = {}
        self.now_s = 100.0

    def pass_s(self, seconds: float, **cores: float) -> None:
        for _ in range(round(seconds / PERIOD_S)):
            self.standings = self.fairness.measure(self.taken, self.weights, self.now_s)
            self.now_s += PERIOD_S
            for guid, used in cores.items():
                self.taken[guid] += int(used * SECOND_NS * PERIOD_S)

    @property
    def factors(self) -> dict[str, int]:
        return {guid: one.factor for guid, one in self.standings.items()}

    @property
    def places(self) -> dict[str, tuple[int, ...]]:
        return {guid: one.processors for guid, one in self.standings.items()}

    @property
    def turns(self) -> dict[str, int]:
        return {guid: one.turn_ns for guid, one in self.standings.items()}


def test_at_first_each_counts_for_what_it_is_whatever_it_took_before() -> None:
    host = Host()
    host.pass_s(PERIOD_S)
    assert host.factors == {"light": 1, "heavy": 1}
    assert host.places == {"light": BOTH, "heavy": BOTH}
    assert host.turns == {"light": LONG_TURN_NS, "heavy": LONG_TURN_NS}


def test_who_took_a_small_part_of_its_share_counts_for_more_and_who_took_it_all_does_not() -> None:
    host = Host()
    host.pass_s(60, light=0.1, heavy=0.9)
    assert host.factors == {"light": 8, "heavy": 1}
    assert host.turns == {"light": SHORT_TURN_NS, "heavy": LONG_TURN_NS}


def test_there_is_an_end_to_it() -> None:
    host = Host()
    host.pass_s(100, light=0.0, heavy=2.0)
    assert host.factors == {"light": MOST, "heavy": 1}


def test_who_takes_much_keeps_off_a_processor_and_who_takes_little_keeps_to_it() -> None:
    host = Host()
    host.pass_s(60, light=0.1, heavy=0.9)
    assert host.places == {"light": (1,), "heavy": (0,)}


def test_the_platforms_own_work_keeps_off_them_while_somebody_uses_who_takes_little_and_another_computes() -> None:
    host = Host()
    host.pass_s(60, light=0.01, heavy=0.9)
    assert host.fairness.own == (0,)
    host.pass_s(60, light=0.0, heavy=0.9)
    assert host.fairness.own == BOTH, "nobody uses it"
    assert host.places == {"light": (1,), "heavy": (0,)}
    host.pass_s(60, light=0.01, heavy=0.01)
    assert host.fairness.own == BOTH, "nobody is in the way"
    host.pass_s(60, light=0.9, heavy=0.9)
    assert host.fairness.own == BOTH, "nobody takes little"


def test_of_eight_processors_two_are_kept_free() -> None:
    host = Host(tuple(range(8)))
    host.pass_s(60, light=0.1, heavy=4.0)
    assert host.places == {"light": (6, 7), "heavy": tuple(range(6))}


def test_an_operator_can_let_all_run_everywhere() -> None:
    host = Host(free_percent=0)
    host.pass_s(60, light=0.1, heavy=0.9)
    assert host.places == {"light": BOTH, "heavy": BOTH}
    assert host.fairness.own == BOTH
    assert host.factors == {"light": 8, "heavy": 1}


def test_all_processors_are_for_all_where_nobody_takes_little() -> None:
    host = Host()
    host.pass_s(60, light=0.9, heavy=0.9)
    assert host.places == {"light": BOTH, "heavy": BOTH}


def test_those_who_take_little_have_all_processors_when_the_free_ones_are_no_longer_enough_for_them() -> None:
    host = Host(tuple(range(4)))
    host.pass_s(60, light=0.65, heavy=0.7)
    assert host.factors == {"light": 2, "heavy": 2}
    assert host.places == {"light": (0, 1, 2, 3), "heavy": (0, 1, 2, 3)}


def test_those_who_take_the_least_keep_to_the_free_ones_while_others_who_take_little_have_all() -> None:
    host = Host(tuple(range(4)))
    host.pass_s(60, light=0.1, heavy=0.55)
    assert host.factors == {"light": 16, "heavy": 2}
    assert host.places == {"light": (3,), "heavy": (0, 1, 2, 3)}
    host.pass_s(60, light=0.55, heavy=0.1)
    assert host.places == {"light": (0, 1, 2, 3), "heavy": (3,)}


def test_beside_many_idle_ones_who_answers_a_few_requests_is_not_one_of_those_who_compute() -> None:
    host = Host(idle=38)
    host.pass_s(60, light=0.08, heavy=0.25)
    assert (host.places["light"], host.places["heavy"]) == ((1,), (0,))
    assert host.turns["light"] == SHORT_TURN_NS
    assert host.factors["light"] == host.factors["heavy"] == 1, "the share by weight of each is 0.05 of a processor"


def test_a_request_is_no_burst_however_little_all_the_others_do() -> None:
    host = Host(idle=38)
    host.pass_s(60, light=0.001, heavy=0.001)
    host.pass_s(PERIOD_S, light=0.1, heavy=0.0)
    host.pass_s(PERIOD_S, light=0.0, heavy=0.0)
    assert host.places["light"] == (1,)


@pytest.mark.parametrize("host_takes", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("computing", [12, 39])
def test_those_who_compute_are_known_for_it_however_little_each_gets_where_they_are_held(
    computing: int, host_takes: float
) -> None:
    host = Host(idle=38)
    busy = ["heavy", *(f"idle {number}" for number in range(computing - 1))]
    for _ in range(100):
        alone = host.places.get("heavy") == (0,)
        each = (1 if alone else 2) * (1 - host_takes) / computing
        host.pass_s(1, light=0.01, **dict.fromkeys(busy, each))
        assert {host.places[guid] for guid in busy} <= {(0,), BOTH}
        assert {host.turns[guid] for guid in busy} == {LONG_TURN_NS}
    assert (host.places["light"], host.places["heavy"]) == ((1,), (0,))


def test_many_who_begin_to_compute_at_once_are_known_for_it_after_some_seconds() -> None:
    host = Host(idle=38)
    twelve = [f"idle {number}" for number in range(12)]
    host.pass_s(60, heavy=1.0)
    host.pass_s(8, heavy=1 / 13, **dict.fromkeys(twelve, 1 / 13))
    assert {host.places[guid] for guid in twelve} == {(0,)}


def test_who_was_the_greediest_while_nobody_computed_takes_little_some_seconds_after_somebody_does() -> None:
    host = Host(idle=38)
    host.pass_s(60, light=0.08)
    assert host.turns["light"] == LONG_TURN_NS
    host.pass_s(9, light=0.08, heavy=0.5)
    assert (host.places["light"], host.places["heavy"]) == ((1,), (0,))


def test_who_is_on_the_free_ones_does_not_come_and_go_at_the_edge_of_the_room_there_is() -> None:
    host = Host(idle=6)
    six = [f"idle {number}" for number in range(6)]
    host.pass_s(60, light=0.07, heavy=0.6, **dict.fromkeys(six, 0.07))
    assert {host.places[guid] for guid in ("light", *six)} == {(1,)}
    host.pass_s(20, light=0.075, heavy=0.6, **dict.fromkeys(six, 0.075))
    assert {host.places[guid] for guid in ("light", *six)} == {(1,)}
    host.pass_s(30, light=0.1, heavy=0.6, **dict.fromkeys(six, 0.1))
    assert [host.places[guid] for guid in six].count(BOTH) == 1


def test_one_processor_is_for_all_and_nobody_is_sent_anywhere_where_it_is_not_known_which_there_are() -> None:
    for processors in ((0,), ()):
        host = Host(processors)
        host.pass_s(60, light=0.01, heavy=0.9)
        assert host.places == {"light": processors, "heavy": processors}
        assert host.factors["light"] == MOST


def test_who_begins_to_take_much_counts_for_what_it_is_at_once_and_is_trusted_again_slowly() -> None:
    host = Host()
    host.pass_s(100, light=0.01, heavy=1.0)
    host.pass_s(2 * PERIOD_S, light=2.0, heavy=1.0)
    assert host.factors["light"] == 1
    host.pass_s(2, light=0.01, heavy=1.0)
    assert host.factors["light"] < MOST
    host.pass_s(60, light=0.01, heavy=1.0)
    assert host.factors["light"] == MOST


def test_who_is_gone_is_forgotten_and_the_others_share_what_it_had() -> None:
    host = Host()
    host.pass_s(60, light=0.1, heavy=0.9)
    del host.taken["heavy"]
    host.pass_s(20, light=0.1)
    assert host.factors == {"light": MOST}, "its share is two processors now"
    assert host.places == {"light": (1,)}
