"""Who is deleted loses roles and deploy tokens: every organization that it concerns has it in its own events."""

from typing import Any

import pytest

from paasd.model import AuditEvent, DeployToken, Role
from paasd.model.arguments import SYSTEM
from paasd.model.leaving import AT_ONCE
from paasd.model.organizations import CreateOrganization, create_organization
from paasd.model.roles import CreateRole, create_role
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
