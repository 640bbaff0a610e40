"""`/v3/routes` and their destinations."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from paasd.actions import routes
from paasd.actions.visibility import need_visible
from paasd.api.answers import Page
from paasd.api.answers.pages import DomainShown
from paasd.api.answers.routing import DestinationShown, DestinationsShown, RouteShown
from paasd.api.call import Call, Form, Reply, no_content
from paasd.api.forms import MetadataForm, ToOne, metadata_of
from paasd.api.listing import Listing, View, column, found_reply, list_reply, need_row, reply_of
from paasd.api.numbers import Number, whole
from paasd.api.present.including import include_organizations_of_spaces, include_spaces
from paasd.api.present.routing import present_destination, present_domains, present_routes
from paasd.api.query import QuerySpec
from paasd.api.table import Route, delete, get, patch, post
from paasd.api.v3.jobs import job_reply
from paasd.api.whom import OPERATORS
from paasd.api.words import said
from paasd.model import App, Destination, Domain, Space
from paasd.model import Route as RouteRecord
from paasd.model.routes import PROTOCOLS, TCP_PROTOCOLS, NewDestination
from paasd.state import Condition, Eq, In, InSelect


def include_domains(view: View, rows: Sequence[RouteRecord]) -> tuple[str, list[DomainShown]]:
    """The domains of routes."""
    return "domains", present_domains(view, view.tx.all(Domain, In("guid", {row.domain_guid for row in rows})))


def _by_app(_view: View, values: tuple[str, ...]) -> Condition:
    return InSelect("guid", Destination, "route_guid", In("app_guid", values))


def _by_organization(_view: View, values: tuple[str, ...]) -> Condition:
    return InSelect("space_guid", Space, "guid", In("organization_guid", values))


def _by_port(_view: View, values: tuple[str, ...]) -> Condition:
    return In("port", [port for value in values if (port := whole(value)) is not None])


def _by_service_instance(_view: View, _values: tuple[str, ...]) -> Condition:
    return In("guid", ())


LISTED = Listing(
    record=RouteRecord,
    present=present_routes,
    filters={
        "app_guids": _by_app,
        "domain_guids": column("domain_guid"),
        "space_guids": column("space_guid"),
        "organization_guids": _by_organization,
        "hosts": column("host"),
        "paths": column("path"),
        "ports": _by_port,
        "service_instance_guids": _by_service_instance,
    },
    includes={
        "domain": include_domains,
        "space": include_spaces,
        "space.organization": include_organizations_of_spaces,
    },
)


class RouteRelationships(Form):
    """Where a route belongs."""

    space: ToOne
    domain: ToOne


class NewRoute(Form):
    """Body of `POST /v3/routes`."""

    relationships: RouteRelationships
    host: str | None = None
    path: str | None = None
    port: Number | None = None
    options: dict[str, Any] = {}
    metadata: MetadataForm | None = None


class RouteChanges(Form):
    """Body of `PATCH /v3/routes/:guid`."""

    options: dict[str, Any] | None = None
    metadata: MetadataForm | None = None


class DestinationProcess(Form):
    """Which process type."""

    type: str = "web"


class DestinationApp(Form):
    """Which app and process type."""

    guid: str
    process: DestinationProcess = msgspec.field(default_factory=DestinationProcess)


class DestinationForm(Form):
    """One destination of a route."""

    app: DestinationApp
    port: Number | None = None
    protocol: Annotated[str, said(*PROTOCOLS, *TCP_PROTOCOLS)] | None = None
    weight: Number | None = None

    def wanted(self) -> NewDestination:
        """As operations take it."""
        return NewDestination(
            app_guid=self.app.guid,
            process_type=self.app.process.type,
            port=self.port,
            protocol=self.protocol,
            weight=self.weight,
        )


class Destinations(Form):
    """Body of the destination calls."""

    destinations: list[DestinationForm]


class DestinationChanges(Form):
    """Body of `PATCH /v3/routes/:guid/destinations/:guid`; null is HTTP/1.1."""

    protocol: Annotated[str, said(*PROTOCOLS, *TCP_PROTOCOLS)] | None


async def list_routes(call: Call) -> Reply[Page[RouteShown]]:
    """All that the caller may see."""
    return await list_reply(call, LISTED)


async def app_routes(call: Call) -> Reply[Page[RouteShown]]:
    """Routes of one app."""
    app = need_row(call, App)
    return await list_reply(call, LISTED, InSelect("guid", Destination, "route_guid", Eq("app_guid", app.guid)))


async def get_route(call: Call) -> Reply[RouteShown]:
    """One."""
    return found_reply(call, LISTED)


async def create_route(call: Call) -> Reply[RouteShown]:
    """201."""
    form = await call.json(NewRoute)
    row = await routes.create(
        call.context,
        call.caller,
        space_guid=form.relationships.space.data.guid,
        domain_guid=form.relationships.domain.data.guid,
        host=form.host or "",
        path=form.path or "",
        port=form.port,
        options=form.options,
        metadata=metadata_of(form.metadata),
    )
    return reply_of(call, LISTED, row, 201)


async def update_route(call: Call) -> Reply[RouteShown]:
    """Options and labels."""
    form = await call.json(RouteChanges)
    row = await routes.update(
        call.context, call.caller, call.path["guid"], options=form.options, metadata=metadata_of(form.metadata)
    )
    return reply_of(call, LISTED, row)


async def delete_route(call: Call) -> Reply[None]:
    """202 with a job."""
    return job_reply(call, await routes.delete(call.context, call.caller, call.path["guid"]))


async def list_destinations(call: Call) -> Reply[DestinationsShown]:
    """Where a route leads."""
    return _destinations(call)


async def add_destinations(call: Call) -> Reply[DestinationsShown]:
    """Lead the route to these too; those that are there already stay."""
    form = await call.json(Destinations)
    await routes.add_destinations(
        call.context, call.caller, call.path["guid"], [one.wanted() for one in form.destinations]
    )
    return _destinations(call)


async def replace_destinations(call: Call) -> Reply[DestinationsShown]:
    """Lead the route to exactly these."""
    form = await call.json(Destinations)
    await routes.replace_destinations(
        call.context, call.caller, call.path["guid"], [one.wanted() for one in form.destinations]
    )
    return _destinations(call)


async def update_destination(call: Call) -> Reply[DestinationShown]:
    """Speak HTTP/1.1 or HTTP/2 to the app."""
    form = await call.json(DestinationChanges)
    guids = call.path["guid"], call.path["destination_guid"]
    row = await routes.update_destination(call.context, call.caller, *guids, form.protocol)
    return Reply(body=present_destination(row))


async def remove_destination(call: Call) -> Reply[None]:
    """204."""
    await routes.remove_destination(call.context, call.caller, call.path["guid"], call.path["destination_guid"])
    return no_content()


def _destinations(call: Call) -> Reply[DestinationsShown]:
    with call.context.database.read() as tx:
        route = need_visible(tx, call.caller, RouteRecord, call.path["guid"])
        found = tx.all(Destination, route_guid=route.guid, order=("created_at",))
    apps, guids = call.query.values("app_guids"), call.query.values("guids")
    shown = [one for one in found if (not apps or one.app_guid in apps) and (not guids or one.guid in guids)]
    links = {
        "self": call.urls.link("routes", route.guid, "destinations"),
        "route": call.urls.link("routes", route.guid),
    }
    return Reply(body=DestinationsShown(destinations=[present_destination(one) for one in shown], links=links))


ONE = "/v3/routes/<guid>"
BELOW = f"{ONE}/destinations"
ROUTES: tuple[Route, ...] = (
    get("/v3/routes", list_routes, LISTED.query),
    post("/v3/routes", create_route, permission=OPERATORS),
    get(ONE, get_route, LISTED.single),
    patch(ONE, update_route, permission=OPERATORS),
    delete(ONE, delete_route, permission=OPERATORS),
    get(BELOW, list_destinations, QuerySpec(filters=("guids", "app_guids"))),
    post(BELOW, add_destinations, permission=OPERATORS),
    patch(BELOW, replace_destinations, permission=OPERATORS),
    patch(f"{BELOW}/<destination_guid>", update_destination, permission=OPERATORS),
    delete(f"{BELOW}/<destination_guid>", remove_destination, permission=OPERATORS),
    get("/v3/apps/<guid>/routes", app_routes, LISTED.query),
)
