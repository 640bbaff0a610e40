"""Deploy tokens: what they open, for how long, who makes them, and that they give no more than their makers have."""

import base64
from typing import Any

import httpx

from paasd.api.payer import payer_of
from paasd.model import DeployToken, Role, User
from paasd.model.arguments import SYSTEM
from paasd.model.deletion import DeleteChunk, delete_chunk
from paasd.model.platform_roles import ChangePlatformRole, change_platform_role
from paasd.model.roles import DeleteRole, delete_role
from paasd.model.spaces import DeleteSpace, begin_delete_space
from paasd.model.users import DeleteUser, delete_user
from tests.api.serving import Served
from tests.api.sign_in import ask_token, events, make_member, make_place, names_of, sign_in, signed_in
from tests.api.tenants import make_tenant

TOKENS = "/paasd/v1/spaces/acme/prod/deploy-tokens"


async def make_token(http: httpx.AsyncClient, path: str = TOKENS, **body: Any) -> dict[str, Any]:
    answer = await http.post(path, json={"name": "ci", **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def exchange(token: dict[str, Any]) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": token["client_id"],
        "client_secret": token["client_secret"],
    }


async def read_apps(served: Served, authorization: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=served.doors.url, headers={"Authorization": authorization}) as http:
        return await http.get("/paasd/v1/spaces/acme/prod/apps")


async def test_a_token_opens_its_space_whole_by_basic_and_exchanged_and_nothing_else(served: Served) -> None:
    place = await make_place(served)
    await make_place(served, "acme2", "prod")
    await make_member(served, "dev", place, "space_developer")
    async with await signed_in(served, "dev") as http:
        token = await make_token(http)
    assert (await read_apps(served, f"bearer {token['token']}")).status_code == 200
    basic = base64.b64encode(f"{token['client_id']}:{token['client_secret']}".encode()).decode()
    assert (await read_apps(served, f"Basic {basic}")).status_code == 200
    assert (await read_apps(served, f"bearer {token['token'][:-1]}x")).status_code == 401
    reply = (await ask_token(served, **exchange(token))).json()
    assert "refresh_token" not in reply
    async with served.client(reply["access_token"]) as http:
        assert names_of(await http.get("/v3/organizations")) == ["acme"]
        assert names_of(await http.get("/v3/spaces")) == ["prod"]
        space = {"space": {"data": {"guid": place[1]}}}
        made = await http.post("/v3/apps", json={"name": "web", "relationships": space})
        assert made.status_code == 201, made.text
    [event] = await events(served, "audit.app.create")
    assert event["actor"]["type"] == "deploy_token"
    assert event["actor"]["name"].startswith("ci.")


async def test_a_whole_token_is_not_taken_by_v3_which_says_how_to_exchange_it(served: Served) -> None:
    await make_place(served)
    async with served.root_client() as http:
        token = await make_token(http)
    async with served.client(token["token"]) as http:
        refused = await http.get("/v3/apps")
    assert refused.status_code == 401
    assert "client_credentials" in refused.json()["errors"][0]["detail"]


MAKERS = (
    ("space_developer", "space_developer", 201),
    ("space_developer", "space_auditor", 201),
    ("space_manager", "space_developer", 201),
    ("organization_manager", "space_developer", 201),
    ("space_supporter", "space_supporter", 201),
    ("space_supporter", "space_developer", 403),
    ("space_auditor", "space_auditor", 201),
    ("space_auditor", "space_developer", 403),
    ("space_developer", "space_manager", 422),
    ("space_developer", "organization_auditor", 422),
)


async def test_nobody_makes_a_token_for_more_than_they_have_or_may_grant(served: Served) -> None:
    place = await make_place(served)
    for held in dict.fromkeys(held for held, _, _ in MAKERS):
        await make_member(served, held, place, held)
        async with await signed_in(served, held) as http:
            for number, (holder, role, status) in enumerate(MAKERS):
                if holder == held:
                    answer = await http.post(TOKENS, json={"name": f"ci-{number}", "role": role})
                    assert answer.status_code == status, (held, role, answer.text)


async def test_a_session_that_is_no_administrators_makes_what_its_roles_make_though_its_user_is_one(
    served: Served,
) -> None:
    place = await make_place(served)
    guid = await make_member(served, "chief", place, "space_auditor")
    change = ChangePlatformRole(user_guid=guid, scope="cloud_controller.admin", held=True, actor=SYSTEM)
    await served.context.database.write(change_platform_role, change)
    narrow = "cloud_controller.read cloud_controller.write"
    async with await signed_in(served, "chief", scope=narrow) as http:
        refused = await http.post(TOKENS, json={"name": "more", "role": "space_developer"})
        assert refused.status_code == 403, refused.text
        await make_token(http, name="same", role="space_auditor")
    async with await signed_in(served, "chief") as http:
        await make_token(http, name="more", role="space_developer")


async def test_a_token_that_reads_changes_nothing_and_a_developers_token_makes_no_others(served: Served) -> None:
    place = await make_place(served)
    await make_member(served, "manager", place, "organization_manager")
    async with await signed_in(served, "manager") as http:
        reads = await make_token(http, role="space_auditor", name="reads")
        writes = await make_token(http, name="writes")
        whole = await make_token(http, "/paasd/v1/organizations/acme/deploy-tokens", name="all")
    assert (reads["role"], writes["role"], whole["role"]) == (
        "space_auditor",
        "space_developer",
        "organization_auditor",
    )
    async with served.client((await ask_token(served, **exchange(reads))).json()["access_token"]) as http:
        assert (await http.get("/v3/apps")).status_code == 200
        space = {"space": {"data": {"guid": place[1]}}}
        refused = await http.post("/v3/apps", json={"name": "web", "relationships": space})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, 10007)
    for token in (writes, whole):
        async with served.client(token["token"]) as http:
            for path in (TOKENS, "/paasd/v1/organizations/acme/deploy-tokens"):
                assert (await http.post(path, json={"name": "more"})).status_code in (403, 404)
    async with served.client((await ask_token(served, **exchange(whole))).json()["access_token"]) as http:
        assert names_of(await http.get("/v3/organizations")) == ["acme"]


async def test_a_token_ends_with_its_time_when_revoked_and_when_its_maker_loses_the_right(served: Served) -> None:
    place = await make_place(served)
    maker = await make_member(served, "dev", place, "space_developer")
    async with await signed_in(served, "dev") as http:
        short = await make_token(http, name="short", life_s=3600)
        revoked = await make_token(http, name="revoked")
        orphan = await make_token(http, name="orphan")
        too_long = await http.post(TOKENS, json={"name": "x", "life_s": 366 * 86400})
        assert too_long.status_code == 422
        assert (await http.post(TOKENS, json={"name": "orphan"})).status_code == 422
        exchanged = (await ask_token(served, **exchange(revoked))).json()["access_token"]
        assert (await http.delete(f"{TOKENS}/revoked")).status_code == 204
    for dead in (revoked["token"], exchanged):
        assert (await read_apps(served, f"bearer {dead}")).status_code == 401
    assert (await read_apps(served, f"bearer {short['token']}")).status_code == 200
    served.clock.ahead_s = 3550
    last = (await ask_token(served, **exchange(short))).json()
    assert last["expires_in"] <= 50, "what it is exchanged for ends with it"
    served.clock.ahead_s = 3601
    expired = await read_apps(served, f"bearer {short['token']}")
    assert "expired" in expired.json()["errors"][0]["detail"]
    assert (await ask_token(served, **exchange(short))).json()["error"] == "invalid_client"
    assert (await read_apps(served, f"bearer {orphan['token']}")).status_code == 200
    access = (await ask_token(served, **exchange(orphan))).json()["access_token"]
    with served.context.database.read() as tx:
        role = tx.find(Role, user_guid=maker, type="space_developer")
    assert role is not None
    await served.context.database.write(delete_role, DeleteRole(role_guid=role.guid, actor=SYSTEM))
    for dead in (orphan["token"], access):
        refused = await read_apps(served, f"bearer {dead}")
        assert refused.status_code == 401
        assert "has no right to any more" in refused.json()["errors"][0]["detail"]


async def test_a_token_goes_with_its_space_and_with_its_maker(served: Served) -> None:
    place = await make_place(served)
    other = await make_place(served, "second", "dev")
    maker = await make_member(served, "dev", place, "space_developer")
    async with await signed_in(served, "dev") as http:
        by_dev = await make_token(http)
    async with served.root_client() as http:
        await make_token(http, name="by-root")
        elsewhere = await make_token(http, "/paasd/v1/spaces/second/dev/deploy-tokens")
    await served.context.database.write(delete_user, DeleteUser(user_guid=maker, actor=SYSTEM))
    with served.context.database.read() as tx:
        assert tx.get(DeployToken, by_dev["guid"]) is None
        assert tx.get(User, by_dev["guid"]) is None
        assert tx.count(DeployToken) == 2
    await served.context.database.write(begin_delete_space, DeleteSpace(space_guid=place[1], actor=SYSTEM))
    assert await served.context.database.write(delete_chunk, DeleteChunk(kind="space", guid=place[1]))
    with served.context.database.read() as tx:
        assert [token.guid for token in tx.all(DeployToken)] == [elsewhere["guid"]]
        assert tx.get(User, elsewhere["guid"]) is not None
        assert [user.guid for user in tx.all(User, origin="deploy-token")] == [elsewhere["guid"]]
    assert other


async def test_the_list_shows_last_use_and_never_a_secret_and_not_what_is_none_of_ones_business(
    served: Served,
) -> None:
    place = await make_place(served)
    await make_member(served, "dev", place, "space_developer")
    await make_member(served, "other", place, "space_developer")
    await make_member(served, "manager", place, "space_manager")
    await make_place(served, "foreign", "prod")
    async with await signed_in(served, "dev") as http:
        token = await make_token(http)
        await read_apps(served, f"bearer {token['token']}")
        async with served.context.database.watch("deploy_tokens") as changes:
            while True:
                listed = (await http.get(TOKENS)).json()["deploy_tokens"]
                if listed[0]["last_used_on"]:
                    break
                await changes.wait()
                changes.take()
        assert listed[0]["name"] == "ci"
        assert listed[0]["counts"]
        for path in ("/paasd/v1/spaces/foreign/prod/deploy-tokens", "/paasd/v1/spaces/none/prod/deploy-tokens"):
            assert (await http.get(path)).status_code == 404
        assert token["client_secret"] not in (await http.get(TOKENS)).text
    index = served.context.database.index
    for _ in range(3):
        await read_apps(served, f"bearer {token['token']}")
    assert served.context.database.index == index, "one write a day"
    async with await signed_in(served, "other") as http:
        assert (await http.get(TOKENS)).json()["deploy_tokens"] == []
        assert (await http.delete(f"{TOKENS}/ci")).status_code == 404
    async with await signed_in(served, "manager") as http:
        assert [one["name"] for one in (await http.get(TOKENS)).json()["deploy_tokens"]] == ["ci"]
        assert (await http.delete(f"{TOKENS}/ci")).status_code == 204
    kinds = ("audit.deploy_token.create", "audit.deploy_token.revoke")
    for kind, actor in zip(kinds, ("dev", "manager"), strict=True):
        [event] = await events(served, kind)
        assert event["actor"]["name"] == actor
        assert token["client_secret"] not in str(event)


async def test_a_deploy_token_is_no_person(served: Served) -> None:
    await make_place(served)
    async with served.root_client() as http:
        token = await make_token(http)
    assert (await sign_in(served, f"ci.{token['guid'][:8]}")).status_code == 401
    async with served.client(token["token"]) as http:
        assert (await http.post("/paasd/v1/me/second-factor")).status_code == 403
    access = (await ask_token(served, **exchange(token))).json()["access_token"]
    async with served.client() as http:
        answer = await http.get("/passcode", headers={"Authorization": f"bearer {access}"})
        assert answer.status_code == 403


async def test_nobody_gives_a_token_another_role(served: Served) -> None:
    place = await make_place(served)
    await make_member(served, "manager", place, "organization_manager")
    person = await make_member(served, "person", place)
    async with await signed_in(served, "manager") as http:
        token = await make_token(http)
        within = {"organization": {"data": {"guid": place[0]}}}
        for guid, status in ((token["guid"], 422), (person, 201)):
            body = {"type": "organization_auditor", "relationships": {**within, "user": {"data": {"guid": guid}}}}
            assert (await http.post("/v3/roles", json=body)).status_code == status


async def test_a_request_that_is_repeated_makes_no_second_token_and_shows_no_false_one(served: Served) -> None:
    await make_place(served)
    key = {"Idempotency-Key": "one"}
    async with served.root_client() as http:
        first = await http.post(TOKENS, json={"name": "ci"}, headers=key)
        again = await http.post(TOKENS, json={"name": "ci"}, headers=key)
        assert (first.status_code, again.status_code) == (201, 422)
        assert "its answer is lost" in again.json()["errors"][0]["detail"]
        assert len((await http.get(TOKENS)).json()["deploy_tokens"]) == 1


async def test_the_tokens_that_somebody_made_in_an_organization_count_as_one_and_apart_from_their_maker(
    served: Served,
) -> None:
    """Else whoever may make tokens has as many turns, streams and calls as they like."""
    one, two = await make_tenant(served, "one", "developer", "manager"), await make_tenant(served, "two", "manager")
    people: dict[str, set[str]] = {}

    async def add(label: str, token: str) -> None:
        payer = payer_of(served.context.database, served.auth.caller(token))
        assert not payer.free
        assert len(payer.organizations) == 1
        people.setdefault(label, set()).add(payer.person)

    for tenant, kind in ((one, "developer"), (one, "manager"), (two, "manager")):
        async with tenant.client(kind) as http:
            for name in ("a", "b", "c"):
                path = f"/paasd/v1/spaces/{tenant.name}/dev/deploy-tokens"
                made = await make_token(http, path, name=f"{kind}-{name}")
                answer = await ask_token(served, **exchange(made))
                await add(f"tokens of {kind}@{tenant.name}", answer.json()["access_token"])
            await add(f"{kind}@{tenant.name}", http.headers["Authorization"].partition(" ")[2])
    async with served.root_client() as root:  # whose tokens are not all of one tenant
        for tenant in (one, two):
            made = await make_token(root, f"/paasd/v1/spaces/{tenant.name}/dev/deploy-tokens", name="root")
            answer = await ask_token(served, **exchange(made))
            await add(f"root's of {tenant.name}", answer.json()["access_token"])
    assert all(len(found) == 1 for found in people.values()), people
    assert len(set.union(*people.values())) == len(people) == 8
