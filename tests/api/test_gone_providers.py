"""A provider that is taken out of the configuration takes with it what its people had, and what they offered."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from paasd.actions.still_allowed import caller_now
from paasd.auth.service import SignIn
from paasd.auth.tokens import Client
from paasd.config import ApiConfig, Config, OidcConfig
from paasd.errors import InvalidToken
from paasd.model import User
from paasd.model.arguments import SYSTEM
from paasd.model.identities import SignInExternally, sign_in_externally
from paasd.model.roles import CreateRole, create_role
from tests.api.serving import CHEAP_HASHES, Served, serve
from tests.api.sign_in import ask_token, events, make_member, make_place, signed_in

GONE = "Nobody of 'corp' signs in any more: this provider is not configured now"
CF = Client(client_id="cf")
ACCEPT = "/paasd/v1/invitations/accept"
INVITATIONS = "/paasd/v1/organizations/acme/invitations"
CORP = OidcConfig(issuer="http://localhost:1", client_id="paasd")


def config(**providers: OidcConfig) -> Config:
    return Config(api=ApiConfig(port=0), auth=msgspec.structs.replace(CHEAP_HASHES, oidc=providers))


async def come_in(served: Served) -> User:
    return await served.context.database.write(
        sign_in_externally, SignInExternally(origin="corp", subject="s-1", username="ada")
    )


async def test_people_of_a_provider_that_is_configured_no_more_are_out_at_once(tmp_path: Path) -> None:
    async with serve(tmp_path, config(corp=CORP)) as served:
        ada = await come_in(served)
        place = await make_place(served)
        async with await served.admin() as http:
            relations = {"user": {"data": {"guid": ada.guid}}, "space": {"data": {"guid": place[1]}}}
            member = {"user": relations["user"], "organization": {"data": {"guid": place[0]}}}
            await http.post("/v3/roles", json={"type": "organization_user", "relationships": member})
            made = await http.post("/v3/roles", json={"type": "space_developer", "relationships": relations})
            assert made.status_code == 201, made.text
        now = int(served.clock())
        reply = served.auth.grant(CF, SignIn(user=ada, at=now), ())
        async with served.client(str(reply["access_token"])) as http:
            assert (await http.get("/v3/organizations")).json()["pagination"]["total_results"] == 1
            code = (await http.get("/passcode")).json()["passcode"]
            token = (await http.post("/paasd/v1/spaces/acme/prod/deploy-tokens", json={"name": "ci"})).json()["token"]
    async with serve(tmp_path, config()) as served:
        signs = len(await events(served, "audit.user.sign_in"))
        async with served.client(str(reply["access_token"])) as http:
            assert GONE in (await http.get("/v3/organizations")).text
        for form in (
            {"grant_type": "refresh_token", "refresh_token": str(reply["refresh_token"])},
            {"grant_type": "password", "passcode": code},
        ):
            said = await ask_token(served, **form)
            assert (said.status_code, said.json()["error_description"]) == (401, GONE)
        async with served.client(token) as http:
            assert f"does not count: {GONE}" in (await http.get("/paasd/v1/spaces/acme/prod/apps")).text
        async with served.root_client() as http:
            [listed] = (await http.get("/paasd/v1/spaces/acme/prod/deploy-tokens")).json()["deploy_tokens"]
            assert (listed["counts"], listed["problem"]) == (False, GONE)
        with pytest.raises(InvalidToken, match="not configured now"):
            caller_now(served.context, served.auth, caller_of(ada, served))
        assert len(await events(served, "audit.user.sign_in")) == signs
    async with serve(tmp_path, config(corp=CORP)) as served:
        said = await ask_token(served, grant_type="refresh_token", refresh_token=str(reply["refresh_token"]))
        assert said.status_code == 200, said.text


def caller_of(user: User, served: Served) -> Any:
    """Who had come in by the provider, as a stream remembers them."""
    caller = served.auth.caller_of(SignIn(user=msgspec.structs.replace(user, origin="uaa"), at=int(served.clock())))
    return msgspec.structs.replace(caller, origin=user.origin)


async def make_manager(served: Served, place: tuple[str, str], user_guid: str) -> None:
    for role in ("organization_user", "organization_manager"):
        await served.context.database.write(
            create_role, CreateRole(type=role, user_guid=user_guid, organization_guid=place[0], actor=SYSTEM)
        )


async def test_what_its_people_offered_gives_nothing_while_it_is_gone(tmp_path: Path) -> None:
    async with serve(tmp_path, config(corp=CORP)) as served:
        ada, place = await come_in(served), await make_place(served)
        await make_manager(served, place, ada.guid)
        await served.make_user("bob")
        token = served.auth.grant(CF, SignIn(user=ada, at=int(served.clock())), ())["access_token"]
        async with served.client(str(token)) as http:
            body = {"address": "who@example.org", "organization_roles": ["organization_manager"]}
            secret = {"secret": (await http.post(INVITATIONS, json=body)).json()["secret"]}
            shown = [(one["address"], one["counts"]) for one in (await http.get(INVITATIONS)).json()["invitations"]]
            assert shown == [(body["address"], True)]
    async with serve(tmp_path, config()) as served, await served.admin() as http:
        shown = [(one["address"], one["counts"]) for one in (await http.get(INVITATIONS)).json()["invitations"]]
        assert shown == [(body["address"], False)], "the door refuses it, and it can be seen and revoked"
    async with serve(tmp_path, config()) as served, await signed_in(served, "bob") as http:
        refused = await http.post(ACCEPT, json=secret)
        assert (refused.status_code, "not valid (any more)" in refused.text) == (422, True), refused.text
        assert (await http.get("/invitation", params=secret)).status_code == 404
        form = await http.post("/invitation", data={**secret, "username": "who@example.org", "password": "x" * 20})
        assert (form.status_code, "No such invitation" in form.text) == (404, True), form.text
    async with serve(tmp_path, config(corp=CORP)) as served, await signed_in(served, "bob") as http:
        assert (await http.get("/invitation", params=secret)).status_code == 200
        taken = await http.post(ACCEPT, json=secret)
        assert taken.status_code == 200, taken.text


async def test_its_people_are_no_managers_that_an_organization_is_left_with(tmp_path: Path) -> None:
    async with serve(tmp_path, config(corp=CORP)) as served:
        ada, place = await come_in(served), await make_place(served)
        await make_manager(served, place, ada.guid)
        bob = await make_member(served, "bob", place, "organization_manager")
    async with serve(tmp_path, config()) as served, await served.admin() as http:
        query = {"user_guids": bob, "types": "organization_manager"}
        [role] = (await http.get("/v3/roles", params=query)).json()["resources"]
        for path in (f"/v3/roles/{role['guid']}", f"/v3/users/{bob}", f"/Users/{bob}"):
            refused = await http.delete(path)
            assert (refused.status_code, "last manager" in refused.text) == (422, True), refused.text
    async with serve(tmp_path, config(corp=CORP)) as served, await served.admin() as http:
        assert (await http.delete(f"/v3/roles/{role['guid']}")).status_code == 202
