"""`/v3/organizations`."""

from paasd.actions import organizations
from paasd.actions.visibility import need_visible
from paasd.api.answers import LinkedRelation, Page
from paasd.api.answers.pages import DomainShown, OrganizationShown, UserShown
from paasd.api.call import Call, Form, Reply
from paasd.api.forms import MetadataForm, Name, metadata_of
from paasd.api.listing import Listing, column, flag, found_reply, list_reply, need_row, one_reply, reply_of
from paasd.api.present.tenancy import present_organizations
from paasd.api.table import Route, delete, get, patch, post
from paasd.api.v3.domains import DOMAINS
from paasd.api.v3.jobs import job_reply
from paasd.api.v3.users import USERS, people_reply
from paasd.errors import NotFound
from paasd.model import Organization, Role, Space
from paasd.model.domain_sharing import usable_by
from paasd.model.domains import default_domain
from paasd.state import Eq, InSelect, Or

ORGANIZATIONS = Listing(
    record=Organization,
    present=present_organizations,
    filters={"names": column("name"), "suspended": flag("suspended")},
    order_by={"name": "name"},
)


class NewOrganization(Form):
    """Body of `POST /v3/organizations`."""

    name: Name
    suspended: bool = False
    metadata: MetadataForm | None = None


class OrganizationChanges(Form):
    """Body of `PATCH /v3/organizations/:guid`."""

    name: Name | None = None
    suspended: bool | None = None
    metadata: MetadataForm | None = None


async def list_organizations(call: Call) -> Reply[Page[OrganizationShown]]:
    """All that the caller has a role in."""
    return await list_reply(call, ORGANIZATIONS)


async def get_organization(call: Call) -> Reply[OrganizationShown]:
    """One."""
    return found_reply(call, ORGANIZATIONS)


async def create_organization(call: Call) -> Reply[OrganizationShown]:
    """201; the creator who is no administrator becomes its manager where the platform allows it at all."""
    form = await call.json(NewOrganization)
    row = await organizations.create(
        call.context, call.caller, name=form.name, suspended=form.suspended, metadata=metadata_of(form.metadata)
    )
    return reply_of(call, ORGANIZATIONS, row, 201)


async def update_organization(call: Call) -> Reply[OrganizationShown]:
    """Rename, suspend, label."""
    form = await call.json(OrganizationChanges)
    row = await organizations.update(
        call.context,
        call.caller,
        call.path["guid"],
        name=form.name,
        suspended=form.suspended,
        metadata=metadata_of(form.metadata),
    )
    return reply_of(call, ORGANIZATIONS, row)


async def delete_organization(call: Call) -> Reply[None]:
    """202 with a job that takes away everything in it."""
    job = await organizations.delete(call.context, call.caller, call.path["guid"])
    return job_reply(call, job)


async def list_domains(call: Call) -> Reply[Page[DomainShown]]:
    """Domains on which the organization's spaces may have routes."""
    row = need_row(call, Organization)
    return await list_reply(call, DOMAINS, usable_by(row.guid))


async def get_default_domain(call: Call) -> Reply[DomainShown]:
    """The domain of default routes."""
    with call.context.database.read() as tx:
        row = need_visible(tx, call.caller, Organization, call.path["guid"])
        domain = default_domain(tx, row.guid)
        if domain is None:
            raise NotFound("Domain")
        return one_reply(call, DOMAINS, domain, tx)


async def list_users(call: Call) -> Reply[Page[UserShown]]:
    """Users with a role in the organization or one of its spaces."""
    guid = need_row(call, Organization).guid
    in_spaces = InSelect("space_guid", Space, "guid", Eq("organization_guid", guid))
    return await people_reply(call, InSelect("guid", Role, "user_guid", Or(Eq("organization_guid", guid), in_spaces)))


async def default_isolation_segment(call: Call) -> Reply[LinkedRelation]:
    """There are none."""
    guid = need_row(call, Organization).guid
    path = ("organizations", guid, "relationships", "default_isolation_segment")
    return Reply(body=LinkedRelation(data=None, links={"self": call.urls.link(*path)}))


BASE = "/v3/organizations"
ONE = f"{BASE}/<guid>"
ROUTES: tuple[Route, ...] = (
    get(BASE, list_organizations, ORGANIZATIONS.query),
    post(BASE, create_organization, permission="admin"),
    get(ONE, get_organization),
    patch(ONE, update_organization, permission="organization_manager"),
    delete(ONE, delete_organization, permission="admin"),
    get(f"{ONE}/domains", list_domains, DOMAINS.query),
    get(f"{ONE}/domains/default", get_default_domain),
    get(f"{ONE}/users", list_users, USERS.query),
    get(f"{ONE}/relationships/default_isolation_segment", default_isolation_segment),
)
