from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paasd.router import Certificates, RouteEntry

from .members import Authority, Member, members, remote
from .upstream import App, fetch

HOST = "shop.apps.localhost"


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def pair(tmp_path: Path, certificates: Certificates, authority: Authority) -> AsyncIterator[list[Member]]:
    async with members(tmp_path, certificates, authority, "edge", "owner") as found:
        yield found


def route(*endpoints: object, **fields: object) -> RouteEntry:
    return RouteEntry(host=HOST, endpoints=endpoints, route_guid="r", app_guid="app-1", **fields)  # type: ignore[arg-type]


async def test_any_node_serves_an_instance_of_another(pair: list[Member], app: App) -> None:
    edge, owner = pair
    await owner.link(edge, instance__1_1=app)
    await edge.link(owner)
    await edge.serve(route(remote(app, owner)))
    answer = await fetch(edge.router.http_port, HOST, "/where")
    assert answer.seen["instance"] == "instance-1"
    entry = await edge.journal.of("/where")
    assert (entry.instance_guid, entry.node_guid, entry.upstream_address) == (
        "instance-1",
        "owner",
        f"192.0.2.1:{app.port}",
    )
