"""Deploy tokens: made by who has the role or may grant it, listed and revoked by them and by managers."""

import re
from typing import Final

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import NOT_ALLOWED, check_not_suspended
from paasd.actions.visibility import need_visible, visible
from paasd.auth import DEPLOY_TOKEN, Caller
from paasd.auth.deploy import DeployTokens, hash_secret, new_secret, whole_token
from paasd.errors import Forbidden, NotFound, Unprocessable
from paasd.model import DeployToken, Organization, Role, Space, User
from paasd.model import deploy_tokens as model
from paasd.model.deploy_tokens import MANAGERS
from paasd.state import Condition, Eq, In, InSelect, Or, ReadTx

SHORTEST_LIFE_S: Final = 60
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


async def create(
    context: Context,
    caller: Caller,
    *,
    name: str,
    role: str,
    organization_guid: str,
    space_guid: str | None,
    life_s: int | None,
) -> tuple[str, DeployToken]:
    """The whole token, shown this once, and its row. Raises NotFound, Forbidden, Unprocessable with what to do."""
    with context.database.read() as tx:
        _place(tx, caller, organization_guid, space_guid)
        check_not_suspended(tx, caller, organization_guid)
        named = caller.user_guid != model.ROOT and tx.get(User, caller.user_guid) is not None
    if caller.origin == DEPLOY_TOKEN or not (caller.root or named):
        raise Forbidden(f"{NOT_ALLOWED}: only people make deploy tokens")
    life_s = context.config.auth.deploy_token_life_s if life_s is None else life_s
    _check(context, name, role, space_guid, life_s)
    with context.database.read() as tx:
        place = (organization_guid, space_guid)
        if not model.may_make(tx, caller.user_guid, role, *place, by_platform=caller.admin):
            raise Forbidden(f"{NOT_ALLOWED}: a deploy token gives no more than you have there, or may grant")
    guid, secret = context.new_guid(), new_secret()
    arguments = model.CreateDeployToken(
        guid=guid,
        name=name,
        secret_hash=hash_secret(secret),
        role=role,
        organization_guid=organization_guid,
        space_guid=space_guid,
        with_factor=caller.with_factor or caller.root,
        by_platform=caller.admin,
        expires_at=int(context.clock()) + life_s,
        actor=actor_of(caller),
    )
    row = await context.database.write(model.create_deploy_token, arguments)
    if row.guid != guid:
        raise Unprocessable(f"The first request has made it, and its answer is lost; revoke '{name}' and make another")
    return whole_token(guid, secret), row


def _check(context: Context, name: str, role: str, space_guid: str | None, life_s: int) -> None:
    longest_s = context.config.auth.deploy_token_life_max_s
    if not NAME.fullmatch(name):
        raise Unprocessable("Name is 1 to 63 letters, digits, dots, dashes and underscores, such as github-main")
    if role not in model.MAKERS:
        raise Unprocessable(f"Role must be one of {', '.join(model.MAKERS)}, not '{role[:80]}'")
    if role.startswith("space_") != (space_guid is not None):
        raise Unprocessable(f"A token of role {role} is for {'a space' if space_guid is None else 'an organization'}")
    if not SHORTEST_LIFE_S <= life_s <= longest_s:
        raise Unprocessable(f"A deploy token lives {SHORTEST_LIFE_S} to {longest_s} seconds, not {life_s}")


def listed(
    context: Context, tokens: DeployTokens, caller: Caller, organization_guid: str, space_guid: str | None
) -> list[tuple[DeployToken, str | None]]:
    """The tokens of a place that the caller may revoke, by name, each with why it counts no more. Raises NotFound."""
    with context.database.read() as tx:
        _place(tx, caller, organization_guid, space_guid)
        rows = tx.all(
            DeployToken,
            *_mine(caller),
            organization_guid=organization_guid,
            space_guid=space_guid,
            order=("name",),
        )
        return [(row, tokens.why_dead(tx, row)) for row in rows]


async def revoke(context: Context, caller: Caller, organization_guid: str, space_guid: str | None, name: str) -> None:
    """One's own, or any as a manager, by name. Raises NotFound, Forbidden."""
    with context.database.read() as tx:
        _place(tx, caller, organization_guid, space_guid)
        place = {"organization_guid": organization_guid, "space_guid": space_guid}
        token = tx.find(DeployToken, *_mine(caller), name=name, **place)
    if token is None:
        raise NotFound("Deploy token", f"There is no deploy token '{name}' there that you may revoke")
    if caller.origin == DEPLOY_TOKEN and token.guid != caller.user_guid:
        raise Forbidden(NOT_ALLOWED)
    await context.database.write(
        model.revoke_deploy_token, model.RevokeDeployToken(guid=token.guid, actor=actor_of(caller))
    )


def _mine(caller: Caller) -> tuple[Condition, ...]:
    """Conditions that leave what the caller made or is, or manages."""
    if caller.admin:
        return ()
    holder = Eq("user_guid", caller.user_guid)
    return (
        Or(
            Eq("maker_guid", caller.user_guid),
            Eq("guid", caller.user_guid),
            InSelect("space_guid", Role, "space_guid", holder, In("type", MANAGERS[0])),
            InSelect("organization_guid", Role, "organization_guid", holder, In("type", MANAGERS[1])),
        ),
    )


def _place(tx: ReadTx, caller: Caller, organization_guid: str, space_guid: str | None) -> None:
    need_visible(tx, caller, Organization, organization_guid)
    found = space_guid is None or tx.find(
        Space, *visible(tx, caller, Space), guid=space_guid, organization_guid=organization_guid
    )
    if not found:
        raise NotFound("Space")
