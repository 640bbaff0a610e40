"""Nodes that talk over real TLS on the loopback address, with certificates of an authority made for the test."""

import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from paasd import pki
from paasd.config import PeerConfig
from paasd.peer import Identity, TlsPeers, node_uri, open_peers
from paasd.peer.interface import Role

CLUSTER = str(uuid.UUID(int=1))
QUICK = PeerConfig(connect_timeout_s=1.0, ping_s=0.15, silence_s=0.6, strangers_per_minute=5)


class Town:
    """An authority, and the nodes that it has certified."""

    def __init__(self, directory: Path, cluster_id: str = CLUSTER) -> None:
        self.directory = directory
        self.cluster_id = cluster_id
        self.authority = pki.make_authority("nodes", datetime.now(UTC))
        self.addresses: dict[str, tuple[str, int]] = {}
        self.removed: set[str] = set()

    def identity(self, guid: str, role: Role = "control", *, said: str | None = None) -> Identity:
        """Files of a node; `said` is another guid that its certificate names."""
        folder = self.directory / f"{guid}-{uuid.uuid4().hex[:6]}"
        folder.mkdir(parents=True)
        key = pki.new_key()
        names = [x509.UniformResourceIdentifier(node_uri(self.cluster_id, said or guid, role))]
        day = timedelta(days=1)
        leaf = pki.issue(self.authority, pki.request(key), guid, names, datetime.now(UTC), day, client=True)
        (folder / "node.pem").write_bytes(leaf + self.authority.certificate)
        (folder / "node.key").write_bytes(key)
        (folder / "ca.pem").write_bytes(self.authority.certificate)
        return Identity(
            guid=guid,
            role=role,
            cluster_id=self.cluster_id,
            certificate=folder / "node.pem",
            key=folder / "node.key",
            authorities=folder / "ca.pem",
        )

    @asynccontextmanager
    async def node(
        self,
        number: int,
        role: Role = "control",
        *,
        identity: Identity | None = None,
        clock: Callable[[], float] = time.time,
        config: PeerConfig = QUICK,
    ) -> AsyncIterator[TlsPeers]:
        """A node that listens; the others find it by its guid."""
        guid = guid_of(number)
        async with open_peers(
            config, guid, self.addresses.get, clock=clock, allowed=lambda other: other not in self.removed
        ) as peers:
            peers.identify(identity or self.identity(guid, role))
            self.addresses[guid] = ("127.0.0.1", await peers.listen("127.0.0.1", 0))
            yield peers


def guid_of(number: int) -> str:
    """The guid of a node of the test."""
    return str(uuid.UUID(int=number))
