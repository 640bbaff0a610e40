"""The root key: a file of the owner alone (0600), never in the database; and those that may become it.

DATA/root-key           the one that counts
DATA/root-keys/ID       others that this node was given: one of them counts as soon as the data keys say so
"""

import base64
import binascii
import os
import shutil
import stat
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paasd.pki import write_private
from paasd.state.sealing.boxes import KEY_BYTES, SealingError, open_box, seal, split
from paasd.state.sealing.datakeys import DataKey

FILE: Final = "root-key"
FOLDER: Final = "root-keys"


class Root(Protocol):
    """What seals and opens data keys."""

    @property
    def id(self) -> str: ...

    def seal_key(self, guid: str, key: bytes) -> str: ...

    def open_key(self, row: DataKey) -> bytes: ...


class RootKey:
    """The root key of a node's data directory."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise SealingError(f"a root key has {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(b"paasd root key\0" + key)
        self.id = digest.finalize().hex()[:16]

    def seal_key(self, guid: str, key: bytes) -> str:
        return seal(self._cipher, self.id, key, f"data-key/{guid}")

    def open_key(self, row: DataKey) -> bytes:
        """Raises SealingError when the row was sealed by another root key."""
        if row.root_id != self.id:
            raise SealingError(
                f"data key {row.guid} is sealed by root key {row.root_id}, this node has {self.id}; "
                "restore the root-key file that belongs to this database"
            )
        return open_box(self._cipher, split(row.sealed)[1], f"data-key/{row.guid}")


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
        return parse_root_key(text)
    except SealingError as error:
        raise SealingError(f"{path} holds no root key; restore it from a backup, without it no secret opens") from error


def parse_root_key(text: bytes) -> RootKey:
    """What a root key file says. Raises SealingError."""
    try:
        return RootKey(base64.b64decode(text.strip(), validate=True))
    except binascii.Error as error:
        raise SealingError("this is no root key") from error


def new_root_key() -> bytes:
    """The content of a root key file."""
    return base64.b64encode(AESGCM.generate_key(KEY_BYTES * 8)) + b"\n"


def _make_root_key(path: Path) -> RootKey:
    text = new_root_key()
    write_private(path, text)
    return parse_root_key(text)


class RootKeys:
    """All that a node has. The data keys' rows say which one counts."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._folder = directory / FOLDER
        self._current = load_root_key(self._path)
        self._texts = {self._current.id: self._path.read_bytes()}
        if self._folder.exists():
            for path in sorted(self._folder.iterdir()):
                if path.suffix != ".part":
                    self._texts[load_root_key(path).id] = path.read_bytes()

    @property
    def id(self) -> str:
        """Of the one that counts, as far as this node knows."""
        return self._current.id

    def seal_key(self, guid: str, key: bytes) -> str:
        return self._current.seal_key(guid, key)

    def open_key(self, row: DataKey) -> bytes:
        """Raises SealingError when it was sealed by a root key that this node was never given."""
        text = self._texts.get(row.root_id)
        return (self._current if text is None else parse_root_key(text)).open_key(row)

    def knows(self, root_id: str) -> bool:
        return root_id in self._texts

    def text(self, root_id: str) -> bytes:
        """The content of the file of a key that is known."""
        return self._texts[root_id]

    def take(self, text: bytes) -> RootKey:
        """Keep another one, on disk when this returns. Raises SealingError when it is none."""
        key = parse_root_key(text)
        if not self.knows(key.id):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_private(self._folder / key.id, text)
            self._texts[key.id] = text
        return key

    def settle(self, root_id: str) -> bool:
        """This one counts: it gets the file, and the others are forgotten. False when it is not known here."""
        if not self.knows(root_id):
            return False
        text = self._texts[root_id]
        if root_id != self._current.id:
            write_private(self._path, text)
            self._current = parse_root_key(text)
        self._texts = {root_id: text}
        shutil.rmtree(self._folder, ignore_errors=True)
        return True
