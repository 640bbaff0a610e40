"""The description of the API is true: what it says may be sent is taken, and what is answered is as it says."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import msgspec
import pytest
import schemathesis
import trio
from hypothesis import HealthCheck, Phase, given, settings, strategies
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error

from paasd.api.openapi import describe
from paasd.api.openapi.bodies import body_of
from paasd.api.openapi.paths import PLACE
from paasd.api.routes import make_route_table
from paasd.api.table import Auth, Route
from paasd.config import ApiConfig, Config
from tests.api.calls import Caller
from tests.api.hands import working_hands
from tests.api.page import PAGE, page
from tests.api.reached import ELSEWHERE
from tests.api.serving import CHEAP_HASHES, serve

FLOOR = 0.9


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    config = Config(data=str(tmp_path), api=ApiConfig(port=0, grace_s=1.0), auth=CHEAP_HASHES)
    async with (
        serve(tmp_path, config) as served,
        working_hands(served.context),
        await served.admin() as http,
    ):
        yield Caller(served, http)


def description() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(msgspec.json.encode(describe(make_route_table(), "0")))
    return found


def operation_of(document: dict[str, Any], route: Route) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][PLACE.sub(r"{\1}", route.path)][route.method.lower()]
    return found


def problem(document: dict[str, Any], route: Route, answer: httpx.Response) -> str | None:
    """How an answer differs from what the description says of it."""
    if answer.status_code >= 500 and route.path not in ELSEWHERE:
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
    reached, not_reached, problems = [], {}, []
    routes = list(make_route_table())
    for route in routes:
        answer = await caller.call(route)
        if (found := problem(document, route, answer)) is not None:
            problems.append((route.method, route.path, answer.status_code, found))
        if answer.is_success or answer.status_code in (302, 303):
            reached.append(route)
        else:
            not_reached[f"{route.method} {route.path}"] = (answer.status_code, answer.text[:200])
    share = len(reached) / len(routes)
    print(f"{len(reached)} of {len(routes)} operations reached 2xx ({share:.0%})")
    for name, why in not_reached.items():
        print("  not", name, *why)
    assert not problems
    assert share >= FLOOR
    unexplained = [name for name in not_reached if name.partition(" ")[2].removeprefix("/uaa") not in ELSEWHERE]
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
    not_a_server_error,
    schemathesis.checks.response_schema_conformance,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
]


def fuzz(url: str, token: str, places: dict[str, dict[str, str]], examples: int) -> tuple[int, list[str]]:
    """Calls made up from the description, half of them on things that there are; how many, and what was wrong."""
    wrong: list[str] = []
    calls = 0
    limits = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    def make_up(operation: Any) -> None:
        known = places.get(operation.path, {})

        @limits
        @given(case=operation.as_strategy(), real=strategies.booleans())
        def call(case: Any, real: bool) -> None:
            nonlocal calls
            calls += 1
            if real and known:
                case.path_parameters = {name: known.get(name, made) for name, made in case.path_parameters.items()}
            response = case.call(base_url=url, headers={"Authorization": f"bearer {token}"}, timeout=20)
            case.validate_response(response, checks=CHECKS)

        call()

    for found in schemathesis.openapi.from_dict(description()).get_all_operations():
        operation = found.ok()
        if operation.path.startswith("/uaa") or operation.path.replace("{", "<").replace("}", ">") in ELSEWHERE:
            continue
        try:
            make_up(operation)
        except BaseException as error:  # noqa: BLE001 - one operation after the other, all of them are told
            wrong.append(f"{operation.label}: {error}")
    return calls, wrong


@pytest.mark.parametrize("examples", [1, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_calls_made_up_from_the_description_break_nothing(caller: Caller, examples: int) -> None:
    families: dict[str, dict[str, str]] = {}
    places = {}
    for route in make_route_table():
        family = "/".join(route.path.split("/")[:4])
        if family not in families and PLACE.search(route.path):
            families[family] = await caller.places(route.path)
        places[PLACE.sub(r"{\1}", route.path)] = families.get(family, {})
    token = (await caller.served.login())["access_token"]
    calls, wrong = await trio.to_thread.run_sync(fuzz, caller.served.doors.url, token, places, examples)
    print(f"{calls} calls")
    assert not wrong, "\n\n".join(wrong)


def test_the_page_of_all_calls_is_that_of_the_route_table() -> None:
    assert PAGE.read_text() == page(), "run python -m tests.api.page"


def test_tests_that_the_page_names_are_there() -> None:
    known = {route.path for route in make_route_table()}
    assert set(ELSEWHERE) <= known
    for text in ELSEWHERE.values():
        for named in re.findall(r"tests/[a-z_/]+\.py", text):
            assert (PAGE.parents[1] / named).exists(), named
