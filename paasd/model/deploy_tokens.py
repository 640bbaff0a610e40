"""Deploy tokens: what a pipeline signs in with. Each is a user of its own with one role in one place.

So whatever scopes and checks roles does so for tokens, too. A token gives no right that its maker has not or could not
grant, and only as long as that is so: the maker is looked at each time that it is used.
"""

from typing import Any, Final

from paasd.errors import NotFound, Unprocessable
from paasd.model.arguments import Actor, Arguments
from paasd.model.events import record_event
from paasd.model.metadata import drop_metadata
from paasd.model.records import DeployToken, FactorDemand, Organization, Role, Space, User
from paasd.state import Lt, ReadTx, Tx, operation

ORIGIN: Final = "deploy-token"
ROOT: Final = "root"
FORGET_AFTER_S: Final = 30 * 86400
"""An expired token is listed so much longer, so that people find out why a pipeline stopped."""
LIMIT: Final = 200
"""Tokens of one organization."""
MANAGERS: Final = (frozenset({"space_manager"}), frozenset({"organization_manager"}))
MAKERS: Final[dict[str, tuple[frozenset[str], frozenset[str]]]] = {
    "space_developer": (MANAGERS[0] | {"space_developer"}, MANAGERS[1]),
    "space_supporter": (MANAGERS[0] | {"space_developer", "space_supporter"}, MANAGERS[1]),
    "space_auditor": (MANAGERS[0] | {"space_developer", "space_supporter", "space_auditor"}, MANAGERS[1]),
    "organization_auditor": (frozenset(), MANAGERS[1] | {"organization_auditor"}),
}
"""The roles that a token can have, each with those in the space and in the organization that make one. Managers may
grant the role to anybody; the others hand on what they have. No token can grant rights to others.
"""


def may_make(
    tx: ReadTx, maker_guid: str, role: str, organization_guid: str, space_guid: str | None, *, by_platform: bool = True
) -> bool:
    """Whether this user (or root) may make a token of this role there; `by_platform` counts that it administers all."""
    if maker_guid == ROOT:
        return True
    maker = tx.get(User, maker_guid)
    if maker is None or not maker.active or maker.origin == ORIGIN:
        return False
    if by_platform and "cloud_controller.admin" in maker.scopes:
        return True
    in_space, in_organization = MAKERS[role]
    if space_guid is not None:
        held = {one.type for one in tx.all(Role, user_guid=maker_guid, space_guid=space_guid)}
        if held & in_space:
            return True
    held = {one.type for one in tx.all(Role, user_guid=maker_guid, organization_guid=organization_guid)}
    return bool(held & in_organization)


def why_dead(tx: ReadTx, token: DeployToken, now_s: float) -> str | None:
    """Why a token does not count (any more), as a sentence; None when it does."""
    if token.expires_at <= now_s:
        return "it has expired"
    maker = tx.get(User, token.maker_guid)
    if maker is not None and not maker.active:
        return f"the account of {token.maker_name}, who made it, is switched off"
    if not may_make(tx, token.maker_guid, token.role, token.organization_guid, token.space_guid):
        return f"{token.maker_name}, who made it, has no right to any more"
    if not token.with_factor and tx.get(FactorDemand, token.organization_guid) is not None:
        return "the organization demands a second factor, and it was made without one"
    return None


class CreateDeployToken(Arguments):
    """Arguments of `create_deploy_token`; the secret stays with who asked. `expires_at` in unix seconds.

    `by_platform` says that the maker came as an administrator: a session for less makes no token for more.
    """

    guid: str
    name: str
    secret_hash: str
    role: str
    organization_guid: str
    space_guid: str | None = None
    with_factor: bool = False
    by_platform: bool = True
    expires_at: int
    actor: Actor


@operation("deploy_token.create", version=1)
def create_deploy_token(tx: Tx, args: CreateDeployToken) -> DeployToken:
    """The token, its user and its roles. Raises NotFound, Unprocessable: name taken, too many, no right."""
    place = _place(tx, args.organization_guid, args.space_guid)
    for old in tx.all(DeployToken, Lt("expires_at", int(tx.now_s) - FORGET_AFTER_S), organization_guid=place):
        remove_token(tx, old)
    if not may_make(tx, args.actor.guid, args.role, place, args.space_guid, by_platform=args.by_platform):
        raise Unprocessable("You may make deploy tokens only for roles that you have there, or may grant")
    if tx.exists(DeployToken, organization_guid=place, space_guid=args.space_guid, name=args.name):
        raise Unprocessable(f"There is a deploy token '{args.name}' already; revoke it first, or choose another name")
    if tx.count(DeployToken, organization_guid=place) >= LIMIT:
        raise Unprocessable(f"The organization has {LIMIT} deploy tokens; revoke some that are not used")
    user = tx.insert(User(guid=args.guid, username=f"{args.name}.{args.guid[:8]}", origin=ORIGIN, registered=True))
    tx.insert(Role(type="organization_user", user_guid=user.guid, organization_guid=place))
    where = {"space_guid": args.space_guid} if args.space_guid is not None else {"organization_guid": place}
    tx.insert(Role(type=args.role, user_guid=user.guid, **where))
    token = tx.insert(
        DeployToken(
            guid=args.guid,
            name=args.name,
            secret_hash=args.secret_hash,
            role=args.role,
            organization_guid=place,
            space_guid=args.space_guid,
            maker_guid=args.actor.guid,
            maker_name=args.actor.name,
            with_factor=args.with_factor,
            expires_at=args.expires_at,
        )
    )
    _event(tx, "audit.deploy_token.create", args.actor, token)
    return token


def _place(tx: Tx, organization_guid: str, space_guid: str | None) -> str:
    organization = tx.get(Organization, organization_guid)
    if organization is None or organization.deleting:
        raise NotFound("Organization")
    if space_guid is not None:
        space = tx.get(Space, space_guid)
        if space is None or space.deleting or space.organization_guid != organization.guid:
            raise NotFound("Space")
    return organization.guid


class RevokeDeployToken(Arguments):
    """Arguments of `revoke_deploy_token`."""

    guid: str
    actor: Actor


@operation("deploy_token.revoke", version=1)
def revoke_deploy_token(tx: Tx, args: RevokeDeployToken) -> None:
    """It counts no more, at once. Raises NotFound."""
    end_token(tx, args.actor, tx.need(DeployToken, args.guid))


class NoteDeployTokenUse(Arguments):
    """Arguments of `note_deploy_token_use`: a day such as 2026-01-31."""

    guid: str
    day: str


@operation("deploy_token.note_use", version=1)
def note_deploy_token_use(tx: Tx, args: NoteDeployTokenUse) -> bool:
    """That it was used on that day; False when that is known or it is gone. At most one write a day and token."""
    token = tx.get(DeployToken, args.guid)
    if token is None or token.last_used_on >= args.day:
        return False
    tx.update(token, last_used_on=args.day)
    return True


def end_token(tx: Tx, actor: Actor, token: DeployToken, because: str = "") -> None:
    """Remove it, with its event; `because` is why, when nobody asked for just this."""
    remove_token(tx, token)
    _event(tx, "audit.deploy_token.revoke", actor, token, because)


def remove_token(tx: Tx, token: DeployToken) -> None:
    """The token with its user and roles."""
    tx.delete_all(Role, user_guid=token.guid)
    tx.delete_all(User, guid=token.guid)
    drop_metadata(tx, token.guid)
    tx.delete(token)


def end_tokens(tx: Tx, actor: Actor, because: str, limit: int, **place: Any) -> int:
    """Up to `limit` tokens of a place, each with its event; how many there were."""
    found = tx.all(DeployToken, limit=limit, **place)
    for token in found:
        end_token(tx, actor, token, because)
    return len(found)


def _event(tx: Tx, event_type: str, actor: Actor, token: DeployToken, because: str = "") -> None:
    record_event(
        tx,
        event_type,
        actor,
        target_type="deploy_token",
        target_guid=token.guid,
        target_name=token.name,
        space_guid=token.space_guid,
        organization_guid=token.organization_guid,
        data={"role": token.role, "expires_at": token.expires_at, **({"because": because} if because else {})},
    )
