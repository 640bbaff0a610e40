"""Who sends a wrong body reads Cloud Foundry's words, never those of the library that found it."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from msgspec import inspect

from paasd.api.call import convert
from paasd.api.openapi.bodies import body_of
from paasd.api.openapi.paths import PLACE
from paasd.api.routes import make_route_table
from paasd.api.v3.apps import NewApp
from paasd.api.v3.organizations import NewOrganization
from paasd.api.v3.security_groups import NewGroup
from paasd.errors import Unprocessable
from paasd.model.arguments import SYSTEM
from paasd.model.organizations import CreateOrganization, create_organization
from tests.api.calls import Caller
from tests.api.serving import Served

WRONG: Final = (7, 1.5, -(10**30), 10**30, "", "x", "x" * 300, True, None, [], ["x"] * 300, {}, {"colour": 1})
FOREIGN: Final = re.compile(
    r"`\$|`(?:array|object|null)\b|\$\.|\[\.\.\.\]|\b(?:str|int|bool|dict|NoneType|regex)\b|\bis invalid$"
)
SPACE: Final = {"space": {"data": {"guid": "g"}}}


def good(kind: inspect.Type) -> Any:
    """The least that a body of this type may be."""
    match kind:
        case inspect.StructType():
            return {field.encode_name: good(field.type) for field in kind.fields if field.required}
        case inspect.ListType():
            return []
        case inspect.DictType():
            return {}
        case inspect.UnionType():
            return good(kind.types[0])
        case inspect.IntType():
            return 1
        case inspect.BoolType():
            return True
    return "x"


def bad(kind: inspect.Type) -> Iterator[Any]:
    """Bodies that have something wrong in one place, for all places."""
    match kind:
        case inspect.UnionType():
            for one in kind.types:
                yield from bad(one)
        case inspect.ListType():
            yield from ([one] for one in bad(kind.item_type))
        case inspect.DictType():
            yield from ({"key": one} for one in bad(kind.value_type))
        case inspect.StructType():
            right = good(kind)
            yield {**right, "colour": 1}
            for field in kind.fields:
                yield {name: value for name, value in right.items() if name != field.encode_name}
                yield from ({**right, field.encode_name: one} for one in bad(field.type))
    yield from WRONG


def test_nothing_that_is_wrong_in_any_body_is_told_in_words_of_the_library() -> None:
    forms = {form for route in make_route_table() if (form := body_of(route.handler)) is not None}
    told: set[str] = set()
    for form in forms:
        for body in bad(inspect.type_info(form)):
            try:
                convert(body, form)
            except Unprocessable as error:
                told.add(error.detail)
    assert [text for text in sorted(told) if FOREIGN.search(text)] == []
    assert len(forms) > 50 and len(told) > 400


@pytest.mark.parametrize(
    ("form", "body", "text"),
    [
        (NewOrganization, {"name": ""}, "Name can't be blank"),
        (NewOrganization, {}, "Name can't be blank"),
        (NewOrganization, {"name": "x" * 256}, "Name is too long (maximum is 255 characters)"),
        (NewOrganization, {"name": 7}, "Name must be a string, not an integer"),
        (NewOrganization, {"name": None}, "Name must be a string, not null"),
        (NewOrganization, {"name": "x", "suspended": "no"}, "Suspended must be a boolean, not a string"),
        (NewOrganization, {"name": "x", "colour": 1}, "Unknown field(s): 'colour'"),
        (NewOrganization, [], "Body must be an object, not an array"),
        (NewApp, {"name": "x", "relationships": {}}, "Relationships.space can't be blank"),
        (
            *(NewApp, {"name": "x", "relationships": {"space": {"data": {"guid": "g", "x": 1}}}}),
            "Unknown field(s): 'x' in relationships.space.data",
        ),
        (
            *(NewApp, {"name": "x", "relationships": SPACE, "metadata": {"labels": {"a": 1}}}),
            "Metadata.labels.* must be a string, not an integer",
        ),
        (
            *(NewGroup, {"name": "x", "relationships": {"running_spaces": {"data": [{"guid": "g"}, 1]}}}),
            "Relationships.running spaces.data[1] must be an object, not an integer",
        ),
    ],
)
def test_what_is_wrong_is_told_in_cloud_foundrys_words(form: type[msgspec.Struct], body: Any, text: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        convert(body, form)
    assert caught.value.detail == text


async def test_calls_that_read_their_bodies_themselves_do_no_worse(caller: Caller) -> None:
    told = []
    for route in make_route_table():
        if route.method in ("POST", "PATCH", "PUT") and body_of(route.handler) is None:
            places = await caller.places(route.path.removeprefix("/uaa"))
            address = PLACE.sub(lambda match, at=places: at.get(match[1], "none"), route.path)
            for body in (b"{", b"[]", b"7", b'{"name": 1}', b'{"resources": {}}', b'{"applications": 1}'):
                answer = await caller.http.request(route.method, address, content=body)
                told += [answer.text] * (answer.status_code in (400, 422))
    assert [text for text in told if FOREIGN.search(text)] == []
    assert len(told) > 10


async def test_no_organization_or_space_gets_a_name_that_shows_as_another(served: Served) -> None:
    async with await served.admin() as http:

        async def named(name: str, status: int, **call: Any) -> str:
            answer = await http.request(**{**call, "json": {"name": name, **call.get("json", {})}})
            assert answer.status_code == status, (name, answer.text)
            return str(answer.json().get("guid"))

        made = {"method": "POST", "url": "/v3/organizations"}
        organization = await named("Ärzte & Söhne 🎉", 201, **made)
        belongs = {"relationships": {"organization": {"data": {"guid": organization}}}}
        inside = {"method": "POST", "url": "/v3/spaces", "json": belongs}
        space = await named("Straße", 201, **inside)
        renamed = [
            {"method": "PATCH", "url": f"/v3/organizations/{organization}"},
            {"method": "PATCH", "url": f"/v3/spaces/{space}"},
        ]
        for name in ("two\nlines", "bell\a", "from right\u202eto left", "zero\u200bwidth", " \t"):
            for call in (made, inside, *renamed):
                await named(name, 422, **call)
        for call in renamed:
            await named("other", 200, **call)


async def test_what_has_such_a_name_already_can_be_labelled(served: Served) -> None:
    made = CreateOrganization(name="old\nname", actor=SYSTEM)
    guid = (await served.context.database.write(create_organization, made)).guid
    async with await served.admin() as http:
        changes = {"name": "old\nname", "metadata": {"labels": {"a": "b"}}}
        kept = await http.patch(f"/v3/organizations/{guid}", json=changes)
        assert kept.status_code == 200, kept.text
        assert kept.json()["metadata"]["labels"] == {"a": "b"}


async def test_the_features_of_a_space_are_listed(served: Served) -> None:
    async with await served.admin() as http:
        space = (await http.get("/v3/spaces?names=dev")).json()["resources"][0]["guid"]
        for allowed in (True, False):
            await http.patch(f"/v3/spaces/{space}/features/ssh", json={"enabled": allowed})
            (listed,) = (await http.get(f"/v3/spaces/{space}/features")).json()["resources"]
            assert listed == (await http.get(f"/v3/spaces/{space}/features/ssh")).json()
            assert (listed["name"], listed["enabled"]) == ("ssh", allowed)
