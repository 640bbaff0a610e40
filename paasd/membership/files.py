"""What a member keeps beside its data, to be one again after a restart without asking anybody.

DATA/member/member.json    cluster, role, zone, address and ports, and where other members were last
DATA/member/node.pem       its private key, its certificate, and the authority that issued it: one file, always a pair
DATA/member/ca.pem         every authority that is trusted
DATA/member/joining.key    the key of a join that is under way
"""

import re
from pathlib import Path
from typing import Final

import msgspec

from paasd import pki
from paasd.errors import PaasdError
from paasd.peer import Identity
from paasd.peer.interface import Role
from paasd.pki import KeyPair, write_private

FOLDER: Final = "member"
_KEY: Final = re.compile(rb"-----BEGIN PRIVATE KEY-----\n.*?-----END PRIVATE KEY-----\n", re.S)


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
        return self.identity_of(member.guid, member.role, member.cluster_id)

    def identity_of(self, guid: str, role: Role, cluster_id: str) -> Identity:
        """As `identity`, before there is a member.json."""
        pem = self.folder / "node.pem"
        return Identity(
            guid=guid, role=role, cluster_id=cluster_id, certificate=pem, key=pem, authorities=self.folder / "ca.pem"
        )

    def pair(self) -> KeyPair:
        """The node's private key, and its certificate followed by the issuer's."""
        content = (self.folder / "node.pem").read_bytes()
        key = _KEY.search(content)
        if key is None:
            raise PaasdError(f"{self.folder}/node.pem holds no key; remove this node and join again with a new one")
        return KeyPair(content.replace(key[0], b""), key[0])

    def certificate(self) -> bytes:
        """The node's certificate, PEM, without the chain."""
        return pki.first_of(self.pair().certificate)

    def authorities(self) -> bytes:
        """Those that are trusted, PEM, one after the other."""
        return (self.folder / "ca.pem").read_bytes()

    def joining_key(self) -> bytes:
        """The key of this join, the same one when it is tried again."""
        path = self.folder / "joining.key"
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            write_private(path, pki.new_key())
        return path.read_bytes()

    def write_pair(self, key: bytes, certificate: bytes, issuer: bytes, trusted: list[bytes]) -> None:
        """A key, its certificate with the issuer's, and every authority that is trusted, which come first: whatever
        happens in between, who is trusted includes the own issuer.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        write_private(self.folder / "ca.pem", b"".join(dict.fromkeys([issuer, *trusted])))
        write_private(self.folder / "node.pem", key + certificate + issuer)

    def write_authorities(self, trusted: list[bytes]) -> None:
        """Believe these from now on."""
        write_private(self.folder / "ca.pem", b"".join(trusted))

    def write(self, member: MemberFile) -> None:
        """Last: from now on this node is a member."""
        write_private(self._member, msgspec.json.format(msgspec.json.encode(member)))
        (self.folder / "joining.key").unlink(missing_ok=True)
