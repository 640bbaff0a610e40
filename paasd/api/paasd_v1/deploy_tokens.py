"""Deploy tokens of a space or an organization: made, listed and revoked by name."""

from typing import Annotated

import msgspec

from paasd.actions import deploy_tokens as actions
from paasd.api.answers import Answer
from paasd.api.call import Call, Form, Reply, created, no_content
from paasd.api.numbers import Number
from paasd.api.paasd_v1.names import find_organization, find_space
from paasd.api.table import Auth, Route, delete, get, post
from paasd.api.words import DeployTokenRole, said
from paasd.auth.deploy import client_id_of
from paasd.model import DeployToken
from paasd.model.arguments import rfc3339
from paasd.model.deploy_tokens import MAKERS

OF_SPACE = "organization_manager, space_manager; space_developer, space_supporter, space_auditor for what they have"
OF_ORGANIZATION = "organization_manager or organization_auditor"


class NewToken(Form):
    """What the token is for; without `life_s` (seconds) it lives as long as the platform says."""

    name: str
    role: Annotated[str, said(*MAKERS)] | None = None
    life_s: Number | None = None


class DeployTokenShown(Answer):
    """A deploy token without its secret; `problem` says why it does not count."""

    guid: str
    name: str
    client_id: str
    role: DeployTokenRole
    created_at: str
    created_by: str
    expires_at: str
    last_used_on: str | None
    counts: bool
    problem: str | None


class NewDeployToken(DeployTokenShown):
    """One that was just made: the token as a whole, and its secret half."""

    token: str
    client_secret: str


class DeployTokens(Answer):
    """Those of a place."""

    deploy_tokens: list[DeployTokenShown]


async def create_token(call: Call) -> Reply[NewDeployToken]:
    """201 with the token itself, which is shown this once."""
    form = await call.json(NewToken)
    organization_guid, space_guid = _place(call)
    role = form.role or ("organization_auditor" if space_guid is None else "space_developer")
    whole, row = await actions.create(
        call.context,
        call.caller,
        name=form.name,
        role=role,
        organization_guid=organization_guid,
        space_guid=space_guid,
        life_s=form.life_s,
    )
    shown = msgspec.structs.asdict(_present(row, None))
    return created(NewDeployToken(**shown, token=whole, client_secret=whole.partition(".")[2]))


async def list_tokens(call: Call) -> Reply[DeployTokens]:
    """Never the secrets."""
    found = actions.listed(call.context, call.platform.auth.deploy, call.caller, *_place(call))
    return Reply(body=DeployTokens(deploy_tokens=[_present(row, why) for row, why in found]))


async def revoke_token(call: Call) -> Reply[None]:
    """It counts no more, at once."""
    await actions.revoke(call.context, call.caller, *_place(call), call.path["name"])
    return no_content()


def _place(call: Call) -> tuple[str, str | None]:
    with call.context.database.read() as tx:
        if "space" not in call.path:
            return find_organization(call, tx).guid, None
        space = find_space(call, tx)
        return space.organization_guid, space.guid


def _present(row: DeployToken, why: str | None) -> DeployTokenShown:
    return DeployTokenShown(
        guid=row.guid,
        name=row.name,
        client_id=client_id_of(row.guid),
        role=row.role,
        created_at=row.created_at,
        created_by=row.maker_name,
        expires_at=rfc3339(row.expires_at),
        last_used_on=row.last_used_on or None,
        counts=why is None,
        problem=why,
    )


ROUTES: tuple[Route, ...] = tuple(
    route
    for place, makers, managers in (
        ("/paasd/v1/spaces/<organization>/<space>", OF_SPACE, "organization_manager or space_manager"),
        ("/paasd/v1/organizations/<organization>", OF_ORGANIZATION, "organization_manager"),
    )
    for route in (
        get(f"{place}/deploy-tokens", list_tokens, auth=Auth.BASIC),
        post(f"{place}/deploy-tokens", create_token, auth=Auth.BASIC, permission=makers),
        delete(
            f"{place}/deploy-tokens/<name>",
            revoke_token,
            auth=Auth.BASIC,
            permission=f"{managers}, or who made it",
        ),
    )
)
