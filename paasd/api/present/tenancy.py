"""Organizations, spaces, users and roles as clients see them."""

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from paasd.api.answers import Answer, Included, Links, Related, Shown
from paasd.api.answers.pages import (
    OrganizationRelations,
    OrganizationShown,
    SpaceRelations,
    SpaceShown,
    UserShown,
)
from paasd.api.listing import View, common, to_one
from paasd.api.words import RoleType
from paasd.model import Organization, Role, Space, User


class RoleRelations(Answer):
    """Whose role it is, and where: one of the two places is null."""

    user: Related
    organization: Related
    space: Related


class RoleShown(Shown):
    """A role; it has no metadata."""

    type: RoleType
    relationships: RoleRelations
    links: Links
    included: Included | UnsetType = UNSET


def present_organizations(view: View, rows: Sequence[Organization]) -> list[OrganizationShown]:
    """Organizations with their quota."""

    def links(row: Organization) -> Links:
        return {
            "self": view.urls.link("organizations", row.guid),
            "domains": view.urls.link("organizations", row.guid, "domains"),
            "default_domain": view.urls.link("organizations", row.guid, "domains", "default"),
            "quota": view.urls.link("organization_quotas", row.quota_guid),
        }

    return [
        OrganizationShown(
            **base,
            name=row.name,
            suspended=row.suspended,
            relationships=OrganizationRelations(quota=to_one(row.quota_guid)),
        )
        for base, row in zip(common(view, rows, links), rows, strict=True)
    ]


def present_spaces(view: View, rows: Sequence[Space]) -> list[SpaceShown]:
    """Spaces with their organization and, if they have one, their quota."""

    def links(row: Space) -> Links:
        quota = {} if row.quota_guid is None else {"quota": view.urls.link("space_quotas", row.quota_guid)}
        return {
            "self": view.urls.link("spaces", row.guid),
            "organization": view.urls.link("organizations", row.organization_guid),
            "features": view.urls.link("spaces", row.guid, "features"),
            "apply_manifest": view.urls.link("spaces", row.guid, "actions", "apply_manifest", method="POST"),
            **quota,
        }

    return [
        SpaceShown(
            **base,
            name=row.name,
            relationships=SpaceRelations(organization=to_one(row.organization_guid), quota=to_one(row.quota_guid)),
        )
        for base, row in zip(common(view, rows, links), rows, strict=True)
    ]


def present_users(view: View, rows: Sequence[User]) -> list[UserShown]:
    """Users by the name they sign in with."""

    def links(row: User) -> Links:
        return {"self": view.urls.link("users", row.guid)}

    return [
        UserShown(**base, username=row.username, presentation_name=row.username, origin=row.origin)
        for base, row in zip(common(view, rows, links), rows, strict=True)
    ]


def present_roles(view: View, rows: Sequence[Role]) -> list[RoleShown]:
    """Roles; a role has no metadata."""
    return [
        RoleShown(
            guid=row.guid,
            created_at=row.created_at,
            updated_at=row.updated_at,
            type=row.type,
            relationships=RoleRelations(
                user=to_one(row.user_guid),
                organization=to_one(row.organization_guid if row.space_guid is None else None),
                space=to_one(row.space_guid),
            ),
            links=_role_links(view, row),
        )
        for row in rows
    ]


def _role_links(view: View, row: Role) -> Links:
    links = {"self": view.urls.link("roles", row.guid), "user": view.urls.link("users", row.user_guid)}
    if row.space_guid is not None:
        links["space"] = view.urls.link("spaces", row.space_guid)
    elif row.organization_guid is not None:
        links["organization"] = view.urls.link("organizations", row.organization_guid)
    return links
