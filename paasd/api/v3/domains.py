"""`/v3/domains`."""

from paasd.actions import domains
from paasd.api.answers import Answer, Page, Reference, RelatedMany
from paasd.api.answers.pages import DomainShown
from paasd.api.call import Call, Form, Reply, no_content
from paasd.api.forms import Guid, MetadataChanges, MetadataForm, Name, ToMany, ToOneOrNone, metadata_of
from paasd.api.listing import Listing, column, found_reply, list_reply, reply_of
from paasd.api.numbers import whole
from paasd.api.present.routing import present_domains, shared_organizations
from paasd.api.query import QuerySpec
from paasd.api.table import Route, delete, get, patch, post
from paasd.api.v3.jobs import job_reply
from paasd.errors import BadQuery, Unprocessable
from paasd.model import Domain
from paasd.model.domains import INTERNAL_OWNED

GROUP_INTERNAL = "Internal domains cannot be associated to a router group."
GROUP_OWNED = "Domains scoped to an organization cannot be associated to a router group."

DOMAINS = Listing(
    record=Domain,
    present=present_domains,
    filters={"names": column("name"), "organization_guids": column("organization_guid")},
    order_by={"name": "name"},
)


class DomainRelationships(Form):
    """Without an organization the domain is shared by all."""

    organization: ToOneOrNone | None = None
    shared_organizations: ToMany | None = None


class NewDomain(Form):
    """Body of `POST /v3/domains`."""

    name: Name
    internal: bool | None = None
    router_group: dict[str, str] | None = None
    relationships: DomainRelationships | None = None
    metadata: MetadataForm | None = None


class Sharing(Form):
    """Body of `POST /v3/domains/:guid/relationships/shared_organizations`."""

    data: list[Guid]


class Reservation(Answer):
    """Whether there is such a route."""

    matching_route: bool


async def list_domains(call: Call) -> Reply[Page[DomainShown]]:
    """Shared ones and those of the caller's organizations."""
    return await list_reply(call, DOMAINS)


async def get_domain(call: Call) -> Reply[DomainShown]:
    """One."""
    return found_reply(call, DOMAINS)


async def create_domain(call: Call) -> Reply[DomainShown]:
    """201; shared ones are the administrator's."""
    form = await call.json(NewDomain)
    if form.internal and form.relationships is not None:
        raise Unprocessable(INTERNAL_OWNED)
    relations = form.relationships or DomainRelationships()
    group = _router_group(form)
    shared = relations.shared_organizations or ToMany()
    owner = None if relations.organization is None else relations.organization.data
    row = await domains.create(
        call.context,
        call.caller,
        name=form.name,
        internal=bool(form.internal),
        organization_guid=None if owner is None else owner.guid,
        metadata=metadata_of(form.metadata),
        shared_organizations=[one.guid for one in shared.data],
        router_group_guid=group,
    )
    return reply_of(call, DOMAINS, row, 201)


def _router_group(form: NewDomain) -> str | None:
    """The guid of the one that is named, which goes with nothing that says whose the domain is."""
    if form.router_group is None:
        return None
    if form.internal:
        raise Unprocessable(GROUP_INTERNAL)
    if form.relationships is not None:
        raise Unprocessable(GROUP_OWNED)
    if unknown := form.router_group.keys() - {"guid"}:
        listed = "', '".join(sorted(unknown))
        raise Unprocessable(f"Router group Unknown field(s): '{listed}'")
    if "guid" not in form.router_group:
        raise Unprocessable("Router group guid must be a string")
    return form.router_group["guid"]


async def update_domain(call: Call) -> Reply[DomainShown]:
    """Labels."""
    form = await call.json(MetadataChanges)
    row = await domains.update(call.context, call.caller, call.path["guid"], metadata_of(form.metadata))
    return reply_of(call, DOMAINS, row)


async def delete_domain(call: Call) -> Reply[None]:
    """202 with a job that takes away its routes too."""
    return job_reply(call, await domains.delete(call.context, call.caller, call.path["guid"]))


async def share_domain(call: Call) -> Reply[RelatedMany]:
    """Let spaces of these organizations have routes on it."""
    guids = [one.guid for one in (await call.json(Sharing)).data]
    await domains.share(call.context, call.caller, call.path["guid"], guids)
    with call.context.database.read() as tx:
        shown = shared_organizations(tx, call.caller, [call.path["guid"]])[call.path["guid"]]
    return Reply(body=RelatedMany(data=[Reference(guid=guid) for guid in shown]))


async def unshare_domain(call: Call) -> Reply[None]:
    """204; an organization that still has routes on it keeps it."""
    await domains.unshare(call.context, call.caller, call.path["guid"], call.path["organization_guid"])
    return no_content()


async def route_reservations(call: Call) -> Reply[Reservation]:
    """Whether a route is taken, also by what the caller may not see; then making it would be refused."""
    plain = call.query.plain
    text = plain.get("port", "")
    port = whole(text)
    if text and port is None:
        raise BadQuery("The query parameter is invalid: Port must be an integer")
    matching = domains.reserved(
        call.context, call.caller, call.path["guid"], host=plain.get("host", ""), path=plain.get("path", ""), port=port
    )
    return Reply(body=Reservation(matching_route=matching))


ONE = "/v3/domains/<guid>"
ROUTES: tuple[Route, ...] = (
    get("/v3/domains", list_domains, DOMAINS.query),
    post("/v3/domains", create_domain, permission="organization_manager for a private one"),
    get(ONE, get_domain),
    patch(ONE, update_domain, permission="organization_manager for a private one"),
    delete(ONE, delete_domain, permission="organization_manager for a private one"),
    post(f"{ONE}/relationships/shared_organizations", share_domain, permission="organization_manager of both"),
    delete(
        f"{ONE}/relationships/shared_organizations/<organization_guid>",
        unshare_domain,
        permission="organization_manager of either, who sees both",
    ),
    get(f"{ONE}/route_reservations", route_reservations, QuerySpec(plain=("host", "path", "port"))),
)
