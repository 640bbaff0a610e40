"""What Cloud Foundry refuses, or answers twice, and what no process or header can have."""

from typing import Any

import pytest

from paasd.actions import mailing
from paasd.config import MailConfig
from tests.api.serving import Served
from tests.api.tenants import make_tenant
from tests.tenancy.test_invitations import mail_server

BAD_NAMES = ("", "A=B", "A B", "A\nB", "A\tB", "A\0B", "A\x7f", "A\u00a0B", "A\u2028B")


@pytest.mark.parametrize("name", BAD_NAMES)
async def test_no_variable_has_a_name_that_no_program_can_ask_for(served: Served, name: str) -> None:
    await refused(served, {name: "1"}, "cannot be empty or contain '=', spaces or control characters")


async def test_no_variable_has_a_value_that_would_keep_the_app_from_starting(served: Served) -> None:
    await refused(served, {"A": "x\0y"}, "Environment variable 'A': its value cannot contain the character NUL")


async def refused(served: Served, variables: dict[str, str], words: str) -> None:
    """In every way of giving an app a variable, or all apps."""
    tenant = await make_tenant(served, "acme", "developer")
    async with tenant.client("developer") as http, await served.admin() as admin:
        app = await tenant.started_app(served, "dora")
        places = {"space": {"data": {"guid": tenant.space}}}
        made = {"name": "new", "environment_variables": variables, "relationships": places}
        for who, method, url, body in (
            (http, "PATCH", f"/v3/apps/{app}/environment_variables", {"var": variables}),
            (http, "POST", "/v3/apps", made),
            (admin, "PATCH", "/v3/environment_variable_groups/running", {"var": variables}),
        ):
            answer = await who.request(method, url, json=body)
            assert (answer.status_code, words in answer.json()["errors"][0]["detail"]) == (422, True), answer.text
        assert (await http.get(f"/v3/apps/{app}/environment_variables")).json()["var"] == {}
        assert (await http.get("/v3/apps?names=new")).json()["resources"] == []


async def test_line_breaks_in_values_and_odd_names_that_programs_know_are_taken(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    async with tenant.client("developer") as http:
        app = await tenant.started_app(served, "dora")
        wanted = {"KEY": "-----BEGIN\nx\n", "spring.datasource.url": "a b", "é-1": "é"}
        answer = await http.patch(f"/v3/apps/{app}/environment_variables", json={"var": wanted})
        assert (answer.status_code, answer.json()["var"]) == (200, wanted)
        gone = await http.patch(f"/v3/apps/{app}/environment_variables", json={"var": {"A B": None, "KEY": None}})
        assert (gone.status_code, "KEY" in gone.json()["var"]) == (200, False), "what was taken formerly can go"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("origins=uaa", "Origins filter cannot be provided without usernames or partial_usernames filter."),
        (
            "usernames=a&partial_usernames=b",
            "Usernames filter cannot be provided with both usernames and partial_usernames filter.",
        ),
    ],
)
@pytest.mark.parametrize("below", ["", "organizations", "spaces"])
async def test_filters_of_users_go_together_as_in_cloud_foundry(
    served: Served, query: str, words: str, below: str
) -> None:
    tenant = await make_tenant(served, "acme", "manager")
    guid = {"organizations": tenant.organization, "spaces": tenant.space}.get(below)
    base = "/v3/users" if guid is None else f"/v3/{below}/{guid}/users"
    async with tenant.client("manager") as http:
        answer = await http.get(f"{base}?{query}")
        detail = answer.json()["errors"][0]["detail"]
        assert (answer.status_code, detail) == (400, f"The query parameter is invalid: {words}")
        for good in ("usernames=a&origins=uaa", "partial_usernames=a&origins=uaa", "usernames=a"):
            assert (await http.get(f"{base}?{good}")).status_code == 200


async def test_who_deletes_an_organization_again_gets_the_job_that_is_at_work(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "manager")
    url = f"/v3/organizations/{tenant.organization}"
    async with await served.admin() as admin, tenant.client("manager") as manager:
        first, second = await admin.delete(url), await admin.delete(url)
        assert (first.status_code, second.status_code) == (202, 202), second.text
        assert first.headers["Location"] == second.headers["Location"]
        assert (await admin.get(first.headers["Location"])).json()["state"] == "PROCESSING"
        assert (await admin.get(url)).status_code == 404
        assert (await manager.delete(url)).status_code == 404, "what one did not see one does not see"
        assert (await admin.delete(f"{url[:-1]}x")).status_code == 404


async def test_what_an_app_or_process_cannot_have_is_refused_and_not_passed_over(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    async with tenant.client("developer") as http:
        app = await tenant.started_app(served, "dora")
        [process] = (await http.get(f"/v3/apps/{app}/processes")).json()["resources"]
        url = f"/v3/processes/{process['guid']}"
        for user, status in (("root", 422), ("vcap", 200), (None, 200)):
            answer = await http.patch(url, json={"user": user})
            assert (answer.status_code, "User must be vcap" in answer.text) == (status, status == 422), answer.text
        place = {"space": {"data": {"guid": tenant.space}}}
        nothing = {"name": "new", "relationships": {**place, "current_droplet": {"data": {"guid": "nothing"}}}}
        answer = await http.post("/v3/apps", json=nothing)
        assert (answer.status_code, "Unable to assign current droplet" in answer.text) == (422, True), answer.text
        assert (await http.post("/v3/apps", json={**nothing, "relationships": place})).status_code == 201


async def test_discovery_says_what_there_is(served: Served) -> None:
    async with served.client() as http:
        found: dict[str, Any] = (await http.get("/.well-known/openid-configuration")).json()
        assert found["response_types_supported"] == ["code"], "for ssh's client; tokens come from the token endpoint"
        assert found["id_token_signing_alg_values_supported"] == [], "there are none"
        assert "token_endpoint_auth_signing_alg_values_supported" not in found
        assert (await http.get("/oauth/authorize?response_type=token")).status_code == 401


async def test_an_organization_whose_name_has_line_breaks_invites_all_the_same() -> None:
    with mail_server() as (port, mailbox):
        config = MailConfig(host="127.0.0.1", port=port, security="none", sender="paasd@example.org", timeout_s=5)
        problem = await mailing.send(config, "ann@example.org", "Invitation to a\r\nBcc: everybody\nb", "Come")
        assert problem is None
    [letter] = mailbox.taken
    assert (letter["Subject"], letter["Bcc"]) == ("Invitation to a Bcc: everybody b", None)
