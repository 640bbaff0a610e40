"""What a member keeps beside its data, to be one again after a restart without asking anybody.

DATA/member/member.json    cluster, role, zone, address and ports, and where other members were last
DATA/member/node.key       its private key
DATA/member/node.pem       its certificate, followed by the authority that issued it
DATA/member/ca.pem         every authority that is trusted
"""

from pathlib import Path
from typing import Final

import msgspec

from paasd.errors import PaasdError
from paasd.peer import Identity
from paasd.peer.interface import Role
from paasd.pki import write_private

FOLDER: Final = "member"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a member is found."""

    guid: str
    role: Role
    zone: str
    address: str
    peer_port: int
    voting: str = ""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """The ports of one node, also when the configuration left the choice open."""

    peer: int
    tunnel: int
    etcd_client: int
    etcd_peer: int


class MemberFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of member.json."""

    version: int = 1
    guid: str
    cluster_id: str
    role: Role
    zone: str
    address: str
    ports: Ports
    places: list[Place] = []


class MemberFiles:
    """The folder of one node."""

    def __init__(self, directory: Path) -> None:
        self.folder = directory / FOLDER
        self._member = self.folder / "member.json"

    @property
    def exists(self) -> bool:
        """Whether this node is a member of a cluster."""
        return self._member.exists()

    def read(self) -> MemberFile:
        """Raises PaasdError when it is not what paasd wrote."""
        try:
            return msgspec.json.decode(self._member.read_bytes(), type=MemberFile)
        except (OSError, msgspec.DecodeError) as error:
            raise PaasdError(
                f"{self._member} cannot be read ({error}); restore it, or join again with --data"
            ) from error

    def identity(self) -> Identity:
        """The node's identity for its connections."""
        member = self.read()
        return Identity(
            guid=member.guid,
            role=member.role,
            cluster_id=member.cluster_id,
            certificate=self.folder / "node.pem",
            key=self.folder / "node.key",
            authorities=self.folder / "ca.pem",
        )

    def certificate(self) -> bytes:
        """The node's certificate, PEM, without the chain."""
        first, mark, _ = (self.folder / "node.pem").read_bytes().partition(b"-----END CERTIFICATE-----\n")
        return first + mark

    def key(self) -> bytes:
        """The node's private key, PEM."""
        return (self.folder / "node.key").read_bytes()

    def write_key(self, key: bytes) -> None:
        """Before anything that is issued for it."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        write_private(self.folder / "node.key", key)

    def write_certificate(self, certificate: bytes, issuer: bytes, trusted: list[bytes]) -> None:
        """A certificate for the present key, its issuer, and every authority that is trusted."""
        write_private(self.folder / "ca.pem", b"".join(dict.fromkeys([issuer, *trusted])))
        write_private(self.folder / "node.pem", certificate + issuer)

    def write(self, member: MemberFile) -> None:
        """Last: from now on this node is a member."""
        write_private(self._member, msgspec.json.format(msgspec.json.encode(member)))
