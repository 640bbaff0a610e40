"""`/v3/organization_quotas` and `/v3/space_quotas`."""

from typing import Any, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from paasd.actions import quotas
from paasd.actions.visibility import visible
from paasd.api.answers import Answer, LinkedMany, Page, Reference
from paasd.api.answers.quotas import OrganizationQuotaShown, SpaceQuotaShown
from paasd.api.call import Call, Form, Reply, no_content
from paasd.api.forms import Guid, ToMany, ToOne
from paasd.api.listing import Filter, Listing, column, found_reply, list_reply, need_row, reply_of
from paasd.api.present.quotas import GROUPS, present_organization_quotas, present_space_quotas
from paasd.api.table import Route, delete, get, patch, post
from paasd.api.v3.jobs import job_reply
from paasd.errors import Unprocessable
from paasd.model import Organization, OrganizationQuota, Space, SpaceQuota
from paasd.state import In, InSelect

R = TypeVar("R", OrganizationQuota, SpaceQuota)
S = TypeVar("S", bound=Answer)
MOST = 2**31 - 1
MOST_BYTES = 2**63 - 1
NAME_LIMIT = 250
Group = dict[str, Any] | UnsetType


def _applied_to(record: type[Organization] | type[Space]) -> Filter:
    return lambda view, values: InSelect(
        "guid", record, "quota_guid", In("guid", values), *visible(view.tx, view.caller, record)
    )


ORGANIZATION_QUOTAS = Listing(
    record=OrganizationQuota,
    present=present_organization_quotas,
    filters={"names": column("name"), "organization_guids": _applied_to(Organization)},
    order_by={"name": "name"},
    labels=False,
)
SPACE_QUOTAS = Listing(
    record=SpaceQuota,
    present=present_space_quotas,
    filters={
        "names": column("name"),
        "organization_guids": column("organization_guid"),
        "space_guids": _applied_to(Space),
    },
    order_by={"name": "name"},
    labels=False,
)


class QuotaChanges(Form):
    """Body of `PATCH /v3/space_quotas/:guid`; a limit of null is none, one that is absent stays."""

    name: str | None = None
    apps: Group = UNSET
    services: Group = UNSET
    routes: Group = UNSET


class OrganizationQuotaChanges(QuotaChanges):
    """Body of `PATCH /v3/organization_quotas/:guid`."""

    domains: Group = UNSET


class OrganizationRelationships(Form):
    """To which organizations it applies at once."""

    organizations: ToMany = msgspec.field(default_factory=ToMany)


class NewOrganizationQuota(OrganizationQuotaChanges):
    """Body of `POST /v3/organization_quotas`."""

    relationships: OrganizationRelationships = msgspec.field(default_factory=OrganizationRelationships)


class SpaceRelationships(Form):
    """Whose it is, and to which spaces it applies at once."""

    organization: ToOne
    spaces: ToMany = msgspec.field(default_factory=ToMany)


class NewSpaceQuota(QuotaChanges, kw_only=True):
    """Body of `POST /v3/space_quotas`."""

    relationships: SpaceRelationships


class Apply(Form):
    """Body of the relationships' POST."""

    data: list[Guid]


def limits_of(form: QuotaChanges) -> quotas.Changes:
    """The limits that the body names. Raises Unprocessable in Cloud Foundry's words."""
    found: quotas.Changes = {}
    for group, limits in GROUPS.items():
        names = limits.__struct_fields__
        given = getattr(form, group, UNSET)
        if isinstance(given, UnsetType):
            continue
        unknown = [name for name in given if name not in names]
        if unknown:
            fields = "', '".join(unknown)
            raise Unprocessable(f"{group.capitalize()} Unknown field(s): '{fields}'")
        for name, value in given.items():
            found[name] = _checked(group, name, value)
    return found


def _checked(group: str, name: str, value: Any) -> int | bool | None:
    what = f"{group.capitalize()} {name.replace('_', ' ').capitalize()}"
    if name == "paid_services_allowed":
        if value is not None and not isinstance(value, bool):
            raise Unprocessable(f"{what} must be a boolean")
        return True if value is None else value
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unprocessable(f"{what} is not a number")
    if not isinstance(value, int):
        raise Unprocessable(f"{what} must be an integer")
    if value < 0:
        raise Unprocessable(f"{what} must be greater than or equal to 0")
    most = MOST_BYTES if name.endswith("bytes_per_second") else MOST
    if value > most:
        raise Unprocessable(f"{what} must be less than or equal to {most}")
    return value


def _name(form: QuotaChanges, *, required: bool) -> str:
    if form.name is None and required:
        raise Unprocessable("Name can't be blank")
    if form.name is not None and not form.name.strip():
        raise Unprocessable("Name can't be blank")
    if form.name is not None and len(form.name) > NAME_LIMIT:
        raise Unprocessable(f"Name is too long (maximum is {NAME_LIMIT} characters)")
    return form.name or ""


async def list_organization_quotas(call: Call) -> Reply[Page[OrganizationQuotaShown]]:
    """Those of the caller's organizations."""
    return await list_reply(call, ORGANIZATION_QUOTAS)


async def list_space_quotas(call: Call) -> Reply[Page[SpaceQuotaShown]]:
    """Those that apply to the caller's spaces, and all of organizations that the caller manages."""
    return await list_reply(call, SPACE_QUOTAS)


async def get_organization_quota(call: Call) -> Reply[OrganizationQuotaShown]:
    """One."""
    return found_reply(call, ORGANIZATION_QUOTAS)


async def get_space_quota(call: Call) -> Reply[SpaceQuotaShown]:
    """One."""
    return found_reply(call, SPACE_QUOTAS)


async def create_organization_quota(call: Call) -> Reply[OrganizationQuotaShown]:
    """201."""
    form = await call.json(NewOrganizationQuota)
    row = await quotas.create_for_organizations(
        call.context,
        call.caller,
        name=_name(form, required=True),
        limits=limits_of(form),
        organization_guids=[one.guid for one in form.relationships.organizations.data],
    )
    return reply_of(call, ORGANIZATION_QUOTAS, row, 201)


async def create_space_quota(call: Call) -> Reply[SpaceQuotaShown]:
    """201."""
    form = await call.json(NewSpaceQuota)
    row = await quotas.create_for_spaces(
        call.context,
        call.caller,
        name=_name(form, required=True),
        organization_guid=form.relationships.organization.data.guid,
        limits=limits_of(form),
        space_guids=[one.guid for one in form.relationships.spaces.data],
    )
    return reply_of(call, SPACE_QUOTAS, row, 201)


async def update_organization_quota(call: Call) -> Reply[OrganizationQuotaShown]:
    """Name and limits. What is used beyond a lower limit goes on; only growth is refused."""
    return await _update(call, ORGANIZATION_QUOTAS, OrganizationQuotaChanges)


async def update_space_quota(call: Call) -> Reply[SpaceQuotaShown]:
    """Likewise."""
    return await _update(call, SPACE_QUOTAS, QuotaChanges)


async def _update(call: Call, listing: Listing[R, S], kind: type[QuotaChanges]) -> Reply[S]:
    quota = need_row(call, listing.record)
    form = await call.json(kind)
    name = _name(form, required=False) or None
    row = await quotas.update(call.context, call.caller, quota, name=name, limits=limits_of(form))
    return reply_of(call, listing, cast(R, row))


async def delete_organization_quota(call: Call) -> Reply[None]:
    """202 with a job, unless it applies to something."""
    return job_reply(call, await quotas.delete(call.context, call.caller, need_row(call, OrganizationQuota)))


async def delete_space_quota(call: Call) -> Reply[None]:
    """Likewise."""
    return job_reply(call, await quotas.delete(call.context, call.caller, need_row(call, SpaceQuota)))


async def apply_organization_quota(call: Call) -> Reply[LinkedMany]:
    """To organizations, which had another one before."""
    return await _apply(call, OrganizationQuota, "organizations")


async def apply_space_quota(call: Call) -> Reply[LinkedMany]:
    """To spaces of its organization."""
    return await _apply(call, SpaceQuota, "spaces")


async def _apply(call: Call, record: Any, kind: str) -> Reply[LinkedMany]:
    quota = need_row(call, record)
    form = await call.json(Apply)
    guids = await quotas.apply(call.context, call.caller, quota, [one.guid for one in form.data])
    parts = ("space_quotas" if kind == "spaces" else "organization_quotas", quota.guid, "relationships", kind)
    data = [Reference(guid=guid) for guid in guids]
    return Reply(body=LinkedMany(data=data, links={"self": call.urls.link(*parts)}))


async def remove_space_quota(call: Call) -> Reply[None]:
    """204; the space has no quota of its own then."""
    await quotas.remove(call.context, call.caller, need_row(call, SpaceQuota), call.path["space_guid"])
    return no_content()


ORGANIZATIONS = "/v3/organization_quotas"
SPACES = "/v3/space_quotas"
MANAGER = "organization_manager"
ROUTES: tuple[Route, ...] = (
    get(ORGANIZATIONS, list_organization_quotas, ORGANIZATION_QUOTAS.query),
    post(ORGANIZATIONS, create_organization_quota, permission="admin"),
    get(f"{ORGANIZATIONS}/<guid>", get_organization_quota),
    patch(f"{ORGANIZATIONS}/<guid>", update_organization_quota, permission="admin"),
    delete(f"{ORGANIZATIONS}/<guid>", delete_organization_quota, permission="admin"),
    post(f"{ORGANIZATIONS}/<guid>/relationships/organizations", apply_organization_quota, permission="admin"),
    get(SPACES, list_space_quotas, SPACE_QUOTAS.query),
    post(SPACES, create_space_quota, permission=MANAGER),
    get(f"{SPACES}/<guid>", get_space_quota),
    patch(f"{SPACES}/<guid>", update_space_quota, permission=MANAGER),
    delete(f"{SPACES}/<guid>", delete_space_quota, permission=MANAGER),
    post(f"{SPACES}/<guid>/relationships/spaces", apply_space_quota, permission=MANAGER),
    delete(f"{SPACES}/<guid>/relationships/spaces/<space_guid>", remove_space_quota, permission=MANAGER),
)
