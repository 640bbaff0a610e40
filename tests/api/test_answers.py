"""Every call says what it answers with, in closed structs, and answers with nothing else."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from paasd.api.answers import Nothing
from paasd.api.call import Call, Reply
from paasd.api.openapi.answers import answers_of
from paasd.api.routes import make_route_table
from tests.api.conforming import check

OPEN = {
    "links": "names differ from one resource to the next",
    "labels annotations": "the tenant's own names",
    "var environment_variables staging_env_json running_env_json": "the tenant's own names",
    "system_env_json application_env_json": "what instances find in their environment",
    "process_types processes spaces tags meta": "keys are names or guids that tenants chose",
    "prompts": "a client shows whatever it is told",
    "data": "what there is to say of an event differs with its type",
    "was value": "parts of a manifest",
    "ports type code": "of rules of security groups: what does not count is as it was sent",
    "paths schemas securitySchemes": "OpenAPI in OpenAPI",
}
"""Fields that may hold what no struct names, and why."""
SILENT = {
    "/v3/spaces/<guid>/actions/apply_manifest": "a job",
    "/paasd/v1/spaces/<organization>/<space>/apps/<app>/delete": "a job",
    "/paasd/v1/me/second-factor/actions/remove": "204",
    "/v3/isolation_segments": "there are none to be made",
    "/v3/deployments": "there are none to be made",
    "/v3/isolation_segments/<guid>": "there are none",
    "/v3/isolation_segments/<guid>/organizations": "there are none",
    "/v3/isolation_segments/<guid>/relationships/organizations": "there are none",
    "/v3/isolation_segments/<guid>/relationships/spaces": "there are none",
    "/v3/apps/<guid>/actions/clear_buildpack_cache": "a job",
    "/v3/admin/actions/clear_buildpack_cache": "a job",
    "/v3/service_usage_events/<guid>": "there are none",
    "/oauth/authorize": "302",
    "/uaa/oauth/authorize": "302",
}
"""Calls that answer without content, beside deletions."""


def structs(kind: inspect.Type, seen: dict[str, inspect.StructType]) -> dict[str, inspect.StructType]:
    """Every struct within `kind`."""
    for found in parts(kind):
        if isinstance(found, inspect.StructType) and repr(found.cls) + repr(found.fields) not in seen:
            seen[repr(found.cls) + repr(found.fields)] = found
            for field in found.fields:
                structs(field.type, seen)
    return seen


def parts(kind: inspect.Type) -> Iterator[inspect.Type]:
    """`kind` itself and what unions, lists and maps are made of."""
    yield kind
    for name in ("types", "item_type", "item_types", "key_type", "value_type"):
        inner = getattr(kind, name, ())
        for one in inner if isinstance(inner, tuple) else (inner,):
            yield from parts(one)


@cache
def all_structs() -> list[inspect.StructType]:
    seen: dict[str, inspect.StructType] = {}
    for route in make_route_table():
        answers = answers_of(route.handler)
        for kind in (*answers.structs, *answers.refused):
            structs(inspect.type_info(kind), seen)
    return list(seen.values())


def test_every_operation_says_what_it_answers_with() -> None:
    routes = list(make_route_table())
    assert all(answers_of(route.handler).done for route in routes)
    silent = [route for route in routes if answers_of(route.handler).done == (None,)]
    assert len(routes) > 270
    assert [route.path for route in silent if route.method != "DELETE" and route.path not in SILENT] == []


def test_every_answer_is_closed_and_what_it_has_is_always_there() -> None:
    found = all_structs()
    assert len(found) > 150
    assert [one.cls.__name__ for one in found if not one.forbid_unknown_fields] == []
    defaults = [
        f"{one.cls.__name__}.{field.name}"
        for one in found
        for field in one.fields
        if field.default is not msgspec.NODEFAULT or field.default_factory is not msgspec.NODEFAULT
    ]
    assert defaults == [], "a field is there, or is UNSET: no default stands for what was not said"


def test_only_these_fields_hold_what_no_struct_names() -> None:
    known = {name for names in OPEN for name in names.split()}
    found = {
        field.name: f"{one.cls.__name__}.{field.name}"
        for one in all_structs()
        for field in one.fields
        if any(isinstance(part, inspect.DictType | inspect.AnyType) for part in parts(field.type))
    }
    assert [found[name] for name in found.keys() - known] == []
    assert known == found.keys()


def test_a_handler_that_does_not_say_what_it_answers_with_is_refused() -> None:
    async def of_anything(call: Call) -> Reply[Any]:
        """Says nothing."""
        return Reply(body={})

    async def of_a_map(call: Call) -> Reply[dict[str, str]]:
        """Says too little."""
        return Reply(body={})

    async def of_a_struct_or_none(call: Call) -> Reply[Nothing] | Reply[None]:
        """Says it."""
        return Reply(body=Nothing())

    for handler in (of_anything, of_a_map):
        with pytest.raises(TypeError, match="has to return Reply"):
            answers_of(handler)
    assert answers_of(of_a_struct_or_none).done == (Nothing, None)


def test_what_is_too_much_too_little_or_something_else_is_seen() -> None:
    good = {"name": "ssh", "description": "x", "enabled": True}
    path = "/v3/apps/some-guid/features/ssh"
    check("GET", path, 200, msgspec.json.encode(good))
    for bad in ({**good, "secret": 1}, {"name": "ssh", "enabled": True}, {**good, "enabled": "yes"}):
        with pytest.raises(AssertionError, match=path):
            check("GET", path, 200, msgspec.json.encode(bad))
    with pytest.raises(AssertionError):
        check("GET", path, 404, msgspec.json.encode(good))
    with pytest.raises(AssertionError):
        check("DELETE", "/v3/apps/some-guid", 202, b"{}")
