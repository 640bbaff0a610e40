"""None"""

from itertools import pairwise
from math import inf

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from paasd.model import HealthCheck
from paasd.supervisor.events import (
    Destroy,
    Destroyed,
    Exited,
    Finish,
    Kill,
    Launch,
    Launched,
    LaunchFailed,
    Leave,
    Left,
    Message,
    Observe,
    Probe,
    Probed,
    ReportCrash,
    SendTerm,
    StopRequested,
)
from paasd.supervisor.lifecycle import Past
from paasd.supervisor.probing import Checks
from paasd.supervisor.texts import Ending
from tests.supervisor.virtual import PORT, PROCESS, READY, REFUSED, World


def test_a_healthy_start_is_published_once_the_first_probe_passes() -> None:
    world = World()
    assert world.begin() == [Observe("STARTING"), Launch()]
    assert world.tell(Launched()) == [Probe("start")]
    assert world.tell(Probed("start", REFUSED)) == []
    world.sleep()
    assert world.tell(Probed("start")) == [Observe("RUNNING", routable=True)]
    assert "Container became healthy" in world.said


def test_probes_are_eager_for_two_seconds_then_every_two_until_the_timeout() -> None:
    world = World()
    world.begin()
    world.tell(Launched())
    for _ in range(500):
        if world.core.phase != "starting":
            break
        world.tell(Probed("start", REFUSED))
        world.sleep()
    sent = [at for at, effect in world.seen if isinstance(effect, Probe)]
    gaps = [round(later - earlier, 6) for earlier, later in pairwise(sent)]
    assert gaps[:39] == [0.05] * 39
    assert set(gaps[41:]) == {2.0}
    details = f"Instance never healthy after 1m0s: {REFUSED}"
    assert world.seen[-2:] == [(60.0, Observe("STOPPING", details=details)), (60.0, SendTerm())]


def test_a_process_may_ask_for_more_or_less_time_to_start_up_to_the_platforms_limit() -> None:
    for wanted, expected in ((5, 5.0), (300, 300.0), (10_000, 600.0)):
        world = World(msgspec.structs.replace(PORT, health=HealthCheck(timeout_s=wanted)))
        world.begin()
        world.tell(Launched())
        while world.core.phase == "starting":
            world.tell(Probed("start", REFUSED))
            world.sleep()
        assert world.seen[-1] == (expected, SendTerm())


def test_a_probe_that_never_answers_does_not_save_an_instance() -> None:
    world = World()
    world.begin()
    world.tell(Launched())
    world.sleep()
    assert world.seen[-1] == (60.0, SendTerm())


def test_a_never_healthy_instance_counts_as_crashed_with_the_reason_not_with_its_status() -> None:
    world = World()
    world.begin()
    world.tell(Launched())
    world.tell(Probed("start", REFUSED))
    while world.core.phase == "starting":
        world.sleep()
        world.tell(Probed("start", REFUSED))
    crash = ReportCrash(f"Instance never healthy after 1m0s: {REFUSED}", 143, 1)
    assert crash in world.tell(Exited(Ending(signal=15)))


def test_liveness_is_checked_every_thirty_seconds_and_one_stall_is_forgiven() -> None:
    world = World().run()
    assert world.sleep() == [Probe("liveness")]
    assert world.seen[-1][0] == 30.0
    world.tell(Probed("liveness"))
    world.sleep()
    assert world.seen[-1] == (60.0, Probe("liveness"))
    world.tell(Probed("liveness", REFUSED))
    world.sleep()
    assert world.seen[-1] == (62.0, Probe("liveness"))
    world.tell(Probed("liveness"))
    world.sleep()
    assert world.seen[-1] == (92.0, Probe("liveness"))
    assert world.core.phase == "running"


def test_an_instance_that_stays_unhealthy_is_ended_politely_then_restarted() -> None:
    world = World().run()
    world.sleep()
    world.tell(Probed("liveness", REFUSED))
    world.sleep()
    details = f"Instance became unhealthy: {REFUSED}"
    assert world.tell(Probed("liveness", REFUSED)) == [Observe("STOPPING", details=details), SendTerm()]
    world.sleep()
    assert world.seen[-1] == (42.0, Kill())
    assert world.tell(Exited(Ending(signal=9))) == [
        Observe("STARTING", details=details),
        ReportCrash(details, 137, 1),
        Destroy(),
    ]
    assert world.tell(Destroyed()) == [Observe("STARTING", details=details), Launch()]


def test_a_stop_takes_it_out_of_the_routes_before_term_and_kills_after_the_grace() -> None:
    world = World().run()
    assert world.tell(StopRequested()) == [Observe("STOPPING"), Leave()]
    assert world.sleep() == [SendTerm()]
    assert world.sleep() == [Kill()]
    assert world.tell(Exited(Ending(signal=9))) == [Destroy()]
    assert world.tell(Destroyed()) == [Finish()]
    times = [at for at, effect in world.seen if isinstance(effect, SendTerm | Kill)]
    assert times == [0.5, 10.5]


def test_routers_that_have_let_go_bring_term_forward_once() -> None:
    world = World(drain_s=2.0).run()
    world.tell(StopRequested())
    assert world.tell(Left()) == [SendTerm()]
    assert world.tell(Left()) == []
    slow = World(drain_s=2.0).run()
    slow.tell(StopRequested())
    assert slow.sleep() == [SendTerm()]
    assert slow.tell(Left()) == []
    assert slow.sleep() == [Kill()]
    assert [at for at, effect in slow.seen if isinstance(effect, SendTerm | Kill)] == [2.0, 12.0]


def test_what_was_superseded_gets_less_time() -> None:
    world = World().run()
    world.tell(StopRequested(grace_s=5.0))
    world.sleep()
    world.sleep()
    assert [at for at, effect in world.seen if isinstance(effect, SendTerm | Kill)] == [0.5, 5.5]


def test_a_stop_while_starting_needs_no_drain_and_a_stop_while_launching_waits_for_the_launch() -> None:
    starting = World()
    starting.begin()
    starting.tell(Launched())
    assert starting.tell(StopRequested()) == [Observe("STOPPING"), SendTerm()]
    launching = World()
    launching.begin()
    assert launching.tell(StopRequested()) == []
    assert launching.tell(Launched()) == [Destroy()]
    assert launching.tell(Destroyed()) == [Finish()]
    failing = World()
    failing.begin()
    failing.tell(StopRequested())
    assert failing.tell(LaunchFailed("no disk")) == [Finish()]


def test_readiness_decides_about_routes_and_never_about_life() -> None:
    world = World(READY)
    world.begin()
    assert world.tell(Launched()) == [Observe("RUNNING", routable=False), Probe("readiness")]
    assert world.tell(Probed("readiness", "503")) == []
    world.sleep()
    assert world.tell(Probed("readiness")) == [Observe("RUNNING", routable=True)]
    world.sleep()
    assert world.seen[-1] == (32.0, Probe("readiness"))
    assert world.tell(Probed("readiness", "503")) == [Observe("RUNNING", routable=False, details="503")]
    for _ in range(5):
        world.sleep()
        assert world.tell(Probed("readiness", "503")) == []
    assert world.core.phase == "running"


def test_an_adopted_healthy_instance_is_routable_before_anything_else() -> None:
    world = World(msgspec.structs.replace(PORT, readiness=HealthCheck(type="http")))
    effects = world.do(world.core.adopt(world.now, Past(started_for_s=100, healthy_for_s=90)))
    assert effects == [Observe("RUNNING", routable=True), Probe("readiness")]
    assert ReportCrash("APP/PROC/WEB: Exited with status 1", 1, 1) in world.tell(Exited(Ending(code=1)))


def test_an_adopted_instance_that_was_starting_has_only_the_rest_of_its_time() -> None:
    world = World()
    world.do(world.core.adopt(world.now, Past(started_for_s=58, healthy_for_s=None)))
    while world.core.phase == "starting":
        world.tell(Probed("start", REFUSED))
        world.sleep()
    assert world.seen[-1] == (2.0, SendTerm())


MESSAGES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                Launched(),
                LaunchFailed("x"),
                Probed("start"),
                Probed("start", "no"),
                Probed("liveness"),
                Probed("liveness", "no"),
                Probed("readiness"),
                Probed("readiness", "no"),
                Exited(Ending(code=1)),
                StopRequested(),
                Destroyed(),
            ]
        ),
        st.floats(0, 100),
        st.just("wake"),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(MESSAGES, st.sampled_from([PORT, PROCESS, READY]))
def test_whatever_happens_there_is_one_container_at_a_time_and_only_a_running_one_is_routable(
    script: list[Message | float | str], checks: Checks
) -> None:
    """Messages arrive as the shell sends them: each launch and destroy is answered once, the rest is anybody's."""
    world = World(checks)
    open_launch, alive, destroying, wanted = False, False, False, True
    effects = world.begin()
    for step in [None, *script]:
        if step is None:
            pass
        elif isinstance(step, float):
            world.now += step
            effects = world.do(world.core.wake(world.now))
        elif step == "wake":
            effects = world.sleep() if world.core.deadline < inf else []
        else:
            assert not isinstance(step, str)
            if isinstance(step, Launched | LaunchFailed) and not open_launch:
                continue
            if isinstance(step, Destroyed) and not destroying:
                continue
            if isinstance(step, Exited) and not alive:
                continue
            open_launch = open_launch and not isinstance(step, Launched | LaunchFailed)
            alive = (alive or isinstance(step, Launched)) and not isinstance(step, Exited)
            destroying = destroying and not isinstance(step, Destroyed)
            wanted = wanted and not isinstance(step, StopRequested)
            effects = world.tell(step)
        for effect in effects:
            match effect:
                case Launch():
                    assert wanted
                    assert not open_launch
                    assert not alive
                    assert not destroying
                    open_launch = True
                case Destroy():
                    assert not destroying
                    destroying, alive = True, False
                case Observe(state, routable, _):
                    assert not routable or (state == "RUNNING" and alive)
                    assert wanted or not routable
                case Finish():
                    assert not wanted
                    assert not alive
                    return
