"""Refusals tell nothing, either: that a quota is used up, or a name is taken, is said to whom it concerns alone."""

import re
from pathlib import Path

from tests.tenancy.calling import Answer
from tests.tenancy.entries import LIMITED, OWN_NAMES, one
from tests.tenancy.test_every_route import differences
from tests.tenancy.walking import PARAMETER, Entry, comparable, endpoint, entries, leaks, request
from tests.tenancy.world import Organization, World, filled, open_world

NOTHING = {
    "apps": {"total_memory_in_mb": 0, "total_instances": 0, "per_app_tasks": 0, "total_disk_in_mb": 0},
    "routes": {"total_routes": 0, "total_reserved_ports": 0},
}
RANDOM = re.compile(r"[0-9A-Za-z_-]{32,}")
PEOPLE = ("owner", "space_developer")
ROLES = ("space_auditor", "space_supporter")


async def test_what_a_role_is_refused_changes_nothing(tmp_path: Path) -> None:
    """`Api.call` looks at the tables before and after; here are those who see the objects and may do a part of it."""
    async with open_world(tmp_path) as world:
        own = world.organizations[0]
        for app in ("app2", "app3"):  # deleted by name, which takes their routes along
            route = (await make_route(world, own, f"of-{app}")).json["guid"]
            to = {"destinations": [{"app": {"guid": own.values[app]}}]}
            await world.expect(own.tokens["owner"], f"POST /v3/routes/{route}/destinations", to)
        refused = 0
        for entry in (entry for entry in entries(set(world.nobody.values)) if entry.method != "GET"):
            for role in ROLES:
                refused += (await world.api.call(own.tokens[role], *request(entry, own.values))).status == 403
        assert refused > 100


async def use_up(world: World, organization: Organization) -> None:
    """From now on whatever the organization asks for is too much."""
    for kind, limits in (("org_quota", {**NOTHING, "domains": {"total_domains": 0}}), ("space_quota", NOTHING)):
        path = "organization_quotas" if kind == "org_quota" else "space_quotas"
        await world.expect(world.admin, f"PATCH /v3/{path}/{organization.values[kind]}", limits)


async def refused_by_quota(world: World, organization: Organization) -> set[str]:
    """Those of LIMITED that its owner is refused, and told why."""
    found = set()
    for entry in (entry for entry in entries(set(world.nobody.values)) if endpoint(entry) in LIMITED):
        answer = await world.api.call(organization.tokens["owner"], *request(entry, organization.values))
        if answer.status == 422 and LIMITED[endpoint(entry)] in answer.body:
            found.add(endpoint(entry))
    return found


async def test_a_quota_that_is_used_up_is_told_to_its_own_people_alone(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        changes = [entry for entry in entries(set(world.nobody.values)) if entry.method != "GET" and entry.kinds]
        for poor in world.organizations[:2]:  # theirs first, then that of who asks, too
            await use_up(world, poor)
            assert await refused_by_quota(world, poor) == set(LIMITED)
            found: list[str] = []
            for person in PEOPLE:
                for entry in changes:
                    found += await differences(world, entry, person)
            assert "\n".join(found) == ""


async def test_who_shares_a_quota_is_not_told_with_whom_and_what_they_use_does_not_count(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        theirs, own, *_ = world.organizations
        quota = (await world.expect(world.admin, "POST /v3/organization_quotas", {"name": "shared"})).json["guid"]
        both = {"data": [{"guid": one.values["org"]} for one in (theirs, own)]}
        await world.expect(world.admin, f"POST /v3/organization_quotas/{quota}/relationships/organizations", both)
        await world.expect(world.admin, f"PATCH /v3/organization_quotas/{quota}", {"routes": {"total_routes": 3}})
        token = own.tokens["owner"]
        shown = await world.expect(token, f"GET /v3/organization_quotas/{quota}")
        assert shown.json["relationships"]["organizations"]["data"] == [{"guid": own.values["org"]}]
        assert leaks(shown, theirs, {}) == []
        assert (await make_route(world, theirs, "one-more")).status == 201
        assert (await make_route(world, theirs, "too-much")).status == 422
        assert (await make_route(world, own, "mine")).status == 201
        refused = await make_route(world, own, "mine-too")
        assert refused.status == 422
        assert own.values["org.name"] in refused.body
        assert leaks(refused, theirs, {}) == []


async def make_route(world: World, organization: Organization, host: str) -> Answer:
    """By its owner, on the domain that all share."""
    body = filled({"host": host, "relationships": one(space="space", domain="shared")}, organization.values)
    return await world.api.call(organization.tokens["owner"], "POST", "/v3/routes", body)


async def test_a_name_that_others_have_in_their_own_place_is_as_free_as_one_that_nobody_has(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        theirs, own, *_ = world.organizations
        found = []
        for kind, line, body in OWN_NAMES:
            method, url = line.split(" ", 1)
            entry = Entry(line, method, PARAMETER.sub(lambda match: f"${match[2]}", url), body)
            answers = []
            for other in (theirs, world.nobody):
                values = {**own.values, "taken": other.values[kind]}
                answer = await world.api.call(own.tokens["owner"], *request(entry, values))
                answers.append(RANDOM.sub("<random>", repr(comparable(answer, values))))
            if answers[0] != answers[1] or answer.refused:
                found.append(f"{line}: {answers}")
        assert "\n".join(found) == ""
