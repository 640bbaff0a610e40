"""How an instance that ended is begun again, when it is left down, and with which words."""

from math import inf

import pytest

from paasd.supervisor.events import (
    Destroyed,
    Exited,
    Finish,
    Launch,
    Launched,
    LaunchFailed,
    Observe,
    Probed,
    ReportCrash,
    StopRequested,
)
from paasd.supervisor.texts import Ending
from tests.supervisor.virtual import CONFIG, PROCESS, REFUSED, World


def test_three_crashes_restart_at_once_then_the_wait_doubles_up_to_its_limit() -> None:
    world = World(PROCESS)
    world.begin()
    waits = []
    for _ in range(12):
        world.tell(Launched())
        world.tell(Exited(Ending(code=1)))
        before = world.now
        if Launch() not in world.tell(Destroyed()):
            assert world.core.phase == "waiting"
            world.sleep()
        waits.append(round(world.now - before, 6))
    assert waits == [0, 0, 0, 30, 60, 120, 240, 480, 960, 960, 960, 960]
    states = [effect.state for _, effect in world.seen if isinstance(effect, Observe)]
    assert states.count("CRASHED") == 9


def test_after_two_hundred_crashes_it_stays_down_and_can_still_be_stopped() -> None:
    world = World(PROCESS, crash_count=199)
    world.begin()
    world.tell(Launched())
    world.tell(Exited(Ending(code=1)))
    world.tell(Destroyed())
    assert world.core.deadline == inf
    assert world.tell(StopRequested()) == [Finish()]


def test_a_new_daemon_goes_on_with_the_back_off_of_the_last() -> None:
    world = World(PROCESS, crash_count=5)
    assert world.do(world.core.begin(world.now, 20.0, "fell")) == [Observe("CRASHED", details="fell")]
    assert world.sleep() == [Observe("STARTING", details="fell"), Launch()]
    assert world.now == 1040.0
    overdue = World(PROCESS, crash_count=5)
    assert Launch() in overdue.do(overdue.core.begin(overdue.now, 61.0, "fell"))


def test_a_long_good_run_forgives_earlier_crashes() -> None:
    world = World(PROCESS, crash_count=7)
    world.begin()
    world.tell(Launched())
    world.now += CONFIG.crash_forgiven_s
    assert ReportCrash("APP/PROC/WEB: Exited with status 1", 1, 1) in world.tell(Exited(Ending(code=1)))
    assert Launch() in world.tell(Destroyed())


def test_a_long_good_run_forgives_earlier_crashes_also_when_ill_health_ends_it() -> None:
    world = World(crash_count=7).run()
    world.now += CONFIG.crash_forgiven_s
    world.do(world.core.wake(world.now))
    for _ in range(2):
        world.tell(Probed("liveness", REFUSED))
        world.sleep()
    assert world.core.phase == "ending"
    details = f"Instance became unhealthy: {REFUSED}"
    assert ReportCrash(details, 137, 1) in world.tell(Exited(Ending(signal=9)))
    world.tell(Destroyed())
    world.tell(Launched())
    world.now += CONFIG.crash_forgiven_s
    effects = world.tell(Exited(Ending(code=1)))
    assert ReportCrash("APP/PROC/WEB: Exited with status 1", 1, 2) in effects, "it was not healthy this time"


@pytest.mark.parametrize(
    ("ending", "text", "code"),
    [
        (Ending(code=0), "Exited with status 0", 0),
        (Ending(code=42), "Exited with status 42", 42),
        (Ending(signal=11), "Exited with status 139", 139),
        (Ending(signal=9, out_of_memory=True), "Exited with status 137 (out of memory)", 137),
        (Ending(), "Exited with status unknown (the process that watched it was lost)", 255),
    ],
)
def test_exit_reasons_have_cloud_foundrys_words(ending: Ending, text: str, code: int) -> None:
    world = World(PROCESS)
    world.run()
    assert ReportCrash(f"APP/PROC/WEB: {text}", code, 1) in world.tell(Exited(ending))
    assert text.replace("Exited with", "Exit") in world.said


def test_a_failed_launch_is_shown_with_its_reason_and_tried_again() -> None:
    world = World()
    world.begin()
    effects = world.tell(LaunchFailed("no space for the disk"))
    assert effects[-1] == Launch()
    assert world.core.crash_count == 1
    assert any("no space for the disk" in line for line in world.said)
