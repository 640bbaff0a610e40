"""Tokens survive copying, and are refused in words when they were not copied well."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paasd.membership.tokens import BadToken, Token, new_token, parse_token, secret_hash

PIN = "0123456789abcdef" * 4
TOKEN = new_token("control", PIN, (("192.0.2.1", 7400), ("node.example.com", 7400), ("2001:db8::1", 17400)))


def test_a_token_says_what_it_was_made_of() -> None:
    assert parse_token(TOKEN.text()) == TOKEN
    assert parse_token("  " + TOKEN.text()[:50] + "\n  " + TOKEN.text()[50:] + "\n") == TOKEN
    assert TOKEN.text().startswith(f"paasd1-control-{TOKEN.id}-{TOKEN.secret}-{PIN}-")
    assert re.fullmatch(r"[a-z0-9-]+", TOKEN.text())


def test_secrets_differ_and_have_128_bits() -> None:
    made = [new_token("worker", PIN, TOKEN.endpoints) for _ in range(50)]
    assert len({token.secret for token in made}) == len({token.id for token in made}) == 50
    assert all(len(token.secret) * 5 >= 128 for token in made)


def test_of_a_secret_only_a_hash_is_kept() -> None:
    stored = secret_hash(TOKEN.secret)
    assert TOKEN.secret not in stored
    assert secret_hash(TOKEN.secret) == stored
    assert secret_hash(TOKEN.secret[:-1] + ("a" if TOKEN.secret[-1] != "a" else "b")) != stored


@given(st.integers(0, len(TOKEN.text()) - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789-"))
def test_every_typing_error_of_one_character_is_found(place: int, character: str) -> None:
    text = TOKEN.text()
    assume(text[place] != character)
    with pytest.raises(BadToken):
        parse_token(text[:place] + character + text[place + 1 :])


@given(st.integers(1, len(TOKEN.text()) - 1))
def test_a_token_that_was_cut_off_is_found(length: int) -> None:
    with pytest.raises(BadToken):
        parse_token(TOKEN.text()[:length])


@given(st.text())
def test_anything_else_is_no_token(text: str) -> None:
    with pytest.raises(BadToken):
        parse_token(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello", "this is no join token"),
        (TOKEN.text().replace("paasd1", "paasd2"), "of a newer paasd"),
        (TOKEN.text()[:-1], "mistyped or cut off"),
        (TOKEN.text().replace("control", "worker"), "mistyped or cut off"),
    ],
)
def test_each_mistake_has_words_of_its_own(text: str, says: str) -> None:
    with pytest.raises(BadToken, match=says):
        parse_token(text)


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z0-9.:-]{1,60}", fullmatch=True), st.integers(1, 65535)), min_size=1, max_size=3
    )
)
def test_endpoints_of_all_kinds_come_back(endpoints: list[tuple[str, int]]) -> None:
    made = Token(role="worker", id=TOKEN.id, secret=TOKEN.secret, pin=PIN, endpoints=tuple(endpoints))
    assert parse_token(made.text()).endpoints == tuple(endpoints)
