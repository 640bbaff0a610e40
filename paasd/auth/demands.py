"""Which organizations demand a second factor of a user. Most platforms have none, and pay one look for that."""

from paasd.model import FactorDemand, Organization, Role, Space, User
from paasd.state import Database, Eq, In, InSelect, Or


def demanding(database: Database, user: User) -> tuple[str, ...]:
    """Guids of those in which the user has a role."""
    with database.read() as tx:
        demanded = [one.organization_guid for one in tx.all(FactorDemand)]
        if not demanded:
            return ()
        mine = Eq("user_guid", user.guid)
        through_space = InSelect("guid", Space, "organization_guid", InSelect("guid", Role, "space_guid", mine))
        of_user = Or(InSelect("guid", Role, "organization_guid", mine), through_space)
        return tuple(one.guid for one in tx.all(Organization, In("guid", demanded), of_user))
