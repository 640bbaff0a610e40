"""What an ID token has to say: each claim alone makes it unbelieved. Signatures: tests/api/test_oidc.py."""

from typing import Any

import pytest

from paasd.auth.id_tokens import ALGORITHMS, Person, person_of, problem_of
from paasd.auth.oidc import Provider
from paasd.config import OidcConfig
from paasd.errors import ConfigError

NOW = 1_800_000_000
CONFIG = OidcConfig(issuer="https://id.example", client_id="paasd")
GOOD: dict[str, Any] = {
    "iss": "https://id.example",
    "aud": "paasd",
    "exp": NOW + 300,
    "iat": NOW,
    "nonce": "n",
    "sub": "s-1",
    "preferred_username": "ada",
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["paasd"]},
        {"aud": ["paasd", "other"], "azp": "paasd"},
        {"azp": "paasd"},
        {"exp": NOW - 59},
        {"iat": NOW + 59},
    ],
)
def test_a_good_one_is_believed(changes: dict[str, Any]) -> None:
    assert problem_of(CONFIG, {**GOOD, **changes}, "n", NOW) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://id.example/"},
        {"iss": None},
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": None},
        {"aud": ["paasd", "other"]},
        {"aud": ["paasd", "other"], "azp": "other"},
        {"azp": "other"},
        {"exp": NOW - 60},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": True},
        {"iat": NOW + 61},
        {"iat": None},
        {"nonce": "m"},
        {"nonce": None},
    ],
)
def test_anything_else_is_not(changes: dict[str, Any]) -> None:
    assert problem_of(CONFIG, {**GOOD, **changes}, "n", NOW) is not None


def test_a_person_has_a_subject_and_a_name_that_can_be_shown() -> None:
    assert person_of(CONFIG, GOOD) == Person(subject="s-1", username="ada")
    for changes in (
        {"sub": ""},
        {"sub": None},
        {"sub": "x" * 256},
        {"preferred_username": None},
        {"preferred_username": "a\nb"},
        {"preferred_username": " ada"},
        {"preferred_username": ["ada"]},
    ):
        assert isinstance(person_of(CONFIG, {**GOOD, **changes}), str)


def test_an_address_is_a_name_only_when_it_was_verified() -> None:
    config = OidcConfig(issuer="https://id.example", client_id="paasd", user_name_claim="email")
    claims = {**GOOD, "email": "ada@example.org"}
    assert isinstance(person_of(config, claims), str)
    assert isinstance(person_of(config, {**claims, "email_verified": "true"}), str)
    found = person_of(config, {**claims, "email_verified": True})
    assert isinstance(found, Person)
    assert found.username == "ada@example.org"


@pytest.mark.parametrize(
    ("knob", "methods", "counts"),
    [
        ("never", ["mfa"], False),
        ("claimed", ["mfa"], True),
        ("claimed", ["pwd"], False),
        ("claimed", None, False),
        ("claimed", "mfa", False),
        ("always", None, True),
    ],
)
def test_a_second_factor_of_the_provider_counts_as_the_operator_says(knob: Any, methods: Any, counts: bool) -> None:
    config = OidcConfig(issuer="https://id.example", client_id="paasd", second_factor=knob)
    found = person_of(config, {**GOOD, "amr": methods})
    assert isinstance(found, Person)
    assert found.with_factor is counts


def test_only_signatures_by_keys_of_the_provider_count() -> None:
    assert not {"none", "HS256", "HS384", "HS512"} & set(ALGORITHMS)


@pytest.mark.parametrize("issuer", ["http://id.example", "ftp://id.example", "https://", "https://me@id.example", "x"])
async def test_a_provider_that_others_could_play_is_refused_at_start(issuer: str) -> None:
    with pytest.raises(ConfigError):
        Provider("corp", OidcConfig(issuer=issuer, client_id="paasd"), lambda: NOW)
    for good in ("https://id.example/realms/x", "http://localhost:1"):
        assert Provider("corp", OidcConfig(issuer=good, client_id="paasd"), lambda: NOW).label == "corp"
