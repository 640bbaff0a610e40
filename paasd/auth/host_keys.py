"""The host key that every node shows to ssh clients: made once, sealed in the rows."""

import base64
import hashlib
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from paasd.model.ssh import AddSshHostKey, add_ssh_host_key, host_key
from paasd.state import Database
from paasd.state.sealing import Sealer

ALGORITHM: Final = "ssh-ed25519"
CONTEXT: Final = f"ssh_host_key/{ALGORITHM}"


async def keep_host_key(database: Database, sealer: Sealer) -> bytes:
    """The private key in OpenSSH's format. Two nodes at once make one."""
    with database.read() as tx:
        row = host_key(tx)
    if row is None:
        await database.write(add_ssh_host_key, make_host_key(sealer))
        with database.read() as tx:
            row = host_key(tx)
    assert row is not None
    return sealer.open(row.sealed_private, CONTEXT)


def make_host_key(sealer: Sealer) -> AddSshHostKey:
    """A new one, sealed."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return AddSshHostKey(algorithm=ALGORITHM, sealed_private=sealer.seal(private, CONTEXT), public_key=public)


def fingerprint(public_key: str) -> str:
    """As ssh clients show it: SHA-256 in base64 without padding, 43 characters."""
    blob = base64.b64decode(public_key.split()[1])
    return base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
