"""Invitations: managers of an organization offer roles to an address; whoever shows the secret takes them, once."""

import hashlib
import re
import secrets
from typing import Final

import msgspec

from paasd.actions import flags, mailing
from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import NOT_ALLOWED, Permission, allowed_in_organization, authorise_in_organization
from paasd.actions.visibility import need_visible, visible
from paasd.auth import DEPLOY_TOKEN, Caller
from paasd.auth.accounts import Accounts
from paasd.errors import Forbidden, NotFound, Unprocessable
from paasd.model import Invitation, Organization, Space, User
from paasd.model import invitations as model
from paasd.model.arguments import Actor
from paasd.state import ReadTx

PREFIX: Final = "paasd-invite-"
LIFE_S: Final = 7 * 86_400
LIFE_LIMIT_S: Final = 30 * 86_400
ADDRESS: Final = re.compile(r"[^\s<>\"',;:\\()\x00-\x1f\x7f]{1,254}")
USED: Final = "The first request has made the invitation, and its link is lost; invite again under another key"


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What an inviter gets to see, this once: `secret` is for the link."""

    row: Invitation
    secret: str


def hash_secret(secret: str) -> str:
    """As rows keep it; the secret has 256 random bits, so a plain hash will do."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def create(
    context: Context,
    caller: Caller,
    organization_guid: str,
    *,
    address: str,
    organization_roles: list[str],
    spaces: dict[str, list[str]],
    life_s: int | None = None,
) -> Offer:
    """`spaces` are roles by the name of the space. Raises NotFound, Forbidden, FeatureDisabled, Unprocessable."""
    life_s = LIFE_S if life_s is None else life_s
    if not 60 <= life_s <= LIFE_LIMIT_S:
        raise Unprocessable(f"An invitation lives between 60 and {LIFE_LIMIT_S} seconds (30 days), not {life_s}")
    if not ADDRESS.fullmatch(address):
        raise Unprocessable("address must be an e-mail address or a user name, without spaces, quotes or brackets")
    model.check_types(organization_roles, spaces)
    with context.database.read() as tx:
        _authorise(context, caller, organization_guid)
        if "@" not in address:
            flags.require(tx, caller, "set_roles_by_username")
        by_guid = {}
        for name, types in spaces.items():
            space = tx.find(Space, *visible(tx, caller, Space), organization_guid=organization_guid, name=name)
            if space is None:
                raise Unprocessable(f"Space '{name}' is not there; `paasd create-space ORG/{name}` makes it")
            by_guid[space.guid] = sorted(set(types))
    if mailing.can_send(context.config.mail, address) and not caller.admin:
        refusal = context.postage.refusal(organization_guid, address, context.clock())
        if refusal is not None:
            raise Unprocessable(refusal)
    secret = PREFIX + secrets.token_urlsafe(32)
    arguments = model.CreateInvitation(
        organization_guid=organization_guid,
        address=address,
        secret_hash=hash_secret(secret),
        organization_roles=sorted(set(organization_roles) - {"organization_user"}),
        space_roles=by_guid,
        expires_at=int(context.clock()) + life_s,
        by_platform=caller.admin,
        actor=actor_of(caller),
    )
    row = await context.database.write(model.create_invitation, arguments)
    if row.secret_hash != arguments.secret_hash:
        raise Unprocessable(USED)
    return Offer(row=row, secret=secret)


async def deliver(context: Context, offer: Offer, link: str) -> str | None:
    """Send it if that can be done; why it was not, None when a server has taken it."""
    config, row = context.config.mail, offer.row
    if not mailing.can_send(config, row.address):
        why = "the address is a user name" if config.host else "no mail server is configured ([mail] host)"
        only = "" if model.makes_account(row) else ", to somebody with an account: this link makes none"
        return f"{why}: pass the link on yourself{only}"
    with context.database.read() as tx:
        name = tx.need(Organization, row.organization_guid).name
    text = (
        f"{row.invited_by} invites you to the organization {name}.\n\n"
        f"Open this link to accept; it works once, for a few days:\n\n  {link}\n\n"
        "With an account you can also accept on the command line:\n\n"
        f"  paasd invite accept {offer.secret}\n\n"
        "If you did not expect this, do nothing: the invitation expires by itself.\n"
    )
    problem = await mailing.send(config, row.address, f"Invitation to {name}", text)
    if problem is None:
        await context.database.write(model.note_sent, model.NoteSent(invitation_guid=row.guid))
    return problem


def listed(
    context: Context, accounts: Accounts, caller: Caller, organization_guid: str
) -> list[tuple[Invitation, dict[str, list[str]], bool]]:
    """What has not expired, with space roles by name, and whether the door takes it. Raises NotFound, Forbidden.

    One that it refuses now counts again when whoever invited gets back what they lost, so it can be seen and revoked.
    """
    _authorise(context, caller, organization_guid, reading=True)
    with context.database.read() as tx:
        kept = tx.all(Invitation, organization_guid=organization_guid, order=("created_at",))
        rows = [row for row in kept if row.expires_at > context.clock()]
        counting = [_counts(tx, context, accounts, row) for row in rows]
        names = {space.guid: space.name for space in tx.all(Space, organization_guid=organization_guid)}
    spaces = [{names[guid]: types for guid, types in row.space_roles.items() if guid in names} for row in rows]
    return list(zip(rows, spaces, counting, strict=True))


async def revoke(context: Context, caller: Caller, organization_guid: str, which: str) -> None:
    """By guid or address. Raises NotFound, Forbidden."""
    _authorise(context, caller, organization_guid)
    with context.database.read() as tx:
        found = tx.find(Invitation, organization_guid=organization_guid, guid=which) or tx.find(
            Invitation, organization_guid=organization_guid, address=which
        )
    if found is None:
        raise NotFound("Invitation")
    change = model.ChangeInvitation(invitation_guid=found.guid, actor=actor_of(caller))
    await context.database.write(model.revoke_invitation, change)


def read(context: Context, accounts: Accounts, secret: str) -> tuple[Invitation, str]:
    """What a secret offers, and the name of the organization. Raises Unprocessable."""
    with context.database.read() as tx:
        row = tx.find(Invitation, secret_hash=hash_secret(secret))
        if row is None or not _counts(tx, context, accounts, row):
            raise Unprocessable(model.UNKNOWN)
        return row, tx.need(Organization, row.organization_guid).name


async def accept(context: Context, accounts: Accounts, caller: Caller, secret: str) -> tuple[User, str]:
    """By somebody who has an account; with the name of the organization. Raises Forbidden, Unprocessable."""
    _, organization = read(context, accounts, secret)
    with context.database.read() as tx:
        if tx.get(User, caller.user_guid) is None or caller.origin == DEPLOY_TOKEN:
            raise Forbidden("Invitations are for people; sign in as one")
    arguments = model.AcceptInvitation(
        secret_hash=hash_secret(secret), user_guid=caller.user_guid, actor=actor_of(caller)
    )
    return await context.database.write(model.accept_invitation, arguments), organization


async def sign_up(
    context: Context,
    accounts: Accounts,
    secret: str,
    username: str,
    password_hash: str,
    *,
    address: str,
    request_id: str,
) -> User:
    """By somebody who gets an account by it, named as the address that was invited. Raises Unprocessable."""
    read(context, accounts, secret)
    arguments = model.AcceptInvitation(
        secret_hash=hash_secret(secret),
        username=username,
        password_hash=password_hash,
        actor=Actor(guid="", type="user", name=username, address=address, request_id=request_id),
    )
    return await context.database.write(model.accept_invitation, arguments)


def _counts(tx: ReadTx, context: Context, accounts: Accounts, invitation: Invitation) -> bool:
    """Whether it can still be accepted. The operation knows nothing of providers, so who invited is asked for here."""
    inviter = tx.get(User, invitation.inviter_guid)
    shut = inviter is not None and bool(accounts.why_shut(inviter))
    return not shut and model.is_open(tx, invitation, int(context.clock()))


def _authorise(context: Context, caller: Caller, organization_guid: str, *, reading: bool = False) -> None:
    with context.database.read() as tx:
        need_visible(tx, caller, Organization, organization_guid)
        if not reading:
            authorise_in_organization(tx, caller, organization_guid, Permission.MANAGE_ORGANIZATION)
        elif not (
            caller.sees_everything
            or allowed_in_organization(tx, caller, organization_guid, Permission.MANAGE_ORGANIZATION)
        ):
            raise Forbidden(NOT_ALLOWED)
