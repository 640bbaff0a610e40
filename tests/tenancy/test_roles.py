"""docs/roles.md, the data in the code, and what each role in fact gets when it acts are the same."""

from pathlib import Path
from typing import Final

import pytest

from paasd.actions.permissions import MATRIX, SIGHT, Permission
from paasd.auth import ADMIN_READ_ONLY, GLOBAL_AUDITOR
from paasd.model.arguments import SYSTEM
from paasd.model.users import CreateUser, create_user
from tests.tenancy.entries import App, Space
from tests.tenancy.walking import endpoint, entries, request
from tests.tenancy.world import EVERY_ROLE, World, open_world

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "roles.md"
COLUMNS: Final = (
    "organization_manager",
    "organization_billing_manager",
    "organization_auditor",
    "organization_user",
    "space_manager",
    "space_developer",
    "space_auditor",
    "space_supporter",
)


def table(heading: str) -> dict[str, set[str]]:
    """The roles with a `yes`, by the first column, of the table below a heading."""
    lines = DOCUMENT.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {what: {COLUMNS[at] for at, cell in enumerate(cells) if cell == "yes"} for what, *cells in rows[2:]}


def test_the_document_shows_the_data() -> None:
    seen = {what: set(spaces | organizations) for what, (spaces, organizations) in SIGHT.items()}
    assert table("What is seen") == seen
    allowed = {one.value: set(one.space_roles | one.organization_roles) for one in Permission}
    assert table("What is allowed") == allowed
    assert set(MATRIX) == set(Permission)
    assert set(COLUMNS) == set(EVERY_ROLE)


# What an endpoint needs: sight of what, and which permission.
NEEDS: Final[dict[str, tuple[str, Permission | None]]] = {
    "GET /v3/organizations/<guid>": ("organization", None),
    "GET /v3/organizations/<guid>/usage_summary": ("organization", None),
    "PATCH /v3/organizations/<guid>": ("organization", Permission.MANAGE_ORGANIZATION),
    "POST /v3/spaces": ("organization", Permission.MANAGE_ORGANIZATION),
    "POST /paasd/v1/organizations/<organization>/invitations": ("organization", Permission.MANAGE_ORGANIZATION),
    "GET /v3/spaces/<guid>": ("space", None),
    "PATCH /v3/spaces/<guid>": ("space", Permission.UPDATE_SPACE),
    "PATCH /v3/spaces/<guid>/features/<feature>": ("space", Permission.UPDATE_SPACE),
    "POST /v3/spaces/<guid>/actions/apply_manifest": ("space", Permission.WRITE_SPACE),
    "POST /v3/spaces/<guid>/manifest_diff": ("space", Permission.WRITE_SPACE),
    "GET /v3/apps/<guid>": ("app", None),
    "GET /v3/apps/<guid>/env": ("app", Permission.READ_ENVIRONMENT),
    "GET /v3/apps/<guid>/environment_variables": ("app", Permission.READ_ENVIRONMENT),
    "GET /v3/apps/<guid>/manifest": ("app", Permission.READ_SECRETS),
    "GET /v3/apps/<guid>/processes/<type>/stats": ("app", None),
    "GET /v3/packages/<guid>": ("app", None),
    "GET /v3/packages/<guid>/download": ("app", Permission.READ_SECRETS),
    "GET /v3/droplets/<guid>": ("app", None),
    "GET /v3/builds/<guid>": ("app", None),
    "GET /v3/sidecars/<guid>": ("app", None),
    "GET /v3/revisions/<guid>": ("app", None),
    "GET /v3/revisions/<guid>/environment_variables": ("app", Permission.READ_SECRETS),
    "PATCH /v3/revisions/<guid>": ("app", Permission.WRITE_SPACE),
    "GET /v3/tasks/<guid>": ("app", None),
    "GET /api/v1/read/<source_id>": ("app", None),
    "POST /v3/apps": ("space", Permission.WRITE_SPACE),
    "PATCH /v3/apps/<guid>": ("app", Permission.WRITE_SPACE),
    "PATCH /v3/apps/<guid>/environment_variables": ("app", Permission.OPERATE_APPS),
    "PATCH /v3/apps/<guid>/features/<feature>": ("app", Permission.WRITE_SPACE),
    "PATCH /v3/apps/<guid>/relationships/current_droplet": ("app", Permission.OPERATE_APPS),
    "POST /v3/apps/<guid>/actions/start": ("app", Permission.OPERATE_APPS),
    "POST /v3/apps/<guid>/actions/restart": ("app", Permission.OPERATE_APPS),
    "POST /v3/apps/<guid>/actions/stop": ("app", Permission.OPERATE_APPS),
    "POST /v3/apps/<guid>/processes/<type>/actions/scale": ("app", Permission.OPERATE_APPS),
    "PATCH /v3/processes/<guid>": ("app", Permission.OPERATE_APPS),
    "POST /v3/apps/<guid>/sidecars": ("app", Permission.WRITE_SPACE),
    "PATCH /v3/sidecars/<guid>": ("app", Permission.WRITE_SPACE),
    "POST /v3/packages": ("app", Permission.WRITE_SPACE),
    "POST /v3/builds": ("app", Permission.OPERATE_APPS),
    "PATCH /v3/builds/<guid>": ("app", Permission.WRITE_SPACE),
    "PATCH /v3/tasks/<guid>": ("app", Permission.WRITE_SPACE),
    "POST /v3/apps/<guid>/tasks": ("app", Permission.WRITE_SPACE),
    "GET /v3/routes/<guid>": ("route", None),
    "PATCH /v3/routes/<guid>": ("route", Permission.OPERATE_APPS),
    "GET /v3/domains/<guid>": ("private domain", None),
    "PATCH /v3/domains/<guid>": ("private domain", Permission.MANAGE_ORGANIZATION),
    "GET /v3/audit_events/<guid>": ("audit event", None),
    "GET /v3/roles/<guid>": ("role in a space", None),
}


async def test_each_role_gets_404_403_or_what_it_wants_as_the_document_says(tmp_path: Path) -> None:
    seen, allowed = table("What is seen"), table("What is allowed")
    async with open_world(tmp_path) as world:
        own = world.organizations[0]
        walk = [entry for entry in entries(set(world.nobody.values)) if endpoint(entry) in NEEDS]
        assert {endpoint(entry) for entry in walk} == set(NEEDS)
        wrong = []
        for role in EVERY_ROLE:
            for entry in walk:
                what, permission = NEEDS[endpoint(entry)]
                answer = await world.api.call(own.tokens[role], *request(entry, own.values))
                hidden = answer.status == 404 or (answer.status == 422 and "nsure" in answer.body)
                got = "hidden" if hidden else "refused" if answer.status == 403 else "done"
                may = permission is None or role in allowed[permission.value]
                wanted = "hidden" if role not in seen[what] else "done" if may else "refused"
                if got != wanted:
                    wrong.append(f"{role} {entry.route}: {got}, not {wanted}: {answer.status} {answer.body[:150]}")
        assert "\n".join(wrong) == ""


@pytest.mark.parametrize(("scope", "secrets"), [(ADMIN_READ_ONLY, True), (GLOBAL_AUDITOR, False)])
async def test_who_only_reads_the_platform_sees_all_of_it_and_changes_nothing(
    tmp_path: Path, scope: str, secrets: bool
) -> None:
    async with open_world(tmp_path) as world:
        theirs = world.organizations[0]
        token = await reader(world, scope)
        secret = {f"GET {App}/env", f"GET {App}/environment_variables", f"GET {App}/manifest"}
        secret.add("GET /v3/revisions/<guid=revision>/environment_variables")
        wrong = []
        for entry in entries(set(world.nobody.values)):
            answer = await world.api.call(token, *request(entry, theirs.values))
            if entry.route in secret:
                right = (answer.status == 200) is secrets
            elif entry.method == "GET" and entry.route.startswith("GET /v3/"):
                right = answer.status < 400 or "download" in entry.url or "usage_events" in entry.url
            else:
                right = entry.method == "GET" or answer.status in (403, 404, 422)
            if not right:
                wrong.append(f"{entry.route}: {answer.status} {answer.body[:150]}")
        assert "\n".join(wrong) == ""
        for route in (f"PATCH {App}", f"PATCH {Space}", "POST /v3/apps", "PATCH /v3/organizations/<guid=org>"):
            [one] = [found for found in entries(set(theirs.values)) if found.route == route]
            assert (await world.api.call(token, *request(one, theirs.values))).status == 403, route
        processes = await world.expect(token, f"GET /v3/processes/{theirs.values['process']}")
        assert ("PRIVATE" in processes.json["command"]) is not secrets


async def reader(world: World, scope: str) -> str:
    """The token of somebody with a scope and no role."""
    user = CreateUser(username="reader", scopes=[scope], registered=True, actor=SYSTEM)
    await world.served.context.database.write(create_user, user)
    return world.token("reader")
