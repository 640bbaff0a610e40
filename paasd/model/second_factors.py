"""Second factors: enrolled, confirmed by a first code, used once per code on all nodes, reset by administrators.

Codes are judged in `paasd.auth`; here is what has to be the same everywhere: that none counts twice.
"""

from paasd.errors import NotFound, Unprocessable
from paasd.model.arguments import Actor, Arguments
from paasd.model.events import record_event, record_user_event
from paasd.model.records import FactorDemand, Organization, SecondFactor, User
from paasd.model.users import end_sessions
from paasd.state import ReadTx, Tx, operation


class EnrolFactor(Arguments):
    """Arguments of `enrol_factor`."""

    user_guid: str
    sealed_secret: str
    actor: Actor


@operation("second_factor.enrol", version=1)
def enrol_factor(tx: Tx, args: EnrolFactor) -> SecondFactor:
    """Keep a secret that counts when it is confirmed. Raises NotFound, Unprocessable when one counts already."""
    user = tx.need(User, args.user_guid)
    known = tx.get(SecondFactor, user.guid)
    if known is not None and known.confirmed:
        raise Unprocessable("You have a second factor; take it away first (`paasd second-factor remove`)")
    if known is not None:
        tx.delete(known)
    record_user_event(tx, "audit.user.second_factor_enrol", args.actor, user)
    return tx.insert(SecondFactor(user_guid=user.guid, sealed_secret=args.sealed_secret))


class ConfirmFactor(Arguments):
    """Arguments of `confirm_factor`: the step of the code that was shown, and the secret it was checked against."""

    user_guid: str
    sealed_secret: str
    step: int
    recovery_hashes: list[str]
    actor: Actor


@operation("second_factor.confirm", version=1)
def confirm_factor(tx: Tx, args: ConfirmFactor) -> SecondFactor:
    """From now on it counts; sessions from before end. Raises NotFound, Unprocessable."""
    user = tx.need(User, args.user_guid)
    factor = tx.get(SecondFactor, user.guid)
    if factor is None or factor.sealed_secret != args.sealed_secret:
        raise NotFound("Second factor", "There is nothing to confirm; enrol first (`paasd second-factor enrol`)")
    if factor.confirmed:
        raise Unprocessable("The second factor is confirmed already")
    end_sessions(tx, user)
    record_user_event(tx, "audit.user.second_factor_confirm", args.actor, user)
    return tx.update(factor, confirmed=True, last_step=args.step, recovery_hashes=args.recovery_hashes)


class UseCode(Arguments):
    """Arguments of `use_code`: a `step` (30 s since 1970) or the hash of a recovery code, and where it came from."""

    user_guid: str
    step: int | None = None
    recovery_hash: str | None = None
    address: str = ""


@operation("second_factor.use_code", version=1)
def use_code(tx: Tx, args: UseCode) -> bool:
    """Take a code; False when it, or a later one, was taken before, on whatever node. Recorded as a sign-in."""
    user, factor = tx.get(User, args.user_guid), tx.get(SecondFactor, args.user_guid)
    if user is None or factor is None or not factor.confirmed:
        return False
    if args.step is not None:
        if args.step <= factor.last_step:
            return False
        tx.update(factor, last_step=args.step)
    elif args.recovery_hash in factor.recovery_hashes:
        tx.update(factor, recovery_hashes=[one for one in factor.recovery_hashes if one != args.recovery_hash])
    else:
        return False
    with_ = "totp" if args.step is not None else "recovery code"
    data = {"second_factor": with_, "address": args.address}
    record_user_event(tx, "audit.user.sign_in", None, user, data)
    return True


class RenewRecovery(Arguments):
    """Arguments of `renew_recovery`."""

    user_guid: str
    recovery_hashes: list[str]
    actor: Actor


@operation("second_factor.renew_recovery", version=1)
def renew_recovery(tx: Tx, args: RenewRecovery) -> SecondFactor:
    """Replace the recovery codes. Raises NotFound."""
    user, factor = tx.need(User, args.user_guid), tx.need(SecondFactor, args.user_guid)
    record_user_event(tx, "audit.user.recovery_codes_renew", args.actor, user)
    return tx.update(factor, recovery_hashes=args.recovery_hashes)


class RemoveFactor(Arguments):
    """Arguments of `remove_factor`."""

    user_guid: str
    actor: Actor


@operation("second_factor.remove", version=1)
def remove_factor(tx: Tx, args: RemoveFactor) -> None:
    """By its owner, or by an administrator for one who lost it; sessions end. Raises NotFound."""
    user, factor = tx.need(User, args.user_guid), tx.need(SecondFactor, args.user_guid)
    tx.delete(factor)
    end_sessions(tx, user)
    reset = args.actor.guid != user.guid
    record_user_event(tx, f"audit.user.second_factor_{'reset' if reset else 'remove'}", args.actor, user)


class DemandFactor(Arguments):
    """Arguments of `demand_factor`."""

    organization_guid: str
    demanded: bool
    actor: Actor


@operation("organization.demand_second_factor", version=1)
def demand_factor(tx: Tx, args: DemandFactor) -> bool:
    """Show the organization to those with a second factor alone, or to all its members again. True when that is new."""
    organization = tx.need(Organization, args.organization_guid)
    known = tx.get(FactorDemand, organization.guid)
    if (known is not None) == args.demanded:
        return False
    if known is not None:
        tx.delete(known)
    else:
        tx.insert(FactorDemand(organization_guid=organization.guid))
    record_event(
        tx,
        "audit.organization.second_factor",
        args.actor,
        target_type="organization",
        target_guid=organization.guid,
        target_name=organization.name,
        organization_guid=organization.guid,
        data={"demanded": args.demanded},
    )
    return True


def factor_of(tx: ReadTx, user_guid: str) -> SecondFactor | None:
    """The confirmed second factor of a user."""
    found = tx.get(SecondFactor, user_guid)
    return found if found is not None and found.confirmed else None
