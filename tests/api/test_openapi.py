"""The description of the API is true: what it says may be sent is taken, and what is answered is as it says."""

import json
import re
import secrets
from typing import Any, NamedTuple

import httpx
import jsonschema
import msgspec
import pytest
import schemathesis
import trio
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error

from paasd.api.openapi import describe
from paasd.api.openapi.bodies import body_of
from paasd.api.openapi.paths import PLACE
from paasd.api.routes import make_route_table
from paasd.api.table import Auth, Route
from tests.api.calls import Caller, to
from tests.api.page import PAGE, page
from tests.api.reached import ELSEWHERE, elsewhere

FLOOR = 0.9


def description() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(msgspec.json.encode(describe(make_route_table(), "0")))
    return found


def operation_of(document: dict[str, Any], route: Route) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][PLACE.sub(r"{\1}", route.path)][route.method.lower()]
    return found


def stated(route: Route) -> Route:
    """The route as the table of reasons names it: UAA's have a second address."""
    return msgspec.structs.replace(route, path=route.path.removeprefix("/uaa"))


def problem(document: dict[str, Any], route: Route, answer: httpx.Response) -> str | None:
    """How an answer differs from what the description says of it."""
    if answer.status_code >= 500 and not (answer.status_code == 503 and elsewhere(route)):
        return answer.text
    described = operation_of(document, route)["responses"][f"{answer.status_code // 100}XX"]
    content = described.get("content", {})
    media = answer.headers.get("Content-Type", "").partition(";")[0]
    if answer.content and media not in content:
        return f"{media} where it is not described: {answer.text[:300]}"
    if not answer.content or media != "application/json":
        return None
    schema = content[media]["schema"]
    try:
        jsonschema.validate(answer.json(), {**schema, "components": document["components"]})
    except jsonschema.ValidationError as error:
        return f"{error.json_path}: {error.message[:300]}"
    return None


def test_it_is_openapi_and_says_every_call() -> None:
    document = description()
    validate(document)
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len(operations) == len(make_route_table()) > 190
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["summary"] for one in operations if "/uaa" not in one["operationId"])


def test_every_change_that_takes_json_says_its_form() -> None:
    bare = [
        f"{route.method} {route.path}"
        for route in make_route_table()
        if route.method in ("POST", "PATCH", "PUT") and body_of(route.handler) is None
    ]
    expected = re.compile(r"/(upload|push|token|apply_manifest|manifest_diff|resource_matches)$|/actions/|/apps/<app>/")
    bodiless = re.compile(
        r"(isolation_segments|deployments|quotas/<guid>|passcode|invitation|/cancel|/cleanup|me/second-factor)$"
    )
    assert [path for path in bare if not expected.search(path) and not bodiless.search(path)] == []


async def test_nine_in_ten_operations_succeed_as_they_are_described(caller: Caller) -> None:
    document = description()
    reached, not_reached, problems, unexplained = [], {}, [], []
    routes = list(make_route_table())
    for route in routes:
        answer = await caller.call(route)
        if (found := problem(document, route, answer)) is not None:
            problems.append((route.method, route.path, answer.status_code, found))
        if answer.is_success or answer.status_code in (302, 303):
            reached.append(route)
        else:
            not_reached[f"{route.method} {route.path}"] = (answer.status_code, answer.text[:200])
            unexplained += [] if elsewhere(stated(route)) else [route.path]
    share = len(reached) / len(routes)
    print(f"{len(reached)} of {len(routes)} operations reached 2xx ({share:.0%})")
    for name, why in not_reached.items():
        print("  not", name, *why)
    assert not problems
    assert share >= FLOOR
    assert not unexplained


async def test_strangers_are_refused_as_it_is_described(caller: Caller) -> None:
    document = description()
    async with caller.served.client() as http:
        for route in make_route_table():
            if route.auth is not Auth.NONE:
                answer = await http.request(route.method, PLACE.sub("x", route.path))
                assert answer.status_code == 401
                assert problem(document, route, answer) is None


CHECKS = [
    schemathesis.checks.response_schema_conformance,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
]


class Fuzz(NamedTuple):
    """How calls are made up: where, with what that there is, and from which seed."""

    url: str
    places: dict[str, dict[str, str]]
    examples: int
    seed: int


def fuzz(how: Fuzz, token: str) -> tuple[int, list[str]]:
    """Calls made up from the description, half of them on things that there are; how many, and what was wrong."""
    wrong: list[str] = []
    calls = 0
    reasons = {(route.method, PLACE.sub(r"{\1}", route.path)): elsewhere(route) for route in make_route_table()}
    limits = settings(
        max_examples=how.examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    def make_up(operation: Any) -> None:
        known = how.places.get(operation.path, {})
        excused = 503 if reasons[operation.method.upper(), operation.path] else None

        # The first example is the simplest one, and of those that there are.
        @seed(how.seed)
        @limits
        @given(case=operation.as_strategy(), made_up=strategies.booleans())
        def call(case: Any, made_up: bool) -> None:
            nonlocal calls
            calls += 1
            if known and not made_up:
                case.path_parameters = {name: known.get(name, made) for name, made in case.path_parameters.items()}
            response = case.call(base_url=how.url, headers={"Authorization": f"bearer {token}"}, timeout=20)
            checks = CHECKS if response.status_code == excused else [not_a_server_error, *CHECKS]
            case.validate_response(response, checks=checks)

        call()

    for found in schemathesis.openapi.from_dict(description()).get_all_operations():
        operation = found.ok()
        if operation.path.startswith("/uaa"):
            continue
        try:
            make_up(operation)
        except BaseException as error:  # noqa: BLE001 - one operation after the other, all of them are told
            wrong.append(f"{operation.label}: {error}")
    return calls, wrong


async def developer(caller: Caller) -> str:
    """The token of somebody who develops where the caller makes things."""
    user, space = {"user": to(await caller.served.make_user("dev"))}, await caller.dev()
    shown = (await caller.http.get(f"/v3/spaces/{space}")).json()
    organization = {"organization": shown["relationships"]["organization"]}
    await caller.make("/v3/roles", {"type": "organization_user", "relationships": user | organization})
    await caller.make("/v3/roles", {"type": "space_developer", "relationships": user | {"space": to(space)}})
    return str((await caller.served.login("dev"))["access_token"])


@pytest.mark.parametrize("examples", [1, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_calls_made_up_from_the_description_break_nothing(caller: Caller, examples: int) -> None:
    families: dict[str, dict[str, str]] = {}
    places = {}
    for route in make_route_table():
        family = "/".join(route.path.split("/")[:4])
        if family not in families and PLACE.search(route.path):
            families[family] = await caller.places(route.path)
        places[PLACE.sub(r"{\1}", route.path)] = families.get(family, {})
    # Always the same calls in the run of every day, others each time in the long one.
    how = Fuzz(caller.served.doors.url, places, examples, 0 if examples == 1 else secrets.randbits(32))
    print(f"seed {how.seed}")
    for token in (await developer(caller), (await caller.served.login())["access_token"]):
        calls, wrong = await trio.to_thread.run_sync(fuzz, how, token)
        print(f"{calls} calls")
        assert calls >= len(places)
        assert not wrong, "\n\n".join(wrong)


def test_the_page_of_all_calls_is_that_of_the_route_table() -> None:
    assert PAGE.read_text() == page(), "run python -m tests.api.page"


def test_tests_that_the_page_names_are_there() -> None:
    known = {name for route in make_route_table() for name in (route.path, f"{route.method} {route.path}")}
    assert set(ELSEWHERE) <= known
    for text in ELSEWHERE.values():
        for named in re.findall(r"tests/[a-z_/]+\.py", text):
            assert (PAGE.parents[1] / named).exists(), named
