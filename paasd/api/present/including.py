"""Places that come with other resources where the query asks for them, as far as the caller may see them."""

from collections.abc import Sequence
from typing import Any

from paasd.actions.visibility import visible
from paasd.api.answers.pages import OrganizationShown, SpaceShown
from paasd.api.listing import View
from paasd.api.present.tenancy import present_organizations, present_spaces
from paasd.model import Organization, Space
from paasd.state import Condition, In, InSelect


def include_spaces(view: View, rows: Sequence[Any]) -> tuple[str, list[SpaceShown]]:
    """The spaces of what is in one: rows with a `space_guid`."""
    scope = visible(view.tx, view.caller, Space)
    return "spaces", present_spaces(view, view.tx.all(Space, In("guid", _guids(rows, "space_guid")), *scope))


def include_organizations(view: View, rows: Sequence[Any]) -> tuple[str, list[OrganizationShown]]:
    """The organizations of rows with an `organization_guid`."""
    return _organizations(view, In("guid", _guids(rows, "organization_guid")))


def include_organizations_of_spaces(view: View, rows: Sequence[Any]) -> tuple[str, list[OrganizationShown]]:
    """Those of the spaces of rows with a `space_guid`."""
    return _organizations(view, InSelect("guid", Space, "organization_guid", In("guid", _guids(rows, "space_guid"))))


def _organizations(view: View, wanted: Condition) -> tuple[str, list[OrganizationShown]]:
    scope = visible(view.tx, view.caller, Organization)
    return "organizations", present_organizations(view, view.tx.all(Organization, wanted, *scope))


def _guids(rows: Sequence[Any], name: str) -> set[str]:
    return {guid for row in rows if (guid := getattr(row, name)) is not None}
