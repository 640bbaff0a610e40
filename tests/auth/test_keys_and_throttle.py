"""Pure parts: when keys are made and retired, how long guessers wait."""

import tracemalloc

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from paasd.auth.keys import expired, next_key, signing_row
from paasd.auth.throttle import Throttle
from paasd.config import AuthConfig
from paasd.model import SigningKey

CONFIG = AuthConfig(key_publish_s=600, key_rotate_s=7200, refresh_token_s=30 * 86400)


def row(kid: str, active_from: int, expires_at: int) -> SigningKey:
    return SigningKey(
        guid=kid,
        created_at="",
        kid=kid,
        sealed_private="",
        public_jwk={},
        active_from=active_from,
        expires_at=expires_at,
    )


@given(st.lists(st.integers(60, 600), min_size=1, max_size=600))
def test_keys_are_published_before_they_sign_and_until_their_last_token_is_dead(pauses: list[int]) -> None:
    now, rows, seen = 1_000_000, [], {}
    for number, pause in enumerate(pauses):
        made = next_key(CONFIG, rows, now)
        if made is not None:
            rows.append(row(f"k{number}", made.active_from, made.expires_at))
            seen[f"k{number}"] = now
        rows = [one for one in rows if one not in expired(rows, now)]
        signing = signing_row(rows, now)
        assert signing is not None
        first = min(seen, key=lambda kid: seen[kid])
        assert signing.kid == first or now - seen[signing.kid] >= CONFIG.key_publish_s
        # A refresh token signed now must be verifiable for its whole life.
        assert signing.expires_at >= now + CONFIG.refresh_token_s
        now += pause


@given(st.integers(7800, 365 * 86400))
def test_after_any_time_away_the_platform_signs_at_once_and_for_whole_lives(away_s: int) -> None:
    start = 1_000_000
    made = next_key(CONFIG, [], start)
    assert made is not None
    rows = [row("before", made.active_from, made.expires_at)]
    now = start + away_s
    made = next_key(CONFIG, rows, now)
    if made is not None:
        rows.append(row("after", made.active_from, made.expires_at))
    rows = [one for one in rows if one not in expired(rows, now)]
    signing = signing_row(rows, now)
    assert signing is not None
    assert signing.expires_at >= now + CONFIG.refresh_token_s
    made = next_key(CONFIG, rows, now)
    assert made is None or made.active_from >= now + CONFIG.key_publish_s


def test_a_name_waits_longer_with_every_wrong_password_and_is_forgiven_by_a_right_one() -> None:
    throttle = Throttle(msgspec.structs.replace(CONFIG, login_failures=3, login_wait_s=2.0, login_wait_max_s=10.0))
    waits = []
    for _ in range(7):
        throttle.failed("name/ada", 100.0)
        waits.append(throttle.wait_s("name/ada", 100.0))
    assert waits == [0.0, 0.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert throttle.wait_s("name/bob", 100.0) == 0.0
    assert throttle.wait_s("name/ada", 110.0) == 0.0
    throttle.succeeded("name/ada")
    throttle.failed("name/ada", 200.0)
    assert throttle.wait_s("name/ada", 200.0) == 0.0


def test_a_name_of_a_megabyte_costs_no_more_than_another() -> None:
    throttle = Throttle(msgspec.structs.replace(CONFIG, login_failures=1))
    tracemalloc.start()
    try:
        for number in range(20):
            throttle.failed(f"name/{number}" + "x" * 1_000_000, 0.0)
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 100_000
    assert throttle.wait_s("name/7" + "x" * 1_000_000, 0.0) > 0


def test_the_throttle_remembers_a_bounded_number_of_names() -> None:
    throttle = Throttle(msgspec.structs.replace(CONFIG, login_failures=1, throttle_entries=16))
    throttle.failed("first", 0.0)
    assert throttle.wait_s("first", 0.0) > 0
    for number in range(16):
        throttle.failed(f"name/{number}", 0.0)
    assert throttle.wait_s("first", 0.0) == 0.0
