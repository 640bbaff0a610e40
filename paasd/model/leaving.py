"""What somebody had who is to be deleted: taken away with an event in each organization that it was in."""

from typing import Final

from paasd.model.arguments import Actor, Arguments
from paasd.model.deploy_tokens import end_token
from paasd.model.last_holders import check_not_last_anywhere
from paasd.model.records import DeployToken, User
from paasd.model.roles import end_roles
from paasd.model.users import BECAUSE
from paasd.state import Ne, Tx, operation

AT_ONCE: Final = 100
"""Roles and tokens of one operation: each is an event of some hundred bytes."""


class TakeRights(Arguments):
    """Arguments of `take_rights`; `tokens` are the deploy tokens that the user made, the others as in `DeleteUser`."""

    user_guid: str
    tokens: bool
    strictly: bool = False
    origins: list[str] | None = None
    actor: Actor


@operation("user.take_rights", version=1)
def take_rights(tx: Tx, args: TakeRights) -> bool:
    """A bounded number of them; True when none is left. Raises as `delete_user`, before anything is taken away."""
    user = tx.need(User, args.user_guid)
    check_not_last_anywhere(tx, user, strictly=args.strictly, origins=args.origins)
    if end_roles(tx, args.actor, BECAUSE, AT_ONCE, user_guid=user.guid) == AT_ONCE:
        return False
    # A token is a user too; its own row goes with that one.
    made = tx.all(DeployToken, Ne("guid", user.guid), maker_guid=user.guid, limit=AT_ONCE) if args.tokens else []
    for token in made:
        end_token(tx, args.actor, token, BECAUSE)
    return len(made) < AT_ONCE
