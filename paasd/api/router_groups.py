"""`/routing/v1/router_groups`: as much of Cloud Foundry's routing API as clients use, with its own errors."""

from paasd.api.answers import Answer, Refusal
from paasd.api.call import Call, Reply
from paasd.api.query import QuerySpec
from paasd.api.table import Route, get
from paasd.api.words import RouterGroupType
from paasd.config.ports import in_words


class RouterGroupShown(Answer):
    """A group of routers, and the ports that routes on its domains may reserve."""

    guid: str
    name: str
    type: RouterGroupType
    reservable_ports: str


class GroupMissing(Refusal):
    """Why a call was refused, in the form of this API."""

    name: str
    message: str


async def list_groups(call: Call) -> Reply[list[RouterGroupShown]] | Reply[GroupMissing]:
    """One where the operator set ports aside for TCP routes, else none; a name that there is not is a 404."""
    wanted = call.query.plain.get("name")
    found = [group for group in call.context.router_groups if wanted in (None, group.name)]
    if wanted is not None and not found:
        text = f"Router Group '{wanted}' not found"
        return Reply(status=404, body=GroupMissing(name="ResourceNotFoundError", message=text))
    shown = [
        RouterGroupShown(guid=group.guid, name=group.name, type=group.type, reservable_ports=in_words(group.reservable))
        for group in found
    ]
    return Reply(body=shown)


BASE = "/routing/v1/router_groups"
ROUTES: tuple[Route, ...] = (
    get(BASE, list_groups, QuerySpec(plain=("name",)), permission="routing.router_groups.read"),
)
