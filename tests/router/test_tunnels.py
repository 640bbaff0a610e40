from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import trio

from paasd.pki import KeyPair
from paasd.router import Certificates, Links, RouteEntry

from .members import PREFIX, Authority, Member, Refused, call, members, remote
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


ASK = b"GET /through HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def test_a_tunnel_opens_to_a_target_that_was_named_and_to_nothing_else(
    pair: list[Member], app: App, tmp_path: Path, authority: Authority
) -> None:
    edge, owner = pair
    await owner.serve(route(app.endpoint()))
    await owner.link(edge, instance__1_7=app)
    known = authority.sign(f"{PREFIX}edge/control")

    async def asked(target: str) -> tuple[str, str]:
        try:
            tunnel = await call(owner.port, tmp_path, target, known, ASK)
        except Refused:  # what is no authority at all ends the connection
            return "", ""
        return tunnel.status, tunnel.headers.get("x-paasd-refused", "")

    async def refused_plainly(target: str) -> None:
        assert (await asked(target))[0] in ("404", "400", ""), target

    assert await asked("instance-1.7") == ("200", "")
    assert app.requests == 1
    for well_formed in ("instance-2.7", "instance-1.6", "instance-1.8", "instance-1.7.80", "api.owner", "10.1"):
        assert await asked(well_formed) == ("200", "404"), well_formed
    elsewhere = (
        f"127.0.0.1:{app.port}",
        f"instance-1.7:{app.port}",
        "127.0.0.1",
        "..",
        "../instance-1.7",
        "instance-1.7|",
        "tunnel|instance-1.7|",
        HOST,
        "paasd|control",
        "node|edge|",
        "instance-1.7.",
        "instance-1.7/",
        "",
    )
    async with trio.open_nursery() as nursery:
        for malformed in elsewhere:
            nursery.start_soon(refused_plainly, malformed)
    header = ("x-paasd-target", "tunnel|instance-1.7|")
    spoofed = await call(owner.port, tmp_path, "instance-2.7", known, ASK, [header])
    assert spoofed.received == b""
    assert app.requests == 1
    assert await asked("instance-1.7") == ("200", "")
    assert app.requests == 2


async def test_only_a_node_of_this_cluster_gets_a_tunnel(
    pair: list[Member], app: App, tmp_path: Path, authority: Authority
) -> None:
    edge, owner = pair
    await owner.link(edge, instance__1_1=app)

    async def reached(pair: KeyPair | None) -> bool:
        try:
            return b"instance-1" in (await call(owner.port, tmp_path, "instance-1.1", pair, ASK)).received
        except Refused:
            return False

    assert await reached(authority.sign(f"{PREFIX}edge/control"))
    assert not await reached(None)
    assert not await reached(Authority().sign(f"{PREFIX}edge/control"))
    for uri in (
        "spiffe://paasd/cluster-2/node/edge/control",
        "spiffe://paasd/cluster-1/instance/edge",
        "spiffe://elsewhere/cluster-1/node/edge/control",
        "https://paasd/cluster-1/node/edge/control",
    ):
        assert not await reached(authority.sign(uri)), uri
    assert await reached(authority.sign(f"{PREFIX}edge/worker"))


async def test_a_removed_node_gets_no_tunnel_though_its_certificate_is_good(
    pair: list[Member], app: App, tmp_path: Path, authority: Authority
) -> None:
    edge, owner = pair
    certificate = authority.sign(f"{PREFIX}edge/control")
    await owner.link(edge, instance__1_1=app)
    assert b"instance-1" in (await call(owner.port, tmp_path, "instance-1.1", certificate, ASK)).received
    await owner.link(instance__1_1=app)
    with pytest.raises(Refused), trio.fail_after(5):
        while True:  # new secrets are in use a moment after they were acknowledged
            await call(owner.port, tmp_path, "instance-1.1", certificate, ASK)


async def test_a_node_that_answers_in_anothers_place_is_not_believed(
    pair: list[Member], app: App, authority: Authority
) -> None:
    edge, owner = pair
    await owner.link(edge, instance__1_1=app)
    edge.router.publish_links(Links(nodes={"owner": owner.door, "other": owner.door}))
    await edge.serve(
        route(remote(app, owner)),
        RouteEntry(
            host="other.apps.localhost",
            endpoints=(msgspec.structs.replace(remote(app, owner), node_guid="other"),),
        ),
    )
    with trio.fail_after(5):
        while (await fetch(edge.router.http_port, HOST)).status != 200:
            pass
    assert (await fetch(edge.router.http_port, "other.apps.localhost")).status == 502
    strangers = Authority()
    owner.router.renew_identity(strangers.identity("owner", authority.pair.certificate))
    await owner.settled()
    for links in (Links(), Links(nodes={"owner": owner.door})):  # so that another handshake is needed
        edge.router.publish_links(links)
        await edge.settled()
    await edge.serve(RouteEntry(host="fresh.apps.localhost", endpoints=(remote(app, owner),)))
    assert (await fetch(edge.router.http_port, "fresh.apps.localhost")).status == 502
    owner.router.renew_identity(authority.identity("owner"))
    with trio.fail_after(5):
        while (await fetch(edge.router.http_port, "fresh.apps.localhost")).status != 200:
            pass
