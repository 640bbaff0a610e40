"""Lists, and what may be included in an answer: places, people and domains, which stand here for that reason."""

from typing import Generic, TypeVar

from msgspec import UNSET, UnsetType

from paasd.api.answers.basis import Answer, Described, Pagination, Reference, Related, RelatedMany
from paasd.api.words import RouteProtocol

S = TypeVar("S", bound=Answer)


class Including(Described, kw_only=True):
    """What may come with others when it was asked for by itself."""

    included: "Included | UnsetType" = UNSET


class OrganizationRelations(Answer):
    """Its quota."""

    quota: Related


class OrganizationShown(Described):
    """An organization."""

    name: str
    suspended: bool
    relationships: OrganizationRelations


class SpaceRelations(Answer):
    """Where it belongs, and its own quota."""

    organization: Related
    quota: Related


class SpaceShown(Including):
    """A space."""

    name: str
    relationships: SpaceRelations


class UserShown(Described):
    """A user, by the name that they sign in with."""

    username: str
    presentation_name: str
    origin: str


class DomainRelations(Answer):
    """Whose it is; shared ones are nobody's."""

    organization: Related
    shared_organizations: RelatedMany


class DomainShown(Described):
    """A domain; one of TCP routes has a router group."""

    name: str
    internal: bool
    router_group: Reference | None
    supported_protocols: list[RouteProtocol]
    relationships: DomainRelations


class Included(Answer):
    """What the query asked for beside the resources themselves."""

    domains: list[DomainShown] | UnsetType = UNSET
    organizations: list[OrganizationShown] | UnsetType = UNSET
    spaces: list[SpaceShown] | UnsetType = UNSET
    users: list[UserShown] | UnsetType = UNSET


class Page(Answer, Generic[S]):
    """A page of a list."""

    pagination: Pagination
    resources: list[S]
    included: Included | UnsetType = UNSET
