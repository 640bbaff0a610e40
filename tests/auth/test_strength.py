"""Passwords: long ones that nobody tries first."""

import pytest

from paasd.auth.strength import LONGEST, SHORTEST, why_weak


@pytest.mark.parametrize(
    "password",
    [
        "four words nobody says",
        "Tr0ub4dor&3-and-more",
        "ζωή και θάλασσα",
        "jk2-4Hs_91kLq0",
        "password manager of my aunt",
        "x" * 20 + "correct staple",
        "a quiet harbour town 1234567890",
    ],
)
def test_good_ones_pass(password: str) -> None:
    assert why_weak(password, "ada") is None


@pytest.mark.parametrize(
    ("password", "word"),
    [
        ("", "at least 12"),
        ("short-one", "at least 12"),
        ("x" * (SHORTEST - 1), "at least 12"),
        ("a b c d e f g" * 30, "at most 255"),
        ("aaaaaaaaaaaaaaaa", "repeats"),
        ("abababababababab", "repeats"),
        ("123456789012", "row of keys"),
        ("qwertyuiopas", "row of keys"),
        ("zyxwvutsrqponm", "row of keys"),
        ("Password2026!", "tried first"),
        ("P@ssw0rd!!2026", "tried first"),
        ("passwordpassword", "tried first"),
        ("correct horse battery staple", "tried first"),
        ("welcome-welcome-1", "tried first"),
        ("ada.lovelace.1", "user name"),
    ],
)
def test_weak_ones_are_refused_with_the_reason(password: str, word: str) -> None:
    why = why_weak(password, "ada.lovelace@example.org")
    assert why is not None
    assert word in why


def test_the_limits_are_inclusive() -> None:
    letters = "many different letters in a row of words, " * 10
    assert why_weak(letters[:LONGEST], "ada") is None
    assert why_weak(letters[: LONGEST + 1], "ada") is not None
