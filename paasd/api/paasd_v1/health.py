"""Whether the platform is well."""

from collections import Counter
from typing import Final, Literal

import psutil
import trio
from msgspec import UNSET, UnsetType

from paasd.actions import Context
from paasd.actions.findings import Platform, advice, problems
from paasd.actions.unlimited import unlimited
from paasd.actions.upkeep import KeyChange
from paasd.api.answers import Answer, Link, Links
from paasd.api.call import Call, Reply
from paasd.api.table import Auth, Route, get
from paasd.copies import blob_findings
from paasd.membership.rotation.steps import Waiting
from paasd.model import App, Build, Instance, Node, Organization, Space
from paasd.model.brake import brake_finding
from paasd.model.draining import drain_progress
from paasd.model.membership import members
from paasd.model.rotation import authority_ends
from paasd.scheduler import not_absorbed

ASK_S: Final = 0.4
"""What is not known by then is said to be unknown: `paasd status` is for when something hangs."""

SOMETHING: Final = "something is wrong with the platform; its administrators see what"


class Status(Answer):
    """How the platform is: counts, what is wrong, and what would be better.

    The counts are for who sees the whole platform: watched over time they tell what others do. A tenant reads whether
    all is well.
    """

    version: str
    domains: str
    problems: list[str]
    advice: list[str]
    nodes: int | UnsetType = UNSET
    organizations: int | UnsetType = UNSET
    spaces: int | UnsetType = UNSET
    apps: int | UnsetType = UNSET
    apps_started: int | UnsetType = UNSET
    builds_staging: int | UnsetType = UNSET
    instances_wanted: int | UnsetType = UNSET
    instances_running: int | UnsetType = UNSET
    instances_starting: int | UnsetType = UNSET
    instances_crashed: int | UnsetType = UNSET
    log_lines_dropped: int | UnsetType = UNSET


class Below(Answer):
    """Where calls are (some with names to be filled in), and the port at which apps answer."""

    links: Links
    https_port: int


async def healthz(call: Call) -> Reply[Literal["text/plain"]]:
    """200 while the daemon answers and can read its state."""
    with call.context.database.read() as tx:
        tx.count(Node)
    return Reply(raw=b"ok\n", content_type="text/plain; charset=utf-8")


async def status(call: Call) -> Reply[Status]:
    """Counts, and what is wrong with what to do about it; for a tenant whether anything is."""
    context = call.context
    known = await picture(call)
    found = problems(known)
    domains = f"{context.config.domains.apps}, {context.config.domains.system}"
    if not call.caller.sees_everything:
        told = [SOMETHING] if found else []
        return Reply(body=Status(version=call.platform.version, domains=domains, problems=told, advice=[]))
    states = Counter(fact.state for fact in context.observed.instances())
    with context.database.read() as tx:
        shown = Status(
            version=call.platform.version,
            domains=domains,
            nodes=len(members(tx)),
            organizations=tx.count(Organization, deleting=False),
            spaces=tx.count(Space, deleting=False),
            apps=tx.count(App, deleting=False),
            apps_started=tx.count(App, deleting=False, state="STARTED"),
            builds_staging=tx.count(Build, state="STAGING"),
            instances_wanted=tx.count(Instance),
            instances_running=states["RUNNING"],
            instances_starting=states["STARTING"],
            instances_crashed=states["CRASHED"],
            log_lines_dropped=context.logs.lines_dropped,
            problems=found,
            advice=advice(known),
        )
    return Reply(body=shown)


async def picture(call: Call) -> Platform:
    """What this node knows of the platform."""
    context = call.context
    observed, membership = context.observed, context.membership
    silent: set[str] = set()
    blobs: list[str] = []
    fresh = False

    async def look_at_blobs() -> None:
        nonlocal blobs
        blobs = await blob_findings(context.blobs, silent, ASK_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look_at_blobs)
        fresh = await context.database.fresh(ASK_S)
    with context.database.read() as tx:
        nodes = members(tx)
        progress = {node.guid: drain_progress(tx, node).in_words() for node in nodes if node.state == "DRAINING"}
        brake = brake_finding(tx)
        missing = not_absorbed(nodes, tx.all(Instance))
        authorities = authority_ends(tx)
        shared = unlimited(tx, context.config)
    return Platform(
        own_guid=context.node_guid,
        nodes=nodes,
        facts=observed.nodes(),
        unreachable=observed.unreachable(),
        progress=progress,
        brake=brake,
        not_absorbed=missing,
        stale_s=None if fresh else context.database.stale_s,
        index=context.database.index,
        certificate_left_s=None if membership is None else membership.certificate_left_s(),
        busy_ports=context.busy_ports(),
        disk_free_mb=psutil.disk_usage(context.config.data).free >> 20,
        blobs=blobs,
        silent=silent,
        log_error=context.logs.write_error,
        now_s=context.clock(),
        key_changes=key_changes(context),
        authorities=authorities,
        unlimited=shared,
    )


def key_changes(context: Context) -> list[KeyChange]:
    """Those under way, as far as this node knows of them: workers do not."""
    rotation = None if context.membership is None else context.membership.rotation
    steps = [] if rotation is None else rotation.steps()
    return [
        KeyChange(
            words=step.in_words(),
            away=tuple(node.name for node in step.nodes if not node.live) if isinstance(step, Waiting) else (),
        )
        for step in steps
    ]


async def links(call: Call) -> Reply[Below]:
    """What there is below, and the port at which apps answer."""
    base = f"{call.urls.base}/paasd/v1"
    names = {
        "healthz": "/healthz",
        "status": "/status",
        "push": "/spaces/{organization}/{space}/push",
        "apps": "/spaces/{organization}/{space}/apps",
    }
    found = {name: Link(href=base + path) for name, path in names.items()}
    return Reply(body=Below(links=found, https_port=call.platform.https_port))


ROUTES: tuple[Route, ...] = (
    get("/paasd/v1", links, auth=Auth.NONE),
    get("/paasd/v1/healthz", healthz, auth=Auth.NONE),
    get(
        "/paasd/v1/status",
        status,
        auth=Auth.BASIC,
        permission="signed in; counts: who sees all",
        waits=False,
    ),
)
