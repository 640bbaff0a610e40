"""Invitations to an organization: made, listed and revoked by its managers, accepted by whoever has the secret.

The secret travels in bodies and in the link of the mail alone: paths of requests are logged.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec

from paasd.actions import invitations as actions
from paasd.api.call import Call, Form, Reply, created, no_content
from paasd.api.paasd_v1.names import find_organization
from paasd.api.table import Auth, Route, delete, get, post
from paasd.model import Invitation

PERMISSION = "organization_manager"


class NewInvitation(Form):
    """`spaces` are roles by the name of the space; `life_s` in seconds."""

    address: str
    organization_roles: list[str] = []
    spaces: dict[str, list[str]] = {}
    life_s: int | None = None


class Acceptance(Form):
    """The secret, as it stands in the link."""

    secret: str


async def create_invitation(call: Call) -> Reply:
    """201 with the link, which is shown this once, and whether a mail server has taken it."""
    form = await call.json(NewInvitation)
    offer = await actions.create(
        call.context,
        call.caller,
        _organization(call),
        address=form.address,
        organization_roles=form.organization_roles,
        spaces=form.spaces,
        life_s=form.life_s,
    )
    link = call.platform.public_url("login", f"/invitation?secret={offer.secret}")
    problem = await actions.deliver(call.context, offer, link)
    body = present(offer.row, form.spaces)
    return created({**body, "secret": offer.secret, "link": link, "sent": problem is None, "mail_problem": problem})


async def list_invitations(call: Call) -> Reply:
    """Those that can still be accepted; never the secrets."""
    found = actions.listed(call.context, call.caller, _organization(call))
    return Reply(body={"invitations": [{**present(row, spaces), "sent": bool(row.sent_at)} for row, spaces in found]})


async def revoke_invitation(call: Call) -> Reply:
    """By guid or address; it counts no more, at once."""
    await actions.revoke(call.context, call.caller, _organization(call), call.path["invitation"])
    return no_content()


async def accept_invitation(call: Call) -> Reply:
    """By somebody who is signed in."""
    form = await call.json(Acceptance)
    _, organization = actions.read(call.context, form.secret)
    user = await actions.accept(call.context, call.caller, form.secret)
    return Reply(body={"organization": organization, "username": user.username})


def present(row: Invitation, spaces: dict[str, list[str]]) -> dict[str, Any]:
    """An invitation without its secret."""
    shown = msgspec.structs.asdict(row)
    kept = ("guid", "created_at", "address", "organization_roles", "invited_by")
    expires = datetime.fromtimestamp(row.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**{name: shown[name] for name in kept}, "spaces": spaces, "expires_at": expires}


def _organization(call: Call) -> str:
    with call.context.database.read() as tx:
        return find_organization(call, tx).guid


BASE = "/paasd/v1/organizations/<organization>/invitations"
ROUTES: tuple[Route, ...] = (
    get(BASE, list_invitations, auth=Auth.BASIC, permission=PERMISSION),
    post(BASE, create_invitation, auth=Auth.BASIC, permission=PERMISSION),
    delete(f"{BASE}/<invitation>", revoke_invitation, auth=Auth.BASIC, permission=PERMISSION),
    post("/paasd/v1/invitations/accept", accept_invitation, auth=Auth.BASIC, permission="who has the secret"),
)
