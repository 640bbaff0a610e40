"""Invitations to an organization: made, listed and revoked by its managers, accepted by whoever has the secret.

The secret travels in bodies and in the link of the mail alone: paths of requests are logged.
"""

import msgspec

from paasd.actions import invitations as actions
from paasd.api.answers import Answer
from paasd.api.call import Call, Form, Reply, created, no_content
from paasd.api.numbers import Number
from paasd.api.paasd_v1.names import find_organization
from paasd.api.table import Auth, Route, delete, get, post
from paasd.model import Invitation
from paasd.model.arguments import rfc3339

PERMISSION = "organization_manager"


class NewInvitation(Form):
    """`spaces` are roles by the name of the space; `life_s` in seconds."""

    address: str
    organization_roles: list[str] = []
    spaces: dict[str, list[str]] = {}
    life_s: Number | None = None


class Acceptance(Form):
    """The secret, as it stands in the link."""

    secret: str


class InvitationShown(Answer):
    """An invitation without its secret. `sent` is whether a mail server took it.

    `counts` is whether it can be accepted now, not so while whoever invited may not invite, or the organization is
    suspended.
    """

    guid: str
    created_at: str
    address: str
    organization_roles: list[str]
    invited_by: str
    spaces: dict[str, list[str]]
    expires_at: str
    sent: bool
    counts: bool


class NewlyInvited(InvitationShown):
    """One that was just made. The link and its secret are shown where it was not mailed, with why it was not."""

    secret: str | None
    link: str | None
    mail_problem: str | None


class Invitations(Answer):
    """Those of an organization."""

    invitations: list[InvitationShown]


class Accepted(Answer):
    """Who is in which organization now."""

    organization: str
    username: str


async def create_invitation(call: Call) -> Reply[NewlyInvited]:
    """201 with the link, which is shown this once, unless a mail server has taken it: then it proves the address."""
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
    shown = msgspec.structs.asdict(present(offer.row, form.spaces, sent=problem is None))
    secret, link_shown = (None, None) if problem is None else (offer.secret, link)
    return created(NewlyInvited(**shown, secret=secret, link=link_shown, mail_problem=problem))


async def list_invitations(call: Call) -> Reply[Invitations]:
    """Those that have not expired; never the secrets."""
    found = actions.listed(call.context, call.platform.auth.accounts, call.caller, _organization(call))
    shown = [present(row, spaces, sent=bool(row.sent_at), counts=counts) for row, spaces, counts in found]
    return Reply(body=Invitations(invitations=shown))


async def revoke_invitation(call: Call) -> Reply[None]:
    """By guid or address; it counts no more, at once."""
    await actions.revoke(call.context, call.caller, _organization(call), call.path["invitation"])
    return no_content()


async def accept_invitation(call: Call) -> Reply[Accepted]:
    """By somebody who is signed in."""
    form = await call.json(Acceptance)
    user, organization = await actions.accept(call.context, call.platform.auth.accounts, call.caller, form.secret)
    return Reply(body=Accepted(organization=organization, username=user.username))


def present(row: Invitation, spaces: dict[str, list[str]], *, sent: bool, counts: bool = True) -> InvitationShown:
    """An invitation without its secret."""
    return InvitationShown(
        guid=row.guid,
        created_at=row.created_at,
        address=row.address,
        organization_roles=row.organization_roles,
        invited_by=row.invited_by,
        spaces=spaces,
        expires_at=rfc3339(row.expires_at),
        sent=sent,
        counts=counts,
    )


def _organization(call: Call) -> str:
    with call.context.database.read() as tx:
        return find_organization(call, tx).guid


BASE = "/paasd/v1/organizations/<organization>/invitations"
ROUTES: tuple[Route, ...] = (
    get(BASE, list_invitations, auth=Auth.BASIC, permission=f"{PERMISSION}, admin_read_only or global_auditor"),
    post(BASE, create_invitation, auth=Auth.BASIC, permission=PERMISSION),
    delete(f"{BASE}/<invitation>", revoke_invitation, auth=Auth.BASIC, permission=PERMISSION),
    post("/paasd/v1/invitations/accept", accept_invitation, auth=Auth.BASIC, permission="who has the secret"),
)
