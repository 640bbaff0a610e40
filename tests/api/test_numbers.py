"""Numbers that are none, or too large: in each place of each body, in each filter, in each part of each path."""

import ast
import logging
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import structlog
from msgspec import inspect

import paasd.api
from paasd.api.call import Form, convert
from paasd.api.numbers import LEAST, MOST, whole
from paasd.api.openapi.bodies import body_of
from paasd.api.openapi.paths import PLACE
from paasd.api.routes import make_route_table
from paasd.api.table import Route
from paasd.api.v3.buildpacks import NewBuildpack
from paasd.errors import Unprocessable
from tests.api.calls import Caller
from tests.api.reached import ELSEWHERE

ROOT: Final = Path(paasd.api.__file__).parent
# Numbers that no client wrote: of sockets, of the configuration, of measurements, of clocks.
OWN: Final = {"numbers.py", "server.py", "present/stats.py", "paasd_v1/ssh.py", "uaa/oidc.py", "uaa/passcode.py"}
TOO_LARGE: Final = (10**30, MOST)
NOT_WHOLE: Final = ("%C2%B2", "9" * 4500)
# What calls that take any parameter make of some.
ANY: Final = "lines=%s count=%s startIndex=%s limit=%s start_time=%s end_time=%s timeout=%s wait=%s"
Keys = tuple[str | int, ...]


def test_a_whole_number_is_ascii_digits_within_its_bounds() -> None:
    assert [whole(text) for text in ("0", "007", str(MOST))] == [0, 7, MOST]
    assert [whole(text) for text in ("", "²", "٣", "1.0", "+1", "1e3", " 1", "-1", str(MOST + 1), "9" * 4500)] == [
        None
    ] * 10
    assert (whole("-1", LEAST), whole(str(LEAST), LEAST), whole("5", 1, 4), whole("0", 1)) == (-1, LEAST, None, None)


def test_who_writes_too_large_a_number_reads_where_and_what_fits() -> None:
    for value, bound in ((10**30, f"less than or equal to {MOST}"), (-(10**30), f"greater than or equal to {LEAST}")):
        with pytest.raises(Unprocessable) as caught:
            convert({"position": value, "name": "b"}, NewBuildpack)
        assert caught.value.detail == f"Position must be {bound}"


def test_nothing_in_the_api_makes_a_number_of_a_text_by_itself() -> None:
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="int")) | ast.Attribute(attr="isdigit" | "isdecimal" | "isnumeric"):
                    found.add(str(path.relative_to(ROOT)))
    assert found == OWN, "paasd.api.numbers.whole"


def numbers(kind: inspect.Type, keys: Keys = ()) -> Iterator[tuple[Keys, inspect.IntType]]:
    """Where in a body of this type whole numbers stand."""
    match kind:
        case inspect.IntType():
            yield keys, kind
        case inspect.UnionType():
            for one in kind.types:
                yield from numbers(one, keys)
        case inspect.ListType():
            yield from numbers(kind.item_type, (*keys, 0))
        case inspect.DictType():
            yield from numbers(kind.value_type, (*keys, "key"))
        case inspect.StructType():
            for field in kind.fields:
                yield from numbers(field.type, (*keys, field.encode_name))


def forms(base: type[Form] = Form) -> Iterator[type[Form]]:
    for form in base.__subclasses__():
        yield form
        yield from forms(form)


def test_every_number_of_a_body_has_bounds() -> None:
    make_route_table()
    found = {f"{form.__qualname__}.{keys}": kind for form in forms() for keys, kind in numbers(inspect.type_info(form))}
    assert [name for name, kind in found.items() if (kind.ge is None and kind.gt is None) or kind.le is None] == [], (
        "paasd.api.numbers.Number"
    )
    assert len(found) > 25


def written(body: Any) -> Iterator[Keys]:
    """Where there is a number in a body, also where its type is Any."""
    parts = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in parts:
        if isinstance(value, int):
            yield (key,)
        yield from ((key, *keys) for keys in written(value))


def put(body: Any, keys: Keys, value: Any) -> Any:
    """The body with a value at a place, which is made where it is not there."""
    if not keys:
        return value
    key, *rest = keys
    if isinstance(key, int):
        return [put((body or [{}])[0], tuple(rest), value)]
    return {**(body or {}), key: put((body or {}).get(key), tuple(rest), value)}


@pytest.fixture
def quietly(caller: Caller) -> Iterator[Caller]:
    """Without the lines and checks of each answer: there are some thousand."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    caller.http.event_hooks = {}
    yield caller
    structlog.reset_defaults()


def routes(*methods: str) -> list[Route]:
    return [
        r
        for r in make_route_table()
        if r.method in methods and not r.path.startswith("/uaa") and r.path not in ELSEWHERE
    ]


def filled(path: str, places: dict[str, str]) -> str:
    return PLACE.sub(lambda match: places.get(match[1], "none"), path)


async def test_no_number_in_a_body_is_an_error_of_ours(quietly: Caller) -> None:
    wrong, sent = [], 0
    for route in routes("POST", "PATCH", "PUT"):
        form = body_of(route.handler)
        if form is None:
            continue
        places = await quietly.places(route.path)
        good = (await quietly.body(route.method, route.path, places)).get("json", {})
        address = filled(route.path, places)
        spots = (
            {keys for keys, _ in numbers(inspect.type_info(form))} | set(written(good)) | EXTRA.get(route.path, set())
        )
        for keys in sorted(spots, key=str):
            for value in TOO_LARGE:
                body = msgspec.json.encode(put(deepcopy(good), keys, msgspec.Raw(str(value).encode())))
                answer = await quietly.http.request(route.method, address, content=body)
                sent += 1
                if answer.status_code >= 500:
                    wrong.append(
                        f"{route.method} {route.path} {keys} {value}: {answer.status_code} {answer.text[:200]}"
                    )
    assert "\n".join(wrong) == ""
    assert sent > 100


QUOTA: Final[set[Keys]] = {
    ("apps", "total_memory_in_mb"),
    ("apps", "total_instances"),
    ("apps", "log_rate_limit_in_bytes_per_second"),
    ("services", "total_service_instances"),
    ("routes", "total_routes"),
    ("domains", "total_domains"),
}
# Places that the form leaves to the model.
EXTRA: Final[dict[str, set[Keys]]] = {
    "/v3/organization_quotas": QUOTA,
    "/v3/space_quotas": QUOTA,
    "/v3/security_groups": {("rules", 0, "type"), ("rules", 0, "code")},
    "/v3/environment_variable_groups/<name>": {("var", "A")},
    "/v3/apps/<guid>/environment_variables": {("var", "A")},
    "/v3/routes": {("options", "hash_balance")},
}


async def test_no_number_in_an_address_is_an_error_of_ours(quietly: Caller) -> None:
    wrong = []
    for route in routes("GET"):
        if "follow" in route.query.plain:
            continue
        places = await quietly.shown(route.path)
        address = filled(route.path, places)
        asked = [f"?{name}=%s" for name in (*route.query.filters, *route.query.plain)]
        asked += ["?page=%s", "?per_page=%s"] * route.query.pages + [f"?{one}" for one in ANY.split()] * route.any_query
        urls = [address + one for one in asked]
        urls += [filled(route.path, {**places, place: "%s"}) for place in PLACE.findall(route.path)]
        for url in urls:
            for text in NOT_WHOLE:
                answer = await quietly.http.get(url.replace("%s", text))
                if answer.status_code >= 500 and answer.status_code != 503:
                    wrong.append(f"{url} {text[:20]}: {answer.status_code} {answer.text[:200]}")
    for text in NOT_WHOLE:
        app = (await quietly.make_apps())["guid"]
        answer = await quietly.http.delete(f"/v3/apps/{app}/processes/web/instances/{text}")
        if answer.status_code >= 500:
            wrong.append(f"instance {text[:20]}: {answer.text[:200]}")
    assert "\n".join(wrong) == ""
