"""`/Groups`: who administers or audits the whole platform, by call and by `paasd admin`."""

import httpx

from tests.api.serving import PASSWORD, Served
from tests.api.sign_in import events
from tests.cli.typing_hands import paasd

AUDITOR = "cloud_controller.global_auditor"


async def organizations(http: httpx.AsyncClient) -> int:
    answer = await http.get("/v3/organizations")
    assert answer.status_code == 200, answer.text
    return int(answer.json()["pagination"]["total_results"])


async def test_a_role_of_the_platform_counts_at_once_in_an_open_session_and_goes_as_fast(served: Served) -> None:
    guid = await served.make_user("ann")
    # A session of before the grant has not the scope in its token; one made while it lasts loses it with the row.
    async with await served.admin() as admin:
        assert (await admin.post("/v3/organizations", json={"name": "acme"})).status_code == 201
        async with served.client((await served.login("ann"))["access_token"]) as ann:
            assert await organizations(ann) == 0
        added = await admin.post(f"/Groups/{AUDITOR}/members", json={"value": guid, "type": "USER", "origin": "uaa"})
        assert (added.status_code, added.json()["display"]) == (201, "ann")
        async with served.client((await served.login("ann"))["access_token"]) as ann:
            assert await organizations(ann) == 2
            assert (await ann.post("/v3/organizations", json={"name": "no"})).status_code == 403
            shown = (await admin.get(f"/Users/{guid}")).json()["groups"]
            assert [one["display"] for one in shown] == [AUDITOR]
            assert (await admin.delete(f"/Groups/{AUDITOR}/members/{guid}")).status_code == 200
            assert await organizations(ann) == 0
    kinds = [f"audit.user.platform_role_{what}" for what in ("add", "remove")]
    assert [(await events(served, kind))[0]["data"]["role"] for kind in kinds] == [AUDITOR] * 2


async def test_only_administrators_see_and_change_groups_and_nobody_makes_themselves_one(served: Served) -> None:
    guid = await served.make_user("ann")
    async with await served.admin() as admin:
        client = {
            "client_id": "accounts",
            "client_secret": PASSWORD,
            "authorities": ["scim.read", "scim.write"],
            "authorized_grant_types": ["client_credentials"],
        }
        assert (await admin.post("/oauth/clients", json=client)).status_code == 201
        form = {"grant_type": "client_credentials", "client_id": "accounts", "client_secret": PASSWORD}
        token = (await admin.post("/oauth/token", data=form)).json()["access_token"]
    own = (await served.login("ann"))["access_token"]
    for bearer in (own, token):
        async with served.client(bearer) as http:
            body = {"value": guid}
            for group in ("cloud_controller.admin", "no.such"):
                answer = await http.post(f"/Groups/{group}/members", json=body)
                assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")
            assert (await http.get("/Groups")).status_code == 403
            assert (await http.post("/v3/organizations", json={"name": "mine"})).status_code == 403


async def test_what_does_not_fit_is_refused_with_what_does(served: Served) -> None:
    async with await served.admin() as admin:
        found = (await admin.get(f'/Groups?filter=displayName eq "{AUDITOR}"')).json()
        assert [one["id"] for one in found["resources"]] == [AUDITOR]
        assert (await admin.get("/Groups")).json()["totalResults"] == 3
        for path, words in ((f"/Groups?filter=x{AUDITOR}", "such as displayName eq"), ("/Groups/no", AUDITOR)):
            answer = await admin.get(path)
            assert (answer.status_code in (400, 404), words in answer.text) == (True, True), answer.text
        unknown = await admin.post(f"/Groups/{AUDITOR}/members", json={"value": "nobody"})
        assert (unknown.status_code, "nobody" in unknown.text) == (404, True)
        guid = await served.make_user("bob")
        assert (await admin.delete(f"/Groups/{AUDITOR}/members/{guid}")).status_code == 404
        group = await admin.post(f"/Groups/{AUDITOR}/members", json={"value": guid, "type": "GROUP"})
        assert (group.status_code, "type is USER" in group.text) == (400, True)


async def test_the_command_line_hands_it_out_and_takes_it_back(served: Served) -> None:
    await served.make_user("ann")
    boss = {"PAASD_API": served.doors.url, "PAASD_USER": "admin", "PAASD_PASSWORD": PASSWORD}
    granted = await paasd("admin", "grant", "ann", "admin", **boss)
    assert (granted.code, granted.out.splitlines()[0][:17]) == (0, "ann is admin now."), granted
    listed = await paasd("admin", "list", **boss)
    assert sorted(line.split()[:2] for line in listed.out.splitlines()[1:]) == [["admin", "admin"], ["ann", "admin"]]
    ann = {**boss, "PAASD_USER": "ann"}
    revoked = await paasd("admin", "revoke", "ann", "admin", **ann)
    assert (revoked.code, revoked.out) == (0, "ann is no admin any more.\n"), revoked
    refused = await paasd("admin", "grant", "ann", "admin", **ann)
    assert (refused.code, "scope" in refused.err) == (1, True), refused
    nobody = await paasd("admin", "grant", "nobody", "admin", **boss)
    assert (nobody.code, "paasd invite create nobody" in nobody.err) == (1, True), nobody
