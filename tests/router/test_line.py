"""Connections from app to app at the port of another node: who may open one, and to what."""

import ssl
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio

from paasd.pki import KeyPair
from paasd.router import Certificates, Links
from paasd.router.tunnels.names import LINE_PROTOCOL

from .members import PREFIX, Authority, Member, members

HOST = "127.0.0.1"
TARGET = "instance-1.1.8080"


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def owner(tmp_path: Path, certificates: Certificates, authority: Authority) -> AsyncIterator[Member]:
    async with members(tmp_path, certificates, authority, "caller", "owner") as (caller, found):
        await found.link(caller)
        yield found


class Greeter:
    """An app that speaks first, as databases do. `calls` counts those who came."""

    def __init__(self) -> None:
        self.calls = 0
        self.port = 0

    async def greet(self, stream: trio.SocketStream) -> None:
        self.calls += 1
        await stream.send_all(b"hello")

    def named(self, owner: Member) -> None:
        """The node lets others reach it."""
        owner.router.publish_links(Links(nodes=owner.links.nodes, targets={TARGET: (HOST, self.port)}))


@pytest.fixture
async def greeter(owner: Member, nursery: trio.Nursery) -> Greeter:
    made = Greeter()
    [listener] = await nursery.start(partial(trio.serve_tcp, made.greet, 0, host=HOST))
    made.port = listener.socket.getsockname()[1]
    made.named(owner)
    await owner.settled()
    return made


async def said(owner: Member, folder: Path, target: str, pair: KeyPair | None) -> bytes:
    """What comes over a line to a target, empty when it is not given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([LINE_PROTOCOL])
    if pair is not None:
        path = folder / "caller.pem"
        path.write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(path)
    raw = await trio.open_tcp_stream(HOST, owner.port)
    stream = trio.SSLStream(raw, context, server_hostname=target)
    try:
        with trio.fail_after(5):
            return bytes(await stream.receive_some(100))
    except (trio.BrokenResourceError, ssl.SSLError):
        return b""
    finally:
        await trio.aclose_forcefully(stream)


async def test_a_line_leads_to_what_the_node_has_named_and_to_nothing_else(
    owner: Member, greeter: Greeter, tmp_path: Path, authority: Authority
) -> None:
    known = authority.sign(f"{PREFIX}caller/control")
    assert await said(owner, tmp_path, TARGET, known) == b"hello"
    for other in ("instance-1.2.8080", "instance-1.1", "127.0.0.1", "tunnel", "node|caller|", "owner", "x"):
        assert await said(owner, tmp_path, other, known) == b"", other
    assert greeter.calls == 1
    await owner.link()
    assert await said(owner, tmp_path, TARGET, known) == b"", "nor is a node let in that is no longer known"
    assert greeter.calls == 1


async def test_only_a_node_of_this_cluster_gets_a_line_and_the_app_hears_of_nobody_else(
    owner: Member, greeter: Greeter, tmp_path: Path, authority: Authority
) -> None:
    strangers = (
        None,
        Authority().sign(f"{PREFIX}caller/control"),
        authority.sign(f"{PREFIX}another/control"),
        authority.sign("spiffe://paasd/cluster-2/node/caller/control"),
    )
    for pair in strangers:
        assert await said(owner, tmp_path, TARGET, pair) == b""
    assert greeter.calls == 0
    assert await said(owner, tmp_path, TARGET, authority.sign(f"{PREFIX}caller/worker")) == b"hello"
