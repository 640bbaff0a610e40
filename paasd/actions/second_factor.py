"""Second factors of people: their own affair, reset by administrators, demanded by organizations."""

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import NOT_ALLOWED, Permission, authorise_admin, authorise_in_organization
from paasd.actions.visibility import need_visible
from paasd.auth import DEPLOY_TOKEN, Caller
from paasd.auth.factors import factor_context
from paasd.auth.service import Auth, OAuthError
from paasd.auth.totp import enrolment_uri, hash_code, new_recovery_codes, new_secret
from paasd.errors import Forbidden, NotFound, Unprocessable
from paasd.model import FactorDemand, Organization, SecondFactor, User
from paasd.model import second_factors as model
from paasd.model.users import find_user

NAMED = 5
"""Organizations that a warning names; it is a header."""
FRESH_S = 300
"""Who signed in so lately needs not give the password again: nobody has had time to take the token."""
ANSWERED = "The first request was carried out, and what it would have shown is lost; ask again under another key"
STALE = "Give your password (`password`), or sign in again and come back within five minutes"
NONE = "You have no second factor; `paasd second-factor enrol` makes one"


def standing(context: Context, caller: Caller) -> SecondFactor | None:
    """The caller's own factor, confirmed or not. Raises Forbidden for those who are no people."""
    with context.database.read() as tx:
        user = _person(tx.get(User, caller.user_guid), caller)
        return tx.get(SecondFactor, user.guid)


async def enrol(context: Context, caller: Caller, auth: Auth, password: str | None) -> tuple[str, str]:
    """(secret, URI for the authenticator), shown this once; `confirm` makes it count.

    Who signed in longer ago gives the password: who only has a token would shut the owner out with a factor of theirs.
    Raises Forbidden, Unprocessable.
    """
    with context.database.read() as tx:
        user = _person(tx.get(User, caller.user_guid), caller)
    if password is not None:
        try:
            await auth.check_password(user, password, caller.address)
        except OAuthError as error:
            raise Unprocessable(error.detail) from error
    elif context.clock() - caller.signed_in_at >= FRESH_S:
        raise Unprocessable(STALE)
    secret = new_secret()
    sealed = context.sealer.seal(secret.encode(), factor_context(user.guid))
    wanted = model.EnrolFactor(user_guid=user.guid, sealed_secret=sealed, actor=actor_of(caller))
    if (await context.database.write(model.enrol_factor, wanted)).sealed_secret != sealed:
        raise Unprocessable(ANSWERED)
    return secret, enrolment_uri(secret, user.username, f"paasd {context.config.domains.system}")


async def confirm(context: Context, caller: Caller, auth: Auth, code: str) -> list[str]:
    """The recovery codes, shown this once. Ends the caller's sessions. Raises NotFound, Unprocessable."""
    with context.database.read() as tx:
        user = _person(tx.get(User, caller.user_guid), caller)
        factor = tx.get(SecondFactor, user.guid)
    if factor is None:
        raise NotFound("Second factor", NONE)
    if factor.confirmed:  # whether a code is right is told by what uses it up alone
        raise Unprocessable("The second factor is confirmed already")
    try:
        step = auth.first_code(user, factor, code, caller.address)
    except OAuthError as error:
        raise Unprocessable(error.detail) from error
    codes = new_recovery_codes()
    confirmed = model.ConfirmFactor(
        user_guid=factor.user_guid,
        sealed_secret=factor.sealed_secret,
        step=step,
        recovery_hashes=[hash_code(one) for one in codes],
        actor=actor_of(caller),
    )
    if (await context.database.write(model.confirm_factor, confirmed)).recovery_hashes != confirmed.recovery_hashes:
        raise Unprocessable(ANSWERED)
    return codes


async def renew_recovery_codes(context: Context, caller: Caller, auth: Auth, code: str) -> list[str]:
    """New ones; the old ones count no more. Wants a code. Raises NotFound, Unprocessable."""
    factor = await _proved(context, caller, auth, code)
    codes = new_recovery_codes()
    renewed = model.RenewRecovery(
        user_guid=factor.user_guid, recovery_hashes=[hash_code(one) for one in codes], actor=actor_of(caller)
    )
    if (await context.database.write(model.renew_recovery, renewed)).recovery_hashes != renewed.recovery_hashes:
        raise Unprocessable(ANSWERED)
    return codes


async def remove(context: Context, caller: Caller, auth: Auth, code: str) -> None:
    """One's own, with a code of it. Raises NotFound, Unprocessable."""
    factor = await _proved(context, caller, auth, code)
    removal = model.RemoveFactor(user_guid=factor.user_guid, actor=actor_of(caller))
    await context.database.write(model.remove_factor, removal)


async def reset(context: Context, caller: Caller, name: str, origin: str | None = None) -> None:
    """Anybody's, by an administrator, for one who lost it. Raises Forbidden, NotFound, Unprocessable."""
    authorise_admin(caller)
    with context.database.read() as tx:
        user = tx.get(User, name) or find_user(tx, name, origin)
        if tx.get(SecondFactor, user.guid) is None:
            raise NotFound("Second factor", f"{user.username} has no second factor")
    await context.database.write(model.remove_factor, model.RemoveFactor(user_guid=user.guid, actor=actor_of(caller)))


def demanded(context: Context, caller: Caller, organization_guid: str) -> bool:
    """Whether the organization demands one. Raises NotFound."""
    with context.database.read() as tx:
        organization = need_visible(tx, caller, Organization, organization_guid)
        return tx.get(FactorDemand, organization.guid) is not None


async def demand(context: Context, caller: Caller, organization_guid: str, *, wanted: bool) -> None:
    """By a manager of the organization, who has to have shown one: else it would be hidden from them, too.

    Raises NotFound, Forbidden, Unprocessable.
    """
    with context.database.read() as tx:
        organization = need_visible(tx, caller, Organization, organization_guid)
        authorise_in_organization(tx, caller, organization.guid, Permission.MANAGE_ORGANIZATION)
    if caller.origin == DEPLOY_TOKEN:
        raise Forbidden(NOT_ALLOWED)
    if wanted and not caller.admin and not caller.with_factor:
        raise Unprocessable(
            "Sign in with a second factor first (`paasd second-factor enrol`); else the organization would be hidden "
            "from you as well"
        )
    change = model.DemandFactor(organization_guid=organization.guid, demanded=wanted, actor=actor_of(caller))
    await context.database.write(model.demand_factor, change)


def warning_of(context: Context, caller: Caller) -> str:
    """What is hidden from the caller and what to do about it."""
    with context.database.read() as tx:
        found = [tx.get(Organization, guid) for guid in caller.hidden_organizations[:NAMED]]
    names = ", ".join(f"'{one.name}'" for one in found if one is not None)
    if (more := len(caller.hidden_organizations) - NAMED) > 0:
        names += f" and {more} more"
    return (
        f"Organization {names} demands a second factor, so it is not shown: enrol one with `paasd second-factor enrol`"
        " (POST /paasd/v1/me/second-factor), then sign in again with a code of it"
    )


async def _proved(context: Context, caller: Caller, auth: Auth, code: str) -> SecondFactor:
    """Guesses wait and are told of as at sign-in: who stole a token has not got the factor."""
    with context.database.read() as tx:
        user = _person(tx.get(User, caller.user_guid), caller)
    factor = auth.factors.of(user)
    if factor is None:
        raise NotFound("Second factor", NONE)
    try:
        await auth.second_step(user, code, caller.address)
    except OAuthError as error:
        raise Unprocessable(error.detail) from error
    return factor


def _person(user: User | None, caller: Caller) -> User:
    if user is None or caller.origin == DEPLOY_TOKEN:
        raise Forbidden("Only people have second factors; sign in as one")
    return user
