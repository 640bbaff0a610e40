"""Stacks: what comes with the platform and cannot be changed by calls."""

from typing import Literal

from paasd.api.answers import Described, MetadataShown, Page
from paasd.api.answers.apps import AppShown
from paasd.api.call import Call, Reply
from paasd.api.listing import list_reply, plain_list, truth
from paasd.api.query import QuerySpec
from paasd.api.selector import suits_bare
from paasd.api.table import Route, get
from paasd.api.v3.apps import APPS
from paasd.errors import NotFound
from paasd.state import Eq

STACKS = {
    "cflinuxfs4": "The stack debian12 under the name that Cloud Foundry's manifests use",
    "debian12": "Debian 12, built for this platform; for production",
    "host": "The programs of the host itself; for development and tests",
}
# Nothing of this is a row, so all of it is as old as Cloud Foundry's v3 API itself would have it.
SINCE = "2026-01-01T00:00:00Z"


class StackShown(Described):
    """A root file system that apps can run on."""

    name: str
    description: str
    build_rootfs_image: str
    run_rootfs_image: str
    default: bool
    state: Literal["ACTIVE"]
    state_reason: str | None


def _named(call: Call, rows: list[StackShown]) -> list[StackShown]:
    """Those that the filters leave, in the wanted order. Nothing built in has labels."""
    query = call.query
    found = [
        row
        for row in rows
        if (not query.has("names") or row.name in query.values("names"))
        and (not query.has("guids") or row.guid in query.values("guids"))
        and ("default" not in query.plain or row.default is truth("default", query.plain["default"]))
        and (query.label_selector is None or suits_bare(query.label_selector))
    ]
    if call.query.order_by is not None:
        name, descending = call.query.order_by
        found.sort(key=lambda row: str(getattr(row, name)), reverse=descending)
    return found


def _stacks(call: Call) -> list[StackShown]:
    default = call.context.config.sandbox.stack
    return [
        StackShown(
            guid=name,
            created_at=SINCE,
            updated_at=SINCE,
            metadata=MetadataShown(labels={}, annotations={}),
            links={"self": call.urls.link("stacks", name)},
            name=name,
            description=description,
            build_rootfs_image=name,
            run_rootfs_image=name,
            default=name == default,
            state="ACTIVE",
            state_reason=None,
        )
        for name, description in STACKS.items()
    ]


async def list_stacks(call: Call) -> Reply[Page[StackShown]]:
    """The root file systems that apps can run on."""
    return plain_list(call, _named(call, _stacks(call)))


async def get_stack(call: Call) -> Reply[StackShown]:
    """One; the guid of a stack is its name."""
    return Reply(body=_need(call))


def _need(call: Call) -> StackShown:
    for row in _stacks(call):
        if row.guid == call.path["guid"]:
            return row
    raise NotFound("Stack")


async def stack_apps(call: Call) -> Reply[Page[AppShown]]:
    """Apps that name it, of those that the caller may see."""
    return await list_reply(call, APPS, Eq("stack", _need(call).guid))


STACK_QUERY = QuerySpec(filters=("guids", "names"), plain=("default",), order_by=("name",), pages=True, labels=True)
ROUTES: tuple[Route, ...] = (
    get("/v3/stacks", list_stacks, STACK_QUERY),
    get("/v3/stacks/<guid>", get_stack),
    get("/v3/stacks/<guid>/apps", stack_apps, APPS.query),
)
