"""Last managers, suspended organizations, who grants what, and lists of people."""

from pathlib import Path

import pytest

from tests.tenancy.entries import one
from tests.tenancy.walking import endpoint, entries, request
from tests.tenancy.world import World, filled, open_world

SUSPENDED = "The organization is suspended"
ADMINS_ALONE = ("admin", "scim.write", "uaa.admin or oneself")


async def suspended(world: World) -> None:
    guid = world.organizations[0].values["org"]
    await world.expect(world.admin, f"PATCH /v3/organizations/{guid}", {"suspended": True})


async def test_in_a_suspended_organization_nothing_changes_but_by_administrators_and_reads_go_on(
    tmp_path: Path,
) -> None:
    async with open_world(tmp_path) as world:
        theirs = world.organizations[0]
        await suspended(world)
        permissions = {f"{route.method} {route.path}": route.permission for route in world.table}
        found = []
        for entry in entries(set(world.nobody.values)):
            method, url, body = request(entry, theirs.values)
            answer = await world.api.call(theirs.tokens["owner"], method, url, body)
            reads = method == "GET"
            of_admins = permissions[endpoint(entry)] in ADMINS_ALONE
            # The other organization, which is not suspended, may let go of a domain that it shares.
            revokes = method == "DELETE" and ("/deploy-tokens/" in url or "/shared_organizations/" in url)
            told = SUSPENDED in answer.body or ("cannot be found or accessed" in answer.body and "/networking/" in url)
            if reads and answer.status == 403 and SUSPENDED in answer.body:
                found.append(f"{entry.route} cannot be read")
            elif not reads and not of_admins and not revokes and (answer.status, told) != (403, True):
                found.append(f"{entry.route}: {answer.status} {answer.body[-200:]}")
        assert "\n".join(found) == ""
        app = theirs.values["app"]
        await world.expect(world.admin, f"POST /v3/apps/{app}/actions/stop")
        await world.expect(world.admin, f"PATCH /v3/organizations/{theirs.values['org']}", {"suspended": False})
        await world.expect(theirs.tokens["owner"], f"POST /v3/apps/{app}/actions/start")


async def test_the_last_manager_of_an_organization_stays(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        theirs = world.organizations[0]
        organization = theirs.values["org"]
        query = f"/v3/roles?types=organization_manager&organization_guids={organization}"
        roles = (await world.expect(world.admin, f"GET {query}")).json["resources"]
        assert len(roles) == 2
        first, last = roles
        await world.expect(theirs.tokens["owner"], f"DELETE /v3/roles/{first['guid']}")
        user = last["relationships"]["user"]["data"]["guid"]
        for call in (f"DELETE /v3/roles/{last['guid']}", f"DELETE /v3/users/{user}", f"DELETE /Users/{user}"):
            method, url = call.split(" ")
            answer = await world.api.call(world.admin, method, url)
            assert (answer.status, "give somebody else the role" in answer.body) == (422, True), call
        successor = {
            "type": "organization_manager",
            "relationships": one(user="user", organization="org"),
        }
        await world.expect(world.admin, "POST /v3/roles", filled(successor, theirs.values))
        await world.expect(world.admin, f"DELETE /v3/users/{user}")


GRANTS = {
    "organization_manager": {"organization_auditor", "space_auditor"},
    "space_manager": {"space_auditor"},
}


@pytest.mark.parametrize("role", ["organization_auditor", "space_auditor"])
async def test_roles_are_granted_by_managers_of_the_place_alone(tmp_path: Path, role: str) -> None:
    async with open_world(tmp_path) as world:
        own = world.organizations[1]
        place = "space" if role.startswith("space") else "organization"
        where = {place: {"data": {"guid": own.values["space" if place == "space" else "org"]}}}
        body = {"type": role, "relationships": {"user": {"data": {"guid": own.values["user2"]}}, **where}}
        statuses = {}
        for person in sorted(own.tokens, key=lambda person: person in (*GRANTS, "owner")):
            answer = await world.api.call(own.tokens[person], "POST", "/v3/roles", body)
            statuses[person] = answer.status
            if answer.status == 201:
                await world.expect(own.tokens[person], f"DELETE /v3/roles/{answer.json['guid']}")
        allowed = {person for person, status in statuses.items() if status == 201}
        assert allowed == {person for person, roles in GRANTS.items() if role in roles} | {"owner"}
        assert {statuses[person] for person in set(statuses) - allowed} <= {403, 422}
        assert statuses["organization_billing_manager"] == (403 if place == "organization" else 422)


async def test_an_organization_user_stays_while_there_are_roles_in_spaces(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        theirs = world.organizations[0]
        query = f"/v3/roles?types=organization_user&user_guids={theirs.values['user']}"
        [role] = (await world.expect(world.admin, f"GET {query}")).json["resources"]
        answer = await world.api.call(theirs.tokens["owner"], "DELETE", f"/v3/roles/{role['guid']}")
        words = "Cannot delete organization_user role while user has roles in spaces in that organization."
        assert (answer.status, words in answer.body) == (422, True)
