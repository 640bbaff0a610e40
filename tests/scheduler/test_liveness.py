"""The core that gives nodes up: who may say so, how long it takes, and when too much is lost at once."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from paasd.config import LivenessConfig
from paasd.model.brake import Brake
from paasd.scheduler.brakes import why_brake
from paasd.scheduler.liveness import Accept, Admit, DeclareDead, EngageBrake, Liveness, Member, ReleaseBrake, View

CONFIG = LivenessConfig(dead_after_s=1, dead_after_limit_s=4, flap_grace_s=5, flap_grace_limit_s=60)


def members(zones: str, **changes: str) -> dict[str, Member]:
    """`a1 a2 b1` are three nodes in two zones; `b1="DEAD"` says what state one is in."""
    return {
        name: Member(guid=name, zone=name[0], state=changes.get(name, "READY"), incarnation=7) for name in zones.split()
    }


def view(nodes: Mapping[str, Member], *, brake: Brake | None = None, **reports: str) -> View:
    said = {reporter: frozenset(text.split()) for reporter, text in reports.items()}
    return View(members=nodes, reports=said, brake=brake or Brake())


def test_two_witnesses_are_believed_after_a_while_and_not_before() -> None:
    core = Liveness(CONFIG)
    known = view(members("a1 b1 c1"), a1="c1", b1="c1")
    assert core.receive(10.0, known) == []
    assert core.deadline == 11.0
    assert core.wake(10.9) == []
    assert core.wake(11.0) == [DeclareDead(node_guid="c1", incarnation=7, witnesses=("a1", "b1"))]


def test_a_lone_suspicion_is_never_acted_upon() -> None:
    core = Liveness(CONFIG)
    assert core.receive(10.0, view(members("a1 b1 c1 d1"), a1="c1")) == []
    assert core.wake(1000.0) == []


def test_witnesses_of_the_same_zone_alone_do_not_suffice_while_another_zone_lives() -> None:
    nodes = members("a1 a2 a3 b1")
    core = Liveness(CONFIG)
    assert core.receive(0.0, view(nodes, a2="a1", a3="a1")) == [] and core.wake(100.0) == []
    alone = Liveness(CONFIG)
    alone.receive(0.0, view(members("a1 a2 a3 b1", b1="DEAD"), a2="a1", a3="a1"))
    assert [type(effect) for effect in alone.wake(100.0)] == [DeclareDead]


def test_the_dead_and_the_removed_are_no_witnesses() -> None:
    core = Liveness(CONFIG)
    core.receive(0.0, view(members("a1 b1 c1 d1", d1="DEAD"), a1="c1", d1="c1", z9="c1"))
    assert core.wake(100.0) == []


def test_one_that_answers_again_in_time_is_spared() -> None:
    core = Liveness(CONFIG)
    nodes = members("a1 b1 c1")
    core.receive(0.0, view(nodes, a1="c1", b1="c1"))
    core.receive(0.5, view(nodes, a1="c1"))
    assert core.receive(0.9, view(nodes, a1="c1", b1="c1")) == []
    assert core.wake(1.5) == []
    assert len(core.wake(1.9)) == 1


def test_each_further_loss_starts_the_wait_anew_up_to_a_limit() -> None:
    nodes = members("a1 a2 b1 b2 c1 c2 d1 d2 e1 e2")
    core = Liveness(CONFIG)
    core.receive(0.0, view(nodes, a1="e1", b1="e1"))
    core.receive(0.9, view(nodes, a1="e1 e2", b1="e1 e2"))
    assert core.wake(1.5) == []
    assert len(core.wake(1.9)) == 2
    stubborn = Liveness(CONFIG)
    for step in range(4):
        lost = " ".join(["e1", "e2", "d1", "d2"][: step + 1])
        stubborn.receive(step * 0.99, view(nodes, a1=lost, b1=lost))
    assert stubborn.deadline <= 4.0


@pytest.mark.parametrize("doubt", ["suspected", "reported by one"])
def test_nobody_is_dead_while_others_are_in_doubt_up_to_a_limit(doubt: str) -> None:
    nodes = members("a1 a2 b1 b2")
    lost = view(nodes, a1="b1", a2="b1" if doubt == "suspected" else "b1 b2")
    if doubt == "suspected":
        lost = replace(lost, suspects=frozenset({"b2"}))
    core = Liveness(CONFIG)
    assert core.receive(0.0, lost) == [] and core.wake(3.9) == []
    assert [type(effect) for effect in core.wake(4.0)] == [DeclareDead]
    cleared = Liveness(CONFIG)
    cleared.receive(0.0, lost)
    assert [type(effect) for effect in cleared.receive(2.0, view(nodes, a1="b1", a2="b1"))] == [DeclareDead]
    worse = Liveness(CONFIG)
    worse.receive(0.0, lost)
    assert worse.receive(2.0, view(nodes, a1="b1 b2", a2="b1 b2")) == []
    assert [type(effect) for effect in worse.wake(3.0)] == [EngageBrake]


def test_the_brake_is_engaged_instead_and_nobody_is_declared_dead() -> None:
    core = Liveness(CONFIG)
    nodes = members("a1 a2 b1 b2")
    lost = view(nodes, a1="b1 b2", a2="b1 b2")
    core.receive(0.0, lost)
    [effect] = core.wake(1.0)
    assert isinstance(effect, EngageBrake) and effect.nodes == ("b1", "b2")
    engaged = Brake(engaged=True, nodes=("b1", "b2"))
    assert core.receive(2.0, replace(lost, brake=engaged)) == []
    assert core.wake(1000.0) == []
    rest = view(nodes, a1="b1", a2="b1")
    assert core.receive(1001.0, replace(rest, brake=engaged)) == [ReleaseBrake()]
    assert core.receive(1002.0, rest) == [] and core.wake(1002.9) == [], "the rest has time to come back, too"
    assert [type(effect) for effect in core.wake(1003.0)] == [DeclareDead]


def test_a_loss_that_an_operator_accepted_is_carried_out_and_counts_again_after_the_return() -> None:
    core = Liveness(CONFIG)
    nodes = members("a1 a2 b1 b2")
    accepted = Brake(accepted=("b1", "b2"))
    core.receive(0.0, view(nodes, brake=accepted, a1="b1 b2", a2="b1 b2"))
    assert [type(one) for one in core.wake(1.0)] == [DeclareDead, DeclareDead]
    dead = members("a1 a2 b1 b2", b1="DEAD", b2="DEAD")
    assert core.receive(2.0, view(dead, brake=accepted)) == []
    half = members("a1 a2 b1 b2", b1="RETURNING", b2="DEAD")
    assert Accept(nodes=("b2",)) in core.receive(3.0, view(half, brake=accepted))


def test_deaths_within_a_minute_add_up_and_older_ones_are_forgotten() -> None:
    def after(seconds: float) -> list[object]:
        core = Liveness(CONFIG)
        core.receive(0.0, view(members("a1 a2 b1 b2"), a1="b1", a2="b1"))
        dead = members("a1 a2 b1 b2", b1="DEAD")
        core.receive(1.0, view(dead))
        core.receive(seconds, view(dead, a1="b2", a2="b2"))
        return [type(effect) for effect in core.wake(seconds + 1.0)]

    assert after(30.0) == [EngageBrake]
    assert after(70.0) == [DeclareDead]


def test_a_loss_that_could_not_be_written_down_for_long_is_still_one_loss() -> None:
    core = Liveness(CONFIG)
    core.receive(0.0, view(members("a1 a2 b1 b2"), a1="b1 b2", a2="b1 b2"))
    assert [type(effect) for effect in core.wake(600.0)] == [EngageBrake]


def test_the_grace_of_a_return_doubles_with_every_death_of_the_hour() -> None:
    def admitted_after(deaths: int) -> float:
        core = Liveness(CONFIG)
        nodes = members("a1 b1 c1", c1="RETURNING")
        nodes["c1"] = replace(nodes["c1"], deaths=deaths)
        assert core.receive(100.0, view(nodes)) == []
        at = core.deadline
        assert core.wake(at) == [Admit(node_guid="c1", incarnation=7)]
        return at - 100.0

    assert [admitted_after(deaths) for deaths in (1, 2, 3, 9)] == [5, 10, 20, 60]


def test_a_return_under_another_incarnation_begins_its_grace_anew() -> None:
    core = Liveness(CONFIG)
    nodes = members("a1 b1 c1", c1="RETURNING")
    core.receive(0.0, view(nodes))
    nodes["c1"] = replace(nodes["c1"], incarnation=8)
    assert core.receive(4.0, view(nodes)) == []
    assert core.wake(5.0) == []
    assert core.wake(9.0) == [Admit(node_guid="c1", incarnation=8)]


@pytest.mark.parametrize(
    ("nodes", "lost", "brake"),
    [
        ("a1 b1 c1", "c1", False),
        ("a1 b1 c1", "b1 c1", True),
        ("a1 a2 b1 b2", "b1", False),
        ("a1 a2 b1 b2", "b1 b2", True),  # one of two zones is half of everything
        ("a1 a2 b1 b2 c1 c2", "c1 c2", False),
        ("a1 a2 a3 b1 b2 b3 c1 c2 c3", "c1", False),
        ("a1 a2 a3 b1 b2 b3 c1 c2 c3", "c1 c2", True),  # part of a zone: it is not the zone that is lost
        ("a1 a2 a3 b1 b2 b3 c1 c2 c3", "c1 c2 c3", False),  # a whole zone of three
        ("a1 a2 a3 b1 b2 b3 c1 c2 c3", "b1 c1", False),
        ("a1 a2 a3 b1 b2 b3 c1 c2 c3", "b1 c1 c2 c3", False),
        ("a1 a2 a3 b1 b2 b3 c1 c2 c3", "b1 b2 c1 c2 c3", True),
        ("a1 a2 a3 a4 a5 a6 b1 b2 b3", "b1 b2 b3", True),  # a whole zone, but of two
        ("a1 a2 a3", "a1", False),
        ("a1 a2 a3 a4 a5", "a1 a2", True),
        ("a1", "", False),
    ],
)
def test_what_is_too_much_at_once(nodes: str, lost: str, brake: bool) -> None:
    zones = {name: name[0] for name in nodes.split()}
    assert (why_brake(zones, lost.split()) is not None) is brake
