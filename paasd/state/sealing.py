"""Secrets at rest: AES-256-GCM under data keys, which stand in the database sealed by a root key that does not.

What is sealed is bound to a context, such as "apps/<guid>/environment", and opens with the same context only: a sealed
value copied into another row is refused. The root key is a file of the owner alone (0600) and never enters the log.
"""

import base64
import binascii
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paasd.errors import PaasdError, Unavailable
from paasd.state.engine import Database
from paasd.state.operations import operation
from paasd.state.records import Record
from paasd.state.transactions import Tx

_FORMAT: Final = "p1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class SealingError(PaasdError):
    """A key is missing or unsafe, or a sealed value does not open."""


class DataKey(Record, table="data_keys"):
    """A key that seals secrets, itself sealed by the root key `root_id`. The active one seals, all of them open."""

    guid: str = ""
    created_at: str = ""
    updated_at: str = ""
    root_id: str
    sealed: str
    active: bool


class AddDataKey(msgspec.Struct):
    guid: str
    root_id: str
    sealed: str


@operation("state.add_data_key", version=1)
def add_data_key(tx: Tx, arguments: AddDataKey) -> bool:
    """Add a data key and seal with it from now on; the others go on opening. False when this key is there already."""
    if tx.get(DataKey, arguments.guid) is not None:
        return False
    for key in tx.all(DataKey, active=True):
        tx.update(key, active=False)
    tx.insert(DataKey(guid=arguments.guid, root_id=arguments.root_id, sealed=arguments.sealed, active=True))
    return True


class ResealDataKeys(msgspec.Struct):
    root_id: str
    sealed: dict[str, str]


@operation("state.reseal_data_keys", version=1)
def reseal_data_keys(tx: Tx, arguments: ResealDataKeys) -> int:
    """Replace the sealed form of data keys after the root key was changed; how many there were."""
    for guid, sealed in arguments.sealed.items():
        tx.update(tx.need(DataKey, guid), root_id=arguments.root_id, sealed=sealed)
    return len(arguments.sealed)


class RootKey:
    """The root key of a node's data directory."""

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise SealingError(f"a root key has {_KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(b"paasd root key\0" + key)
        self.id = digest.finalize().hex()[:16]

    def seal_key(self, guid: str, key: bytes) -> str:
        return _seal(self._cipher, self.id, key, f"data-key/{guid}")

    def open_key(self, row: DataKey) -> bytes:
        """Raises SealingError when the row was sealed by another root key."""
        if row.root_id != self.id:
            raise SealingError(
                f"data key {row.guid} is sealed by root key {row.root_id}, this node has {self.id}; "
                "restore the root-key file that belongs to this database"
            )
        return _open(self._cipher, _split(row.sealed)[1], f"data-key/{row.guid}")


def load_root_key(path: Path) -> RootKey:
    """Read the root key, making it at first use. Raises SealingError when others can read it or it is no key."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return _make_root_key(path)
    except OSError as error:
        raise SealingError(f"cannot read {path}: {error.strerror}") from error
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise SealingError(f"{path} can be read by others; chmod 600 and chown it, then rotate the keys")
        text = file.read(4096)
    try:
        return RootKey(base64.b64decode(text.strip(), validate=True))
    except (binascii.Error, SealingError) as error:
        raise SealingError(f"{path} holds no root key; restore it from a backup, without it no secret opens") from error


def _make_root_key(path: Path) -> RootKey:
    key = AESGCM.generate_key(_KEY_BYTES * 8)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(base64.b64encode(key) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return RootKey(key)


class Sealer:
    """Seals and opens secrets. `rows` gives the data keys as they are now; it is asked again for an unknown key."""

    def __init__(self, root: RootKey, rows: Callable[[], list[DataKey]]) -> None:
        self._root = root
        self._rows = rows
        self._ciphers: dict[str, AESGCM] = {}

    def seal(self, secret: bytes, context: str) -> str:
        """Text that opens with the same context only. Raises SealingError without an active data key."""
        for row in self._rows():
            if row.active:
                return _seal(self._cipher(row.guid), row.guid, secret, context)
        raise SealingError("there is no active data key")

    def open(self, sealed: str, context: str) -> bytes:
        """Raises SealingError when it was sealed for another context, changed, or its key is missing."""
        guid, box = _split(sealed)
        return _open(self._cipher(guid), box, context)

    def _cipher(self, guid: str) -> AESGCM:
        if guid not in self._ciphers:
            for row in self._rows():
                if row.guid == guid:
                    self._ciphers[guid] = AESGCM(self._root.open_key(row))
                    break
            else:
                raise SealingError(f"data key {guid} is not in the database")
        return self._ciphers[guid]


class Keyless(Sealer):
    """In place of the sealer on a node without the root key: a worker."""

    def __init__(self) -> None:
        """There is nothing to hold."""

    def seal(self, secret: bytes, context: str) -> str:
        """Raises Unavailable."""
        raise Unavailable("this node is a worker and has no keys; ask a control node")

    def open(self, sealed: str, context: str) -> bytes:
        """Raises Unavailable."""
        raise Unavailable("this node is a worker and has no keys; ask a control node")


async def open_sealer(database: Database, root: RootKey) -> Sealer:
    """The sealer of a database, making its first data key. Raises SealingError for another database's root key."""

    def rows() -> list[DataKey]:
        with database.read() as tx:
            return tx.all(DataKey, order=("-active", "guid"))

    known = rows()
    for row in known:
        root.open_key(row)
    if not known:
        await rotate_data_key(database, root)
    return Sealer(root, rows)


async def rotate_data_key(database: Database, root: RootKey) -> str:
    """Seal with a fresh data key from now on; what was sealed before still opens. The guid of the key."""
    guid = os.urandom(8).hex()
    sealed = root.seal_key(guid, AESGCM.generate_key(_KEY_BYTES * 8))
    await database.write(add_data_key, AddDataKey(guid, root.id, sealed))
    return guid


async def change_root_key(database: Database, old: RootKey, new: RootKey) -> int:
    """Seal every data key by the new root key; no sealed secret changes. How many keys there were."""
    with database.read() as tx:
        rows = tx.all(DataKey)
    sealed = {row.guid: new.seal_key(row.guid, old.open_key(row)) for row in rows if row.root_id != new.id}
    return await database.write(reseal_data_keys, ResealDataKeys(new.id, sealed))


def _seal(cipher: AESGCM, key_id: str, secret: bytes, context: str) -> str:
    nonce = os.urandom(_NONCE_BYTES)
    box = nonce + cipher.encrypt(nonce, secret, context.encode())
    return f"{_FORMAT}.{key_id}.{base64.urlsafe_b64encode(box).decode()}"


def _split(sealed: str) -> tuple[str, bytes]:
    form, _, rest = sealed.partition(".")
    key_id, _, box = rest.partition(".")
    if form != _FORMAT or not key_id:
        raise SealingError("a sealed value has a form that this paasd does not know; upgrade this node")
    try:
        return key_id, base64.urlsafe_b64decode(box)
    except binascii.Error as error:
        raise SealingError("a sealed value is damaged") from error


def _open(cipher: AESGCM, box: bytes, context: str) -> bytes:
    try:
        return cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], context.encode())
    except (InvalidTag, ValueError) as error:
        raise SealingError(
            f"a sealed value does not open as {context}: it was changed, or sealed for another use"
        ) from error
