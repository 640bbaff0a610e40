"""Who takes little counts for more, and only as long as it takes little."""

from paasd.sandbox.fairness import MOST, PERIOD_S, Fairness

WEIGHTS = {"light": 25, "heavy": 25}
SECOND_NS = 1_000_000_000


class Host:
    """Two containers on two processors: the share of each is one of them."""

    def __init__(self) -> None:
        self.fairness = Fairness(2)
        self.taken = dict.fromkeys(WEIGHTS, 5 * SECOND_NS)
        self.factors: dict[str, int] = {}
        self.now_s = 100.0

    def pass_periods(self, count: int, **cores: float) -> None:
        for _ in range(count):
            self.factors |= self.fairness.measure(self.taken, WEIGHTS, self.now_s)
            self.now_s += PERIOD_S
            for guid, used in cores.items():
                self.taken[guid] += int(used * SECOND_NS * PERIOD_S)


def test_at_first_each_counts_for_what_it_is_whatever_it_took_before() -> None:
    host = Host()
    host.pass_periods(1)
    assert host.factors == {"light": 1, "heavy": 1}


def test_who_took_a_small_part_of_its_share_counts_for_more_and_who_took_it_all_does_not() -> None:
    host = Host()
    host.pass_periods(60, light=0.1, heavy=0.9)
    assert host.factors == {"light": 8, "heavy": 1}


def test_there_is_an_end_to_it() -> None:
    host = Host()
    host.pass_periods(100, light=0.0, heavy=2.0)
    assert host.factors == {"light": MOST, "heavy": 1}


def test_who_begins_to_take_much_counts_for_what_it_is_at_once_and_is_trusted_again_slowly() -> None:
    host = Host()
    host.pass_periods(100, light=0.01, heavy=1.0)
    host.pass_periods(2, light=1.0, heavy=1.0)
    assert host.factors["light"] == 1
    host.pass_periods(3, light=0.01, heavy=1.0)
    assert host.factors["light"] < MOST
    host.pass_periods(60, light=0.01, heavy=1.0)
    assert host.factors["light"] == MOST


def test_nothing_is_said_as_long_as_nothing_changes() -> None:
    host = Host()
    host.pass_periods(100, light=0.1, heavy=1.0)
    host.factors.clear()
    host.pass_periods(20, light=0.1, heavy=1.0)
    assert host.factors == {}


def test_who_is_gone_is_forgotten_and_the_others_share_what_it_had() -> None:
    host = Host()
    host.pass_periods(60, light=0.1, heavy=0.9)
    del host.taken["heavy"]
    host.pass_periods(2, light=0.1)
    assert host.factors["light"] == MOST, "its share is two processors now"
