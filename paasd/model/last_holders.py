"""Roles of which an organization keeps one holder: without a manager nobody can let people in."""

from typing import Final

from paasd.errors import Unprocessable
from paasd.model.records import FactorDemand, Organization, Role, SecondFactor, User
from paasd.state import Eq, In, InSelect, Not, ReadTx

MANAGER: Final = "organization_manager"
BILLING: Final = "organization_billing_manager"
WORDS: Final = {MANAGER: ("manager", "OrgManager"), BILLING: ("billing manager", "BillingManager")}
"""How people call the role, and how `cf set-org-role` does."""
FACTORLESS: Final = (
    "The last manager of organization '{name}' who has a second factor cannot be taken away: it demands one, so nobody"
    " would manage it. Let another manager enrol first (paasd second-factor enrol)."
)


def check_not_last(tx: ReadTx, role: Role, *, strictly: bool, origins: list[str] | None) -> None:
    """Raise Unprocessable when an organization would be left without anybody who has the role, and signs in.

    `strictly` keeps billing managers, too, and of managers those who see an organization that demands a second factor.
    `origins` are those where people sign in, None for any. Callers before these were there asked for neither.
    """
    if role.type != MANAGER and not (strictly and role.type == BILLING):
        return
    organization = tx.get(Organization, role.organization_guid or "")
    if organization is None or organization.deleting:
        return
    open_ = [Eq("active", True)] if origins is None else [Eq("active", True), In("origin", origins)]
    sign_in = InSelect("user_guid", User, "guid", *open_)
    others = tx.all(
        Role, Not(Eq("user_guid", role.user_guid)), sign_in, type=role.type, organization_guid=organization.guid
    )
    people, client_word = WORDS[role.type]
    if not others:
        raise Unprocessable(
            f"The last {people} of organization '{organization.name}' cannot be taken away: give somebody else the role"
            f" {role.type} first (cf set-org-role USER {organization.name} {client_word}), or delete it."
        )
    demanded = strictly and role.type == MANAGER and tx.get(FactorDemand, organization.guid) is not None
    if demanded and _shows_factor(tx, role.user_guid) and not any(_shows_factor(tx, one.user_guid) for one in others):
        raise Unprocessable(FACTORLESS.format(name=organization.name))


def check_not_last_anywhere(tx: ReadTx, user: User, *, strictly: bool, origins: list[str] | None) -> None:
    """Raise Unprocessable when the user is the last holder of a role in some organization."""
    for kept in WORDS:
        for role in tx.all(Role, user_guid=user.guid, type=kept):
            check_not_last(tx, role, strictly=strictly, origins=origins)


def _shows_factor(tx: ReadTx, user_guid: str) -> bool:
    """Whether the user can sign in with a second factor: one of their own, or one that their provider may ask for."""
    user, factor = tx.get(User, user_guid), tx.get(SecondFactor, user_guid)
    return (factor is not None and factor.confirmed) or (user is not None and user.origin != "uaa")
