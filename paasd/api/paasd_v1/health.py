"""Whether the platform is well."""

from typing import Any

from paasd.api.call import Call, Reply
from paasd.api.table import Auth, Route, get
from paasd.model import App, Build, Instance, Node, Organization, Space


async def healthz(call: Call) -> Reply:
    """200 while the daemon answers and can read its state."""
    with call.context.database.read() as tx:
        tx.count(Node)
    return Reply(raw=b"ok\n", content_type="text/plain; charset=utf-8")


async def status(call: Call) -> Reply:
    """Counts, and what is wrong with what to do about it; for those who are signed in."""
    context = call.context
    facts = context.observed.instances()
    with context.database.read() as tx:
        nodes = tx.all(Node)
        body: dict[str, Any] = {
            "version": call.platform.version,
            "domains": f"{context.config.domains.apps}, {context.config.domains.system}",
            "nodes": len(nodes),
            "organizations": tx.count(Organization, deleting=False),
            "spaces": tx.count(Space, deleting=False),
            "apps": tx.count(App, deleting=False),
            "apps_started": tx.count(App, deleting=False, state="STARTED"),
            "builds_staging": tx.count(Build, state="STAGING"),
            "instances_wanted": tx.count(Instance),
        }
    for state in ("RUNNING", "STARTING", "CRASHED"):
        body[f"instances_{state.lower()}"] = sum(1 for fact in facts if fact.state == state)
    body["log_lines_dropped"] = context.logs.lines_dropped
    body["problems"] = problems(call, nodes)
    return Reply(body=body)


def problems(call: Call, nodes: list[Node]) -> list[str]:
    """Sentences that say what is wrong and what to do."""
    found = [f"node {node.name} is {node.state}" for node in nodes if node.state != "READY"]
    if call.context.logs.write_error is not None:
        found.append(f"log lines cannot be stored: {call.context.logs.write_error}; is the disk full?")
    return found


async def links(call: Call) -> Reply:
    """What there is below, and the port at which apps answer."""
    base = f"{call.urls.base}/paasd/v1"
    names = {
        "healthz": "/healthz",
        "status": "/status",
        "push": "/spaces/{organization}/{space}/push",
        "apps": "/spaces/{organization}/{space}/apps",
    }
    found = {name: {"href": base + path} for name, path in names.items()}
    return Reply(body={"links": found, "https_port": call.platform.https_port})


ROUTES: tuple[Route, ...] = (
    get("/paasd/v1", links, auth=Auth.NONE),
    get("/paasd/v1/healthz", healthz, auth=Auth.NONE),
    get("/paasd/v1/status", status, auth=Auth.BASIC, permission="signed in"),
)
