"""Stacks: what comes with the platform and cannot be changed by calls."""

from typing import Any

from paasd.api.call import Call, Reply
from paasd.api.listing import plain_list
from paasd.api.query import QuerySpec
from paasd.api.table import Route, get
from paasd.errors import NotFound

STACKS = {
    "cflinuxfs4": "The stack debian12 under the name that Cloud Foundry's manifests use",
    "debian12": "Debian 12, built for this platform; for production",
    "host": "The programs of the host itself; for development and tests",
}
# Nothing of this is a row, so all of it is as old as Cloud Foundry's v3 API itself would have it.
SINCE = "2026-01-01T00:00:00Z"


def _base(call: Call, kind: str, guid: str) -> dict[str, Any]:
    return {
        "guid": guid,
        "created_at": SINCE,
        "updated_at": SINCE,
        "metadata": {"labels": {}, "annotations": {}},
        "links": {"self": call.urls.link(kind, guid)},
    }


def _named(call: Call, rows: list[dict[str, Any]], key: str = "name") -> list[dict[str, Any]]:
    """Those that the filters `names` and `guids` leave, in the wanted order."""
    names, guids = call.query.values("names"), call.query.values("guids")
    found = [
        row
        for row in rows
        if (not call.query.has("names") or row[key] in names) and (not call.query.has("guids") or row["guid"] in guids)
    ]
    if call.query.order_by is not None:
        name, descending = call.query.order_by
        found.sort(key=lambda row: row[name], reverse=descending)
    return found


def _pick(rows: list[dict[str, Any]], guid: str, label: str, key: str = "guid") -> Reply:
    for row in rows:
        if row[key] == guid:
            return Reply(body=row)
    raise NotFound(label)


def _stacks(call: Call) -> list[dict[str, Any]]:
    default = call.context.config.sandbox.stack
    return [
        {
            **_base(call, "stacks", name),
            "name": name,
            "description": description,
            "build_rootfs_image": name,
            "run_rootfs_image": name,
            "default": name == default,
            "state": "ACTIVE",
            "state_reason": None,
        }
        for name, description in STACKS.items()
    ]


async def list_stacks(call: Call) -> Reply:
    """The root file systems that apps can run on."""
    return plain_list(call, _named(call, _stacks(call)))


async def get_stack(call: Call) -> Reply:
    """One; the guid of a stack is its name."""
    return _pick(_stacks(call), call.path["guid"], "Stack")


STACK_QUERY = QuerySpec(filters=("guids", "names"), plain=("default",), order_by=("name",), pages=True, labels=True)
ROUTES: tuple[Route, ...] = (
    get("/v3/stacks", list_stacks, STACK_QUERY),
    get("/v3/stacks/<guid>", get_stack),
)
