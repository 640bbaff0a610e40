"""The host keys that every node shows to ssh clients: the first is made once, the next ones are announced before.

All are sealed in the rows. A client that is signed in learns of every key that is announced (OpenSSH's
hostkeys-00@openssh.com), and has it in its known_hosts when its time comes.
"""

import base64
import hashlib
import uuid
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from paasd.model import Authority
from paasd.model.membership import authority_context
from paasd.model.rotation import HOST_KEY, believed
from paasd.model.ssh import AddSshHostKey, add_ssh_host_key, first_host_key
from paasd.state import Database, ReadTx
from paasd.state.sealing import Sealer

ALGORITHM: Final = "ssh-ed25519"
CONTEXT: Final = f"ssh_host_key/{ALGORITHM}"


class HostKey(msgspec.Struct, frozen=True):
    """`private` is in OpenSSH's format, `public` as in known_hosts, without a comment."""

    public: str
    private: bytes


async def keep_host_keys(database: Database, sealer: Sealer) -> list[HostKey]:
    """First the one that is shown, then those that are announced only. Two nodes at once make one."""
    if not (found := read_host_keys(database, sealer)):
        await database.write(add_ssh_host_key, make_first(sealer))
        found = read_host_keys(database, sealer)
    assert found
    return found


def read_host_keys(database: Database, sealer: Sealer) -> list[HostKey]:
    """As `keep_host_keys`; empty when there is none yet. Raises PaasdError when one cannot be opened."""
    with database.read() as tx:
        rows, first = _rows(tx), first_host_key(tx)
    if rows:
        return [HostKey(row.certificate, sealer.open(row.sealed_key, authority_context(row.guid))) for row in rows]
    return [] if first is None else [HostKey(first.public_key, sealer.open(first.sealed_private, CONTEXT))]


def public_host_keys(tx: ReadTx) -> list[str]:
    """In the same order, without what is secret."""
    first = first_host_key(tx)
    return [row.certificate for row in _rows(tx)] or ([] if first is None else [first.public_key])


def _rows(tx: ReadTx) -> list[Authority]:
    return sorted(believed(tx, HOST_KEY), key=lambda row: row.state != "SIGNING")


def make_first(sealer: Sealer) -> AddSshHostKey:
    """A new one, sealed."""
    key = make_host_key()
    return AddSshHostKey(algorithm=ALGORITHM, sealed_private=sealer.seal(key.private, CONTEXT), public_key=key.public)


def make_host_key() -> HostKey:
    """A new one."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return HostKey(public, private)


def host_key_row(sealer: Sealer, key: HostKey, state: str) -> Authority:
    """A row for it, sealed."""
    guid = str(uuid.uuid4())
    sealed = sealer.seal(key.private, authority_context(guid))
    return Authority(guid=guid, purpose=HOST_KEY, certificate=key.public, sealed_key=sealed, state=state)


def fingerprint(public_key: str) -> str:
    """As ssh clients show it: SHA-256 in base64 without padding, 43 characters."""
    blob = base64.b64decode(public_key.split()[1])
    return base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
