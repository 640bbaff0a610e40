"""Invitations: made by managers of an organization, accepted once, gone when they expire or their organization goes.

Who accepts gets the roles that were offered, if whoever offered them might still grant them. User names count on the
whole platform, so nobody takes one by an invitation but that of the address which it was mailed to, or which an
administrator invited. One to a user name is for the account of that name; whether there is any, nobody is told.
"""

from functools import partial
from typing import Final

import msgspec

from paasd.errors import NotFound, Unprocessable
from paasd.model.arguments import Actor, Arguments, unix_seconds
from paasd.model.events import record_event
from paasd.model.last_holders import MANAGER
from paasd.model.records import Invitation, Organization, Role, Space, User
from paasd.model.roles import ORGANIZATION_ROLES, SPACE_ROLES, CreateRole, create_role
from paasd.model.users import CreateUser, create_user
from paasd.state import Lt, ReadTx, Tx, operation

OPEN_LIMIT: Final = 200
ROLES_LIMIT: Final = 200
"""Whoever accepts gets them all in one transaction, with an event of each, and that has an end."""
UNKNOWN: Final = (
    "This invitation is not valid (any more): it was used, revoked or has expired. Ask whoever invited you for another."
)
NO_ACCOUNT: Final = (
    "This invitation makes no account: only one that was mailed does, or an administrator's. Accept it with the account"
    " that you have, or ask an administrator for one."
)
PLATFORM: Final = "cloud_controller.admin"


class CreateInvitation(Arguments):
    """Arguments of `create_invitation`; times in unix seconds. `by_platform`: an administrator invites."""

    organization_guid: str
    address: str
    secret_hash: str
    organization_roles: list[str]
    space_roles: dict[str, list[str]]
    expires_at: int
    by_platform: bool = False
    actor: Actor


@operation("invitation.create", version=1)
def create_invitation(tx: Tx, args: CreateInvitation) -> Invitation:
    """One for each address; a new one takes the place of the old. Raises NotFound, Unprocessable."""
    organization = tx.need(Organization, args.organization_guid)
    if organization.deleting:
        raise NotFound("Organization")
    tx.delete_all(Invitation, Lt("expires_at", int(unix_seconds(tx.now))), organization_guid=organization.guid)
    tx.delete_all(Invitation, organization_guid=organization.guid, address=args.address)
    if tx.count(Invitation, organization_guid=organization.guid) >= OPEN_LIMIT:
        raise Unprocessable(f"There are {OPEN_LIMIT} open invitations already; revoke some first")
    for space_guid in args.space_roles:
        space = tx.get(Space, space_guid)
        if space is None or space.deleting or space.organization_guid != organization.guid:
            raise NotFound("Space")
    invitation = tx.insert(
        Invitation(
            organization_guid=organization.guid,
            address=args.address,
            secret_hash=args.secret_hash,
            organization_roles=args.organization_roles,
            space_roles=args.space_roles,
            invited_by=args.actor.name,
            inviter_guid="" if args.by_platform else args.actor.guid,
            expires_at=args.expires_at,
        )
    )
    _event(tx, "audit.invitation.create", args.actor, invitation)
    return invitation


class ChangeInvitation(Arguments):
    """Arguments of `revoke_invitation`."""

    invitation_guid: str
    actor: Actor


@operation("invitation.revoke", version=1)
def revoke_invitation(tx: Tx, args: ChangeInvitation) -> None:
    """Nobody can accept it any more. Raises NotFound."""
    invitation = tx.need(Invitation, args.invitation_guid)
    tx.delete(invitation)
    _event(tx, "audit.invitation.revoke", args.actor, invitation)


class NoteSent(Arguments):
    """Arguments of `note_sent`."""

    invitation_guid: str


@operation("invitation.note_sent", version=1)
def note_sent(tx: Tx, args: NoteSent) -> bool:
    """A mail server has taken it; False when it is gone meanwhile."""
    invitation = tx.get(Invitation, args.invitation_guid)
    if invitation is None:
        return False
    tx.update(invitation, sent_at=int(unix_seconds(tx.now)))
    return True


class AcceptInvitation(Arguments):
    """Arguments of `accept_invitation`: by the user of `user_guid`, else by a new one of the address invited.

    `actor` says from where; who it is, the accepted account says.
    """

    secret_hash: str
    user_guid: str | None = None
    username: str = ""
    password_hash: str | None = None
    actor: Actor | None = None


@operation("invitation.accept", version=1)
def accept_invitation(tx: Tx, args: AcceptInvitation) -> User:
    """Grant what was offered, once. Raises Unprocessable; then nothing was changed and it can be tried again."""
    invitation = _open_invitation(tx, args.secret_hash)
    organization = tx.need(Organization, invitation.organization_guid)
    if args.user_guid is None:
        user, actor = _new_user(tx, invitation, args)
    else:
        user = tx.need(User, args.user_guid)
        actor = _actor(args, user.guid, user.username)
    if "@" not in invitation.address and user.username != invitation.address:
        raise Unprocessable(f"This invitation is for the account '{invitation.address}': sign in with that")
    grant = partial(_grant, tx, user, actor, invitation.invited_by, organization)
    grant(None, dict.fromkeys(["organization_user", *invitation.organization_roles]))
    for space_guid, types in invitation.space_roles.items():
        space = tx.get(Space, space_guid)
        if space is not None and not space.deleting:
            grant(space, dict.fromkeys(types))
    tx.delete(invitation)
    _event(tx, "audit.invitation.accept", actor, invitation)
    return user


def _open_invitation(tx: Tx, secret_hash: str) -> Invitation:
    """The invitation of a secret that still counts. Raises Unprocessable."""
    found = tx.find(Invitation, secret_hash=secret_hash)
    if found is None or not is_open(tx, found, int(unix_seconds(tx.now))):
        raise Unprocessable(UNKNOWN)
    return found


def is_open(tx: ReadTx, invitation: Invitation, now: int) -> bool:
    """Whether it still counts, as far as rows tell."""
    organization = tx.get(Organization, invitation.organization_guid)
    if invitation.expires_at <= now or organization is None or organization.deleting or organization.suspended:
        return False
    return _may_still_invite(tx, invitation)


def makes_account(invitation: Invitation) -> bool:
    """Whether who has the secret reads the mail of the address (nobody else was shown it), or an administrator invites.

    Else managers of one organization could make themselves the account to which another is about to give roles.
    """
    return invitation.sent_at is not None or not invitation.inviter_guid


def _actor(args: AcceptInvitation, guid: str, name: str) -> Actor:
    """Who accepts, from where they do. An older node does not say from where."""
    if args.actor is None:
        return Actor(guid=guid, type="user", name=name)
    return msgspec.structs.replace(args.actor, guid=guid, name=name)


def _new_user(tx: Tx, invitation: Invitation, args: AcceptInvitation) -> tuple[User, Actor]:
    if not makes_account(invitation):
        raise Unprocessable(NO_ACCOUNT)
    if args.username.lower() != invitation.address.lower():
        raise Unprocessable(f"The user name has to be {invitation.address}, which was invited")
    guid = tx.guid()
    actor = _actor(args, guid, args.username)
    made = CreateUser(
        guid=guid,
        username=args.username,
        email=invitation.address if "@" in invitation.address else "",
        password_hash=args.password_hash,
        registered=True,
        invited_by=invitation.invited_by,
        actor=actor,
    )
    return create_user(tx, made), actor


def check_types(organization_roles: list[str], space_roles: dict[str, list[str]]) -> None:
    """Raise Unprocessable for what is no role of its place, and for more than one can accept."""
    count = sum(len(set(types)) for types in (organization_roles, *space_roles.values()))
    if count > ROLES_LIMIT:
        raise Unprocessable(f"An invitation gives at most {ROLES_LIMIT} roles, not {count}: give the others by hand")
    for types, known in (
        (organization_roles, ORGANIZATION_ROLES),
        *((one, SPACE_ROLES) for one in space_roles.values()),
    ):
        for one in types:
            if one not in known:
                raise Unprocessable(f"'{one}' is no role there; roles are {', '.join(known)}")


def _may_still_invite(tx: ReadTx, invitation: Invitation) -> bool:
    if not invitation.inviter_guid:
        return True
    place = {"organization_guid": invitation.organization_guid, "user_guid": invitation.inviter_guid}
    inviter = tx.get(User, invitation.inviter_guid)
    if inviter is None or not inviter.active:
        return False
    return tx.exists(Role, type=MANAGER, **place) or PLATFORM in inviter.scopes


def _grant(
    tx: Tx,
    user: User,
    actor: Actor,
    invited_by: str,
    organization: Organization,
    space: Space | None,
    types: dict[str, None],
) -> None:
    place = {"organization_guid": organization.guid} if space is None else {"space_guid": space.guid}
    for type_ in types:
        if not tx.exists(Role, type=type_, user_guid=user.guid, **place):
            wanted = CreateRole(type=type_, user_guid=user.guid, invited_by=invited_by, actor=actor, **place)
            create_role(tx, wanted)


def _event(tx: Tx, event_type: str, actor: Actor, invitation: Invitation) -> None:
    roles = {"organization": invitation.organization_roles, "spaces": invitation.space_roles}
    record_event(
        tx,
        event_type,
        actor,
        target_type="invitation",
        target_guid=invitation.guid,
        target_name=invitation.address,
        organization_guid=invitation.organization_guid,
        data={"roles": roles, "invited_by": invitation.invited_by},
    )
