"""An account that is switched off signs in nowhere, and what came by it ends."""

import shlex
from typing import Any

import httpx
import pytest

from paasd.actions import users
from paasd.model import User
from tests.api.serving import PASSWORD, Served
from tests.api.sign_in import ask_token, events, make_member, make_place, sign_in, signed_in
from tests.cli.typing_hands import paasd

OFF = "The account is switched off; an administrator can switch it on again"


async def change(served: Served, guid: str, **body: Any) -> httpx.Response:
    async with await served.admin() as http:
        return await http.patch(f"/Users/{guid}", json=body)


async def test_who_is_switched_off_signs_in_by_nothing_and_is_signed_out_for_good(served: Served) -> None:
    ada = await served.make_user("ada")
    reply = await served.login("ada")
    async with served.client(reply["access_token"]) as http:
        code = (await http.get("/passcode")).json()["passcode"]
        ssh = await http.get("/oauth/authorize?client_id=ssh-proxy&response_type=code")
        assert ssh.status_code == 302, ssh.text
        off = await change(served, ada, active=False)
        assert (off.status_code, off.json()["active"]) == (200, False), off.text
        assert (await http.get("/v3/organizations")).status_code == 401

        for said in (
            await sign_in(served, "ada"),
            await ask_token(served, grant_type="refresh_token", refresh_token=reply["refresh_token"]),
            await ask_token(served, grant_type="password", passcode=code),
        ):
            assert said.status_code == 401, said.text
        assert (await sign_in(served, "ada")).json()["error_description"] == OFF
        wrong = await sign_in(served, "ada", "not the password")
        assert wrong.json()["error_description"] == "Bad credentials"
        async with httpx.AsyncClient(base_url=served.doors.url, auth=("ada", PASSWORD)) as basic:
            assert OFF in (await basic.get("/paasd/v1/spaces/main/dev/apps")).text

        assert (await change(served, ada, active=True)).json()["active"]
        assert (await http.get("/v3/organizations")).status_code == 401  # what ended stays ended
        assert (await sign_in(served, "ada")).status_code == 200
    told = [one["data"] for one in await events(served, "audit.user.update") if one["target"]["guid"] == ada]
    assert [(one["before"]["active"], one["after"]["active"]) for one in told] == [(True, False), (False, True)]


async def test_deploy_tokens_do_not_count_while_their_maker_is_switched_off(served: Served) -> None:
    place = await make_place(served)
    ada = await make_member(served, "ada", place, "space_developer")
    async with await signed_in(served, "ada") as http:
        made = (await http.post("/paasd/v1/spaces/acme/prod/deploy-tokens", json={"name": "ci"})).json()
    async with served.client(made["token"]) as http:
        assert (await http.get("/paasd/v1/spaces/acme/prod/apps")).status_code == 200
        await change(served, ada, active=False)
        refused = await http.get("/paasd/v1/spaces/acme/prod/apps")
        assert (refused.status_code, "ada, who made it, is switched off" in refused.text) == (401, True), refused.text
        await change(served, ada, active=True)
        assert (await http.get("/paasd/v1/spaces/acme/prod/apps")).status_code == 200


async def test_one_who_is_switched_off_is_no_manager_that_an_organization_is_left_with(served: Served) -> None:
    place = await make_place(served)
    for name in ("ada", "bob"):
        guid = await make_member(served, name, place, "organization_manager")
    await change(served, guid, active=False)
    async with await served.admin() as http:
        query = {"user_guids": (await http.get("/v3/users?usernames=ada")).json()["resources"][0]["guid"]}
        roles = (await http.get("/v3/roles", params={**query, "types": "organization_manager"})).json()["resources"]
        refused = await http.delete(f"/v3/roles/{roles[0]['guid']}")
        assert (refused.status_code, "last manager" in refused.text) == (422, True), refused.text
        await change(served, guid, active=True)
        assert (await http.delete(f"/v3/roles/{roles[0]['guid']}")).status_code == 202


async def test_an_account_gets_another_address_and_name_and_keeps_what_was_not_sent(served: Served) -> None:
    ada = await served.make_user("ada")
    await served.make_user("bob")
    async with await served.admin() as http:
        first = (await http.get(f"/Users/{ada}")).json()
        body = {**first, "emails": [{"value": "ada@example.org", "primary": True}]}
        put = await http.put(f"/Users/{ada}", json=body, headers={"If-Match": str(first["meta"]["version"])})
        assert put.status_code == 200, put.text
        assert put.json()["emails"] == [{"value": "ada@example.org", "primary": True}]
        stale = await http.put(f"/Users/{ada}", json=body, headers={"If-Match": str(first["meta"]["version"])})
        assert (stale.status_code, stale.json()["error"]) == (412, "scim")
        renamed = await http.patch(f"/Users/{ada}", json={"userName": "ada.l"}, headers={"If-Match": "*"})
        assert (renamed.json()["userName"], renamed.json()["emails"]) == ("ada.l", put.json()["emails"])
        assert (await sign_in(served, "ada.l")).status_code == 200
        taken = await http.patch(f"/Users/{ada}", json={"userName": "BOB"})
        assert (taken.status_code, taken.json()["error"]) == (409, "scim_resource_already_exists")

        found = (await http.get('/Users?filter=active eq true and origin ne "uaa"')).json()
        assert found["totalResults"] == 0
        await http.patch(f"/Users/{ada}", json={"active": False})
        found = (await http.get("/Users?filter=active eq false")).json()
        assert [one["userName"] for one in found["resources"]] == ["ada.l"]
        kept = await http.put(f"/Users/{ada}", json={"userName": "ada.l", "emails": [{"value": "a@example.org"}]})
        assert not kept.json()["active"]  # only who says so switches an account on


async def test_a_name_that_was_not_sent_stays_though_it_is_another_one_meanwhile(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await served.make_user("ada")
    change_account = users.change_account

    async def second(*who: Any, **wanted: Any) -> User:
        """What somebody else asked for comes first."""
        await change_account(*who, **{**dict.fromkeys(wanted), "username": "ada.new"})
        return await change_account(*who, **wanted)

    monkeypatch.setattr(users, "change_account", second)
    off = await change(served, ada, active=False)
    assert (off.json()["userName"], off.json()["active"]) == ("ada.new", False), off.text
    told = [one["data"]["after"] for one in await events(served, "audit.user.update") if one["target"]["guid"] == ada]
    assert [sorted(one) for one in told] == [["username", "version"], ["active", "not_before", "version"]]


@pytest.mark.parametrize(
    ("method", "body", "words"),
    [
        ("PUT", {"userName": "", "emails": [{"value": "a@example.org"}]}, "A username must be provided."),
        ("PATCH", {"userName": " "}, "A username must be provided."),
        ("PUT", {"userName": "ada", "emails": []}, "An email must be provided."),
        ("PATCH", {"userName": "a\nb"}, "printable characters"),
        ("PATCH", {"emails": [{"value": "a\u202eb"}]}, "printable characters"),
        ("PATCH", {"origin": "corp"}, "origin of an account stays"),
        ("PATCH", {"active": "no"}, "must be a boolean"),
    ],
)
async def test_what_is_no_account_is_refused(served: Served, method: str, body: Any, words: str) -> None:
    ada = await served.make_user("ada")
    async with await served.admin() as http:
        before = (await http.get(f"/Users/{ada}")).json()
        refused = await http.request(method, f"/Users/{ada}", json=body)
        assert (refused.status_code // 100, words in refused.text) == (4, True), refused.text
        assert (await http.get(f"/Users/{ada}")).json() == before


async def test_nobody_switches_themselves_off_or_anybody_without_the_right(served: Served) -> None:
    ada = await served.make_user("ada")
    async with await served.admin() as http:
        [admin] = (await http.get('/Users?filter=userName eq "admin"')).json()["resources"]
        own = await http.patch(f"/Users/{admin['id']}", json={"active": False})
        assert (own.status_code, "their own account" in own.text) == (400, True)
    async with await signed_in(served, "ada") as http:
        for guid in (ada, admin["id"], "nobody"):
            assert (await http.patch(f"/Users/{guid}", json={"active": True})).status_code == 403


async def test_a_filter_takes_names_as_they_stand_in_quotes(served: Served) -> None:
    names = ["ada", "tom and jerry", 'a" and id eq "b', "back\\slash"]
    for name in names:
        await served.make_user(name)
    async with await served.admin() as http:

        async def found(query: str) -> list[str]:
            answer = await http.get("/Users", params={"filter": query})
            assert answer.status_code == 200, answer.text
            return [one["userName"] for one in answer.json()["resources"]]

        for name in names:
            quoted = name.replace("\\", "\\\\").replace('"', '\\"')
            assert await found(f' username EQ "{quoted}" AND active eq true ') == [name]
            assert await found(f'origin ne "corp" and userName eq "{quoted}"') == [name]
        for wrong in ('id eq "a"and origin eq "b"', 'id eq "a" and', 'and id eq "a"', "active eq trueish", 'id eq "a'):
            refused = await http.get("/Users", params={"filter": wrong})
            assert (refused.status_code, "Invalid filter expression" in refused.text) == (400, True), wrong


async def test_the_command_that_switches_an_account_off_says_what_undoes_it(served: Served) -> None:
    await served.make_user("tom and jerry")
    admin = {"PAASD_API": served.doors.url, "PAASD_USER": "admin", "PAASD_PASSWORD": PASSWORD}
    async with await served.admin() as http:
        made = await http.post("/Users", json={"userName": "ada", "origin": "corp"})
        assert made.status_code == 201, made.text
    for words in (["tom and jerry"], ["ada", "--origin", "corp"]):
        off = await paasd("user", "off", *words, **admin)
        assert off.code == 0 and f"`{shlex.join(['paasd', 'user', 'on', *words])}` undoes it" in off.out, off
        assert (await paasd("user", "on", *words, **admin)).code == 0
