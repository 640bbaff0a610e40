"""Real members of etcd on the loopback address, with certificates of an authority made for the test."""

import contextlib
import ipaddress
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio
from cryptography import x509

from paasd import pki
from paasd.etcd import Client, Lost, Member, MemberSpec, Refused, Unreachable, member_url, open_client
from paasd.state.log.etcd import EtcdLog

READY_S = 30.0
MakeLog = Callable[[Client, str], EtcdLog]
LISTEN = "127.0.0.1"
ADDRESSES = [f"127.0.0.{number}" for number in range(1, 20)]
"""All of the machine itself; proxies have those that no member listens on."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Village:
    """An authority, and members that it has certified. `through` replaces the client addresses, for proxies."""

    def __init__(self, directory: Path, count: int, log_id: str = "test", address: str = LISTEN) -> None:
        self.directory = directory
        self.authority = pki.make_authority("etcd", datetime.now(UTC))
        ports = [(free_port(), free_port()) for _ in range(count)]
        cluster = {f"m{number}": member_url(address, peer) for number, (_, peer) in enumerate(ports)}
        self.specs = [
            MemberSpec(
                name=f"m{number}",
                log_id=log_id,
                address=address,
                listen=LISTEN,
                client_port=client,
                peer_port=peer,
                cluster=cluster,
                state="new",
            )
            for number, (client, peer) in enumerate(ports)
        ]
        self.members = [self.member(spec.name) for spec in self.specs]
        self.through: list[tuple[str, int]] = [("127.0.0.1", spec.client_port) for spec in self.specs]

    def member(self, name: str, authority: pki.KeyPair | None = None) -> Member:
        """The files of a member, certified by this village's authority or another one."""
        member = Member(self.directory / name, outlive=False)
        key = pki.new_key()
        names = [x509.IPAddress(ipaddress.ip_address(address)) for address in ADDRESSES]
        issuer = authority or self.authority
        day = timedelta(days=1)
        leaf = pki.issue(issuer, pki.request(key), name, names, datetime.now(UTC), day, client=True)
        member.write_certificate(pki.KeyPair(leaf, key), self.authority.certificate)
        return member

    async def start(self) -> None:
        for member, spec in zip(self.members, self.specs, strict=True):
            await member.start(spec)

    async def until_ready(self, client: Client) -> None:
        with trio.fail_after(READY_S):
            while True:
                with contextlib.suppress(Lost, Refused, Unreachable):
                    if (await client.status()).leader:
                        return
                await trio.sleep(0.05)

    async def stop(self) -> None:
        for member in self.members:
            await member.stop()


@asynccontextmanager
async def village(count: int = 1) -> AsyncIterator[Village]:
    """Started members; gone afterwards."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    found = Village(directory, count)
    try:
        await found.start()
        async with found_client(found) as client:
            await found.until_ready(client)
        yield found
    finally:
        with trio.CancelScope(shield=True):
            await found.stop()
            shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def found_client(found: Village, first: int = 0) -> AsyncIterator[Client]:
    """A client that prefers one of the members."""
    order = found.through[first:] + found.through[:first]
    context = found.members[first].client_context()
    async with open_client(lambda: order, lambda: context) as client:
        yield client


@asynccontextmanager
async def log_of(
    found: Village, identity: str = "one", first: int = 0, *, base: bool = True, make: MakeLog = EtcdLog
) -> AsyncIterator[EtcdLog]:
    """A log; with `base` it begins before entry 1."""
    async with found_client(found, first) as client, trio.open_nursery() as nursery:
        log = make(client, identity)
        nursery.start_soon(log.follow)
        if base:
            await log.start_at(0, b"")
        yield log
        nursery.cancel_scope.cancel()
