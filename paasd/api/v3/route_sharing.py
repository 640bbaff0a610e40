"""`/v3/routes/:guid/relationships`: spaces that share a route, and the one that it belongs to."""

from typing import Annotated

from paasd.actions import route_sharing
from paasd.api.answers import Answer, LinkedMany, Reference
from paasd.api.call import Call, Form, Reply, no_content
from paasd.api.forms import Guid
from paasd.api.table import Route, delete, get, patch, post
from paasd.api.words import held


class SharedWith(Form):
    """Body of `POST /v3/routes/:guid/relationships/shared_spaces`."""

    data: list[Guid]


class NewSpace(Form):
    """Body of `PATCH /v3/routes/:guid/relationships/space`."""

    data: Guid


class Moved(Answer):
    """That it was done."""

    status: Annotated[str, held("ok")]


def _shown(call: Call) -> Reply[LinkedMany]:
    guid = call.path["guid"]
    spaces = route_sharing.shared_spaces(call.context, call.caller, guid)
    links = {"self": call.urls.link("routes", guid, "relationships", "shared_spaces")}
    return Reply(body=LinkedMany(data=[Reference(guid=one) for one in spaces], links=links))


async def list_shared_spaces(call: Call) -> Reply[LinkedMany]:
    """To apps of which further spaces it may lead."""
    return _shown(call)


async def share_route(call: Call) -> Reply[LinkedMany]:
    """Let it lead to apps of these spaces, too."""
    guids = [one.guid for one in (await call.json(SharedWith)).data]
    await route_sharing.share(call.context, call.caller, call.path["guid"], guids)
    return _shown(call)


async def unshare_route(call: Call) -> Reply[None]:
    """204; it leads to no app of that space any more."""
    await route_sharing.unshare(call.context, call.caller, call.path["guid"], call.path["space_guid"])
    return no_content()


async def move_route(call: Call) -> Reply[Moved]:
    """Make it another space's. That which had it shares it then, so its apps go on."""
    target = (await call.json(NewSpace)).data.guid
    await route_sharing.move(call.context, call.caller, call.path["guid"], target)
    return Reply(body=Moved(status="ok"))


BELOW = "/v3/routes/<guid>/relationships"
BOTH = "space_developer of both"
ROUTES: tuple[Route, ...] = (
    get(f"{BELOW}/shared_spaces", list_shared_spaces),
    post(f"{BELOW}/shared_spaces", share_route, permission=BOTH),
    delete(f"{BELOW}/shared_spaces/<space_guid>", unshare_route, permission=BOTH),
    patch(f"{BELOW}/space", move_route, permission=BOTH),
)
