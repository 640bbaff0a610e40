"""A field that holds one of few words says which, in the description and to the tests that decode every answer."""

from typing import Any, Final

import msgspec
import pytest
from msgspec import inspect

from paasd.api.call import convert
from paasd.api.openapi.bodies import body_of
from paasd.api.routes import make_route_table
from paasd.api.v3.apps import Lifecycle
from paasd.api.v3.jobs import JobShown
from paasd.errors import Unprocessable
from tests.api.conforming import check
from tests.api.test_answers import all_structs, structs

NAMES: Final = frozenset(
    """
    state type protocol role lifecycle origin status reachability voting method loadbalancing op current previous
    token_type kty use alg crv
    """.split()  # noqa: SIM905
)
OPEN: Final = {
    "ProcessShown.type DestinationProcessShown.type StatShown.type UsedProcess.type DestinationProcess.type": (
        "tenants name their processes"
    ),
    "AuditEventShown.type Party.type": "what there is to tell of grows with every release",
    "UserShown.origin MemberShown.origin ScimUser.origin": "the operator names the providers",
    "Account.origin AccountChanges.origin": "the operator names the providers",
    "NewMember.origin NewUser.origin UserName.origin": "the operator names the providers",
    "RuleShown.type": "a number, of ICMP",
}
"""Fields of these names that may hold any word, and why."""


def schema_of(kind: Any) -> dict[str, Any]:
    (found,), parts = msgspec.json.schema_components([kind])
    return {**found, **parts.get(found.get("$ref", "").rpartition("/")[2], {})}


def says_which(schema: dict[str, Any]) -> bool:
    """Whether all texts that a field may hold are listed."""
    return all("enum" in one or one.get("type") != "string" for one in schema.get("anyOf", [schema]))


def plain_words(found: list[inspect.StructType]) -> list[str]:
    exempt = {name for names in OPEN for name in names.split()}
    return sorted(
        f"{one.cls.__name__}.{name}"
        for one in found
        for name, schema in schema_of(one.cls).get("properties", {}).items()
        if name in NAMES and f"{one.cls.__name__}.{name}" not in exempt and not says_which(schema)
    )


def bodies() -> list[inspect.StructType]:
    seen: dict[str, inspect.StructType] = {}
    for route in make_route_table():
        form = body_of(route.handler)
        if form is not None:
            structs(inspect.type_info(form), seen)
    return list(seen.values())


def test_every_answer_says_which_words_a_closed_field_holds() -> None:
    assert plain_words(all_structs()) == []


def test_every_body_says_which_words_a_closed_field_takes() -> None:
    assert len(bodies()) > 50
    assert plain_words(bodies()) == []


def test_a_field_that_may_hold_anything_is_one_that_there_is() -> None:
    there = {f"{one.cls.__name__}.{field.encode_name}" for one in [*all_structs(), *bodies()] for field in one.fields}
    assert {name for names in OPEN for name in names.split()} <= there


def test_a_word_that_is_not_described_is_seen_in_an_answer_and_refused_in_our_words_in_a_body() -> None:
    job = {"guid": "g", "created_at": "", "updated_at": "", "operation": "x", "errors": [], "warnings": [], "links": {}}
    check("GET", "/v3/jobs/some-guid", 200, msgspec.json.encode({**job, "state": "COMPLETE"}))
    with pytest.raises(AssertionError, match="state"):
        check("GET", "/v3/jobs/some-guid", 200, msgspec.json.encode({**job, "state": "COMPLETED"}))
    assert schema_of(JobShown)["properties"]["state"]["enum"] == ["PROCESSING", "COMPLETE", "FAILED"]
    with pytest.raises(Unprocessable, match="Lifecycle type 'docker' is not supported; use 'buildpack'"):
        convert({"type": "docker"}, Lifecycle).check()
