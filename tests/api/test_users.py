"""`/v3/users` and `/v3/roles`: who is found by what, what an answer carries along, what cannot be made."""

from typing import Any

import httpx
import pytest

from tests.api.serving import Served


async def names(http: httpx.AsyncClient, query: str) -> list[str]:
    answer = await http.get(f"/v3/users?{query}&order_by=created_at")
    assert answer.status_code == 200, answer.text
    assert answer.json()["pagination"]["total_results"] == len(answer.json()["resources"])
    return [one["username"] for one in answer.json()["resources"]]


async def test_people_are_found_by_name_part_of_it_origin_and_label(served: Served) -> None:
    ann = await served.make_user("ann@example.org")
    await served.make_user("bob_1@example.org")
    async with await served.admin() as http:
        other = await http.post("/v3/users", json={"username": "ann@example.org", "origin": "corp"})
        assert other.status_code == 201, other.text
        shown = other.json()
        assert (shown["username"], shown["presentation_name"], shown["origin"]) == (*["ann@example.org"] * 2, "corp")
        assert await names(http, "usernames=ann@example.org") == ["ann@example.org"] * 2
        assert await names(http, "usernames=ann@example.org&origins=uaa") == ["ann@example.org"]
        assert await names(http, "partial_usernames=EXAMPLE.org&origins=uaa") == [
            "ann@example.org",
            "bob_1@example.org",
        ]
        assert await names(http, "partial_usernames=_1,nobody") == ["bob_1@example.org"]
        assert await names(http, "partial_usernames=b%25") == []
        many = await http.get("/v3/users?partial_usernames=" + ",".join("x" * 2000))
        assert (many.status_code, "at most 50 parts" in many.text) == (400, True)
        assert await names(http, f"guids={ann},{shown['guid']}&usernames=ann@example.org&origins=corp") == [
            "ann@example.org"
        ]
        labels = {"metadata": {"labels": {"team": "red"}}}
        assert (await http.patch(f"/v3/users/{ann}", json=labels)).status_code == 200
        assert await names(http, "label_selector=team=red") == ["ann@example.org"]
        assert (await http.get("/v3/users?emails=x")).json()["errors"][0]["code"] == 10005


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "either by guid or by username"),
        ({"guid": "11111111-2222-4333-8444-555555555555", "username": "ann"}, "either by guid or by username"),
        ({"guid": "11111111-2222-4333-8444-555555555555", "origin": "corp"}, "together with username"),
        ({"username": "ann", "origin": "uaa"}, "User with "),
    ],
)
async def test_a_user_that_is_there_or_is_not_named_is_not_made(served: Served, body: Any, words: str) -> None:
    await served.make_user("ann")
    async with await served.admin() as http:
        await http.post("/v3/users", json={"username": "ann", "origin": "uaa"})
        before = await names(http, "per_page=5000")
        answer = await http.post("/v3/users", json=body)
        assert (answer.status_code, words in answer.text) == (422, True), answer.text
        assert await names(http, "per_page=5000") == before


async def test_one_name_in_two_origins_is_ambiguous_until_the_origin_is_said(served: Served) -> None:
    await served.make_user("ann")
    async with await served.admin() as http:
        await http.post("/v3/users", json={"username": "ann", "origin": "corp"})
        [main] = (await http.get("/v3/organizations?names=main")).json()["resources"]
        place = {"organization": {"data": {"guid": main["guid"]}}}

        async def grant(**user: str) -> httpx.Response:
            body = {"type": "organization_user", "relationships": {"user": {"data": user}, **place}}
            return await http.post("/v3/roles", json=body)

        unclear = await grant(username="ann")
        assert (unclear.status_code, "origin" in unclear.text.lower()) == (422, True), unclear.text
        assert (await grant(username="ann", origin="corp")).status_code == 201
        again = await grant(username="ann", origin="corp")
        text = "User 'ann' already has 'organization_user' role in organization 'main'."
        assert [one["detail"] for one in again.json()["errors"]] == [text]
        missing = await grant(username="eve", origin="uaa")
        assert (missing.status_code, "eve" in missing.text) == (422, True), missing.text


async def test_roles_bring_whose_and_where_along_and_are_found_by_each(served: Served) -> None:
    ann = await served.make_user("ann")
    async with await served.admin() as http:
        [main] = (await http.get("/v3/organizations?names=main")).json()["resources"]
        [dev] = (await http.get("/v3/spaces?names=dev")).json()["resources"]
        places = {"organization_user": ("organization", main), "space_developer": ("space", dev)}
        for kind, (place, where) in places.items():
            relations = {"user": {"data": {"guid": ann}}, place: {"data": {"guid": where["guid"]}}}
            assert (await http.post("/v3/roles", json={"type": kind, "relationships": relations})).status_code == 201
        found = (await http.get(f"/v3/roles?user_guids={ann}&include=user,organization,space")).json()
        assert [one["type"] for one in found["resources"]] == list(places)
        included = {kind: [one["guid"] for one in rows] for kind, rows in found["included"].items()}
        assert included == {"users": [ann], "organizations": [main["guid"]], "spaces": [dev["guid"]]}
        for query in (f"space_guids={dev['guid']}", "types=space_developer"):
            some = (await http.get(f"/v3/roles?user_guids={ann}&{query}")).json()["resources"]
            assert [one["type"] for one in some] == ["space_developer"]
        one = (await http.get(f"/v3/roles/{some[0]['guid']}?include=user,space")).json()
        assert [user["username"] for user in one["included"]["users"]] == ["ann"]
