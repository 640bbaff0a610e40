"""Who is deleted loses roles and deploy tokens: every organization that it concerns has it in its own events."""

from typing import Any

import pytest

from paasd.model import AuditEvent, DeployToken, Role
from paasd.model.arguments import SYSTEM, Actor
from paasd.model.deletion import DeleteChunk, delete_chunk
from paasd.model.deploy_tokens import CreateDeployToken, create_deploy_token
from paasd.model.leaving import AT_ONCE
from paasd.model.organizations import (
    CreateOrganization,
    DeleteOrganization,
    begin_delete_organization,
    create_organization,
)
from paasd.model.roles import CreateRole, create_role
from paasd.model.spaces import DeleteSpace, begin_delete_space
from tests.api.serving import Served
from tests.api.sign_in import signed_in
from tests.api.tenants import Tenant, make_tenant

BECAUSE = {"because": "the user is deleted"}


async def person(served: Served, tenant: Tenant) -> str:
    """A manager and developer who made a token."""
    bob = await served.make_user("bob")
    for role in (
        CreateRole(type="organization_manager", user_guid=bob, organization_guid=tenant.organization, actor=SYSTEM),
        CreateRole(type="space_developer", user_guid=bob, space_guid=tenant.space, actor=SYSTEM),
    ):
        await served.context.database.write(create_role, role)
    async with await signed_in(served, "bob") as http:
        made = await http.post(
            "/paasd/v1/organizations/acme/deploy-tokens", json={"name": "ci", "role": "organization_auditor"}
        )
        assert made.status_code == 201, made.text
    return bob


def told(served: Served, organization_guid: str) -> list[tuple[str, Any, str]]:
    """What the organization's events say of taking away: type, why, and whose."""
    with served.context.database.read() as tx:
        rows = tx.all(AuditEvent, organization_guid=organization_guid, order=("sequence",))
    return [
        (one.type, one.data.get("because"), one.target_name)
        for one in rows
        if one.type.endswith(("_remove", ".revoke"))
    ]


@pytest.mark.parametrize(
    ("url", "tokens"), [("/v3/users/", []), ("/Users/", [("audit.deploy_token.revoke", BECAUSE["because"], "ci")])]
)
async def test_the_organization_is_told_which_roles_and_tokens_went(served: Served, url: str, tokens: Any) -> None:
    tenant = await make_tenant(served, "acme", "manager")
    bob = await person(served, tenant)
    async with await served.admin() as admin:
        assert (await admin.delete(url + bob)).status_code in (200, 202)
    roles = [("audit.user." + one + "_remove", BECAUSE["because"], "bob") for one in MINE]
    assert sorted(told(served, tenant.organization)) == sorted([*roles, *tokens])
    with served.context.database.read() as tx:
        assert tx.count(Role, user_guid=bob) == 0
        assert tx.count(DeployToken) == 1 - len(tokens)


MINE = ("organization_manager", "space_developer")


async def test_many_roles_go_in_portions(served: Served) -> None:
    bob, database = await served.make_user("bob"), served.context.database
    organizations = AT_ONCE // 2 + 1
    for number in range(organizations):
        made = await database.write(create_organization, CreateOrganization(name=f"o{number}", actor=SYSTEM))
        for role in ("organization_user", "organization_auditor"):
            wanted = CreateRole(type=role, user_guid=bob, organization_guid=made.guid, actor=SYSTEM)
            await database.write(create_role, wanted)
    async with await served.admin() as admin:
        assert (await admin.delete(f"/Users/{bob}")).status_code == 200
    with database.read() as tx:
        assert tx.count(AuditEvent, type="audit.user.organization_auditor_remove") == organizations
        assert tx.count(AuditEvent, type="audit.user.organization_user_remove") == organizations


async def test_who_cannot_be_deleted_loses_nothing(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "manager")
    with served.context.database.read() as tx:
        manager = tx.find(Role, type="organization_manager", organization_guid=tenant.organization)
    assert manager is not None
    async with await served.admin() as admin:
        for url in ("/v3/users/", "/Users/"):
            refused = await admin.delete(url + manager.user_guid)
            assert (refused.status_code, "The last manager" in refused.text) == (422, True), refused.text
    assert told(served, tenant.organization) == []


async def test_who_is_deleted_at_cloud_controller_is_not_there_any_more(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "manager")
    bob = await person(served, tenant)
    async with await served.admin() as admin, await signed_in(served, "bob") as own:
        assert (await admin.get(f"/v3/users/{bob}")).status_code == 200
        assert (await admin.delete(f"/v3/users/{bob}")).status_code == 202
        for method in ("GET", "DELETE"):
            gone = await admin.request(method, f"/v3/users/{bob}")
            assert (gone.status_code, gone.json()["errors"][0]["title"]) == (404, "CF-ResourceNotFound"), method
        assert (await admin.patch(f"/v3/users/{bob}", json={"metadata": {"labels": {"a": "b"}}})).status_code == 404
        assert (await admin.get("/v3/users?usernames=bob")).json()["pagination"]["total_results"] == 0
        assert (await own.get(f"/v3/users/{bob}")).status_code == 200, "the account is there, and sees itself"
        found = (await admin.get("/Users", params={"filter": 'userName eq "bob"'})).json()["resources"]
        assert [one["id"] for one in found] == [bob]

        where = {"organization": {"data": {"guid": tenant.organization}}, "user": {"data": {"guid": bob}}}
        again = await admin.post("/v3/roles", json={"type": "organization_user", "relationships": where})
        assert again.status_code == 201, again.text
        assert (await admin.delete(f"/v3/roles/{again.json()['guid']}")).status_code == 202
        assert (await admin.get(f"/v3/users/{bob}")).status_code == 200, "a role makes somebody known for good"


async def test_who_had_roles_and_tokens_in_a_deleted_space_is_told(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "manager")
    bob, database = await served.make_user("bob"), served.context.database
    for role in (
        CreateRole(type="organization_user", user_guid=bob, organization_guid=tenant.organization, actor=SYSTEM),
        CreateRole(type="space_developer", user_guid=bob, space_guid=tenant.space, actor=SYSTEM),
    ):
        await database.write(create_role, role)
    for space_guid, kind in ((tenant.space, "space_developer"), (None, "organization_auditor")):
        token = CreateDeployToken(
            guid=f"token-{kind}",
            name="ci",
            secret_hash="h",
            role=kind,
            organization_guid=tenant.organization,
            space_guid=space_guid,
            expires_at=2**40,
            actor=Actor(guid="root", type="user", name="root"),
        )
        await database.write(create_deploy_token, token)
    await database.write(begin_delete_space, DeleteSpace(space_guid=tenant.space, actor=SYSTEM))
    while not await database.write(delete_chunk, DeleteChunk(kind="space", guid=tenant.space)):
        pass
    because = "the space is deleted"
    assert ("audit.deploy_token.revoke", because, "ci") in told(served, tenant.organization)
    assert ("audit.user.space_developer_remove", because, "bob") in told(served, tenant.organization)
    deleted = DeleteOrganization(organization_guid=tenant.organization, actor=SYSTEM)
    await database.write(begin_delete_organization, deleted)
    while not await database.write(delete_chunk, DeleteChunk(kind="organization", guid=tenant.organization)):
        pass
    because = "the organization is deleted"
    assert ("audit.deploy_token.revoke", because, "ci") in told(served, tenant.organization)
    assert ("audit.user.organization_user_remove", because, "bob") in told(served, tenant.organization)
