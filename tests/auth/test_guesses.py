"""Who guesses has to wait; whose name it is goes on."""

import msgspec
import pytest

from paasd.auth.guesses import Guesses
from paasd.config import AuthConfig

CONFIG = AuthConfig()
HOME, OFFICE, STRANGER = "198.51.100.1", "203.0.113.1", "192.0.2.1"
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def guesses(**changes: float) -> Guesses:
    return Guesses(msgspec.structs.replace(CONFIG, **changes))


def guess_from(found: Guesses, source: str, until: float, now: float = 0.0) -> int:
    """As many wrong passwords as somebody gets counted who tries whenever that may be."""
    count = 0
    while now < until:
        wait_s = found.wait_s("ada", source, now)
        if wait_s:
            now += wait_s
            continue
        found.failed("ada", source, now)
        count, now = count + 1, now + 0.1
    return count


def test_a_stranger_who_guesses_for_days_keeps_nobody_out_elsewhere() -> None:
    found, now = guesses(), 0.0
    for _ in range(2000):
        now += found.wait_s("ada", STRANGER, now) + 1.0
        found.failed("ada", STRANGER, now)
        assert found.wait_s("ada", HOME, now) == 0.0, f"after {now:.0f} s"
    assert now > 6 * DAY_S
    assert found.wait_s("ada", STRANGER, now) > 200
    assert found.wait_s("bob", HOME, now) == 0.0


def test_one_source_has_a_guess_in_five_minutes_in_the_long_run() -> None:
    assert guess_from(guesses(), STRANGER, 10 * DAY_S) <= 10 * 288 + 20


def test_many_sources_together_have_forty_guesses_an_hour_in_the_long_run() -> None:
    found, total, now = guesses(), 0, 0.0
    while now < 8 * HOUR_S:
        for number in range(30):
            source = f"source-{number}"
            if found.wait_s("ada", source, now) == 0.0:
                found.failed("ada", source, now)
                total += 1
        now += 20.0
    assert 8 * 12 < total <= CONFIG.login_name_failures + 8 * 40


@pytest.mark.parametrize("known", [True, False])
def test_who_was_there_before_is_not_held_up_by_guesses_from_everywhere(known: bool) -> None:
    found = guesses()
    if known:
        found.seen("ada", HOME, 0.0)
    for number in range(1000):
        found.failed("ada", f"source-{number}", 1.0)
    assert (found.wait_s("ada", HOME, 1.0) == 0.0) is known
    assert found.wait_s("ada", OFFICE, 1.0) > 0


@pytest.mark.parametrize(("other", "same"), [("ÄNN", True), ("änn", False)])
def test_names_are_one_as_far_as_the_table_of_users_says_so(other: str, same: bool) -> None:
    """Nobody whose name differs from another's is a known face where that one's password is guessed."""
    found = guesses()
    for number in range(1000):
        found.failed("Änn", f"source-{number}", 0.0)
    found.seen(other, HOME, 0.0)
    assert (found.wait_s("Änn", HOME, 0.0) == 0.0) is same


def test_who_was_there_before_waits_for_wrong_passwords_of_their_own() -> None:
    found = guesses()
    found.seen("ada", HOME, 0.0)
    for _ in range(CONFIG.login_failures):
        found.failed("ada", HOME, 1.0)
    assert found.wait_s("ada", HOME, 1.0) > 0
    assert guess_from(found, HOME, DAY_S) <= 288 + 20


def test_a_source_is_no_longer_known_after_a_month_of_silence() -> None:
    found = guesses()
    found.seen("ada", HOME, 0.0)
    found.seen("ada", OFFICE, 5 * DAY_S)
    now = 31 * DAY_S
    for number in range(1000):
        found.failed("ada", f"source-{number}", now)
    assert found.wait_s("ada", HOME, now) > 0
    assert found.wait_s("ada", OFFICE, now) == 0.0


def test_one_who_comes_from_everywhere_makes_nobody_else_unknown() -> None:
    found = guesses(login_known_sources=4)
    found.seen("ada", HOME, 0.0)
    for number in range(1000):
        found.seen("mallory", f"source-{number}", 0.0)
    for number in range(3):
        found.seen("ada", f"source-{number}", 0.0)
    for number in range(1000):
        found.failed("ada", f"other-{number}", 1.0)
    assert found.wait_s("ada", HOME, 1.0) == 0.0
    found.seen("ada", "one-more", 1.0)
    assert found.wait_s("ada", HOME, 1.0) > 0, "of a name only so many are remembered"


def test_the_right_password_makes_up_for_wrong_ones_from_there_and_not_from_elsewhere() -> None:
    found = guesses(login_failures=3)
    for source in (HOME, STRANGER):
        for _ in range(3):
            found.failed("ada", source, 0.0)
    found.succeeded("ada", HOME, 0.0)
    assert found.wait_s("ada", HOME, 0.0) == 0.0
    assert found.wait_s("ada", STRANGER, 0.0) > 0


def test_wrong_passwords_are_forgotten_in_time() -> None:
    found = guesses()
    for _ in range(CONFIG.login_failures + 3):
        found.failed("ada", STRANGER, 0.0)
    now = 3 * CONFIG.login_forget_s
    found.failed("ada", STRANGER, now)
    assert found.wait_s("ada", STRANGER, now) == 0.0


def test_a_source_that_tries_many_names_waits_for_all() -> None:
    found = guesses()
    for number in range(CONFIG.login_failures * 10):
        found.failed(f"name-{number}", STRANGER, 0.0)
    assert found.wait_s("ada", STRANGER, 0.0) > 0
    assert found.wait_s("ada", HOME, 0.0) == 0.0


def test_of_many_names_only_some_are_remembered() -> None:
    found = guesses(throttle_entries=16)
    for number in range(1000):
        found.seen(f"name-{number}", HOME, 0.0)
    assert found.remembered <= 16
