"""A backup: one file with a snapshot of the state and the few files without which the state cannot be read.

    line 1    paasd backup 1
    line 2    BackupHead as JSON: what it is a backup of, in clear, and how the key is made from the passphrase
    the rest  boxes, each 4 bytes of length and AES-256-GCM: the first holds the files, the others state.db in order

The key is argon2id of the passphrase under a salt of this file alone, so a counter is nonce enough. Each box is bound
to the head, to its number and to whether it is the last: what was changed, moved, left out or cut off does not open.
"""

import hashlib
import os
from collections.abc import Generator, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final

import argon2.low_level
import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paasd.errors import PaasdError
from paasd.state.engine import Manifest

MAGIC: Final = b"paasd backup 1\n"
PASSPHRASE_CHARACTERS: Final = 12
KEPT_FILES: Final = ("root-key", "certificates/ca.key", "certificates/ca.pem", "admin-password")
"""Of the data directory, beside state.db. Without the first one no secret opens; the others spare people a change."""

_BOX_BYTES: Final = 1024 * 1024
_TAG_BYTES: Final = 16
_HEAD_BYTES: Final = 16 * 1024
_MEMORY_LIMIT_KIB: Final = 1024 * 1024
_PASSES_LIMIT: Final = 100


class BackupRefused(PaasdError):
    """The file is no backup, is damaged or cut off, or the passphrase is not that of this backup."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a guess at the passphrase costs."""

    memory_kib: int = 128 * 1024
    passes: int = 3
    lanes: int = 1


class BackupHead(msgspec.Struct, frozen=True, kw_only=True):
    """The second line."""

    manifest: Manifest
    paasd: str
    salt: bytes
    cost: Cost


def check_passphrase(passphrase: str) -> None:
    """Raises BackupRefused for one that is soon guessed."""
    if len(passphrase) < PASSPHRASE_CHARACTERS:
        raise BackupRefused(
            f"the passphrase has {len(passphrase)} characters and needs {PASSPHRASE_CHARACTERS}: it guards every secret"
        )


def read_kept_files(directory: Path) -> dict[str, bytes]:
    """What of the data directory belongs into a backup. Raises BackupRefused where there is no root key."""
    found = {name: (directory / name).read_bytes() for name in KEPT_FILES if (directory / name).is_file()}
    if "root-key" not in found:
        raise BackupRefused(f"{directory} holds no root key, as on a worker; make the backup on a control node")
    return found


def seal_backup(
    snapshot: Path, manifest: Manifest, files: dict[str, bytes], passphrase: str, version: str, cost: Cost | None = None
) -> Generator[bytes]:
    """The bytes of a backup of the state.db of a snapshot, in pieces. Blocking; the first piece takes a second."""
    check_passphrase(passphrase)
    head = BackupHead(manifest=manifest, paasd=version, salt=os.urandom(16), cost=cost or Cost())
    line = msgspec.json.encode(head) + b"\n"
    cipher = _cipher(passphrase, head)
    yield MAGIC + line
    number, content = 0, msgspec.msgpack.encode(files)
    with snapshot.open("rb") as file:
        while content:
            following = file.read(_BOX_BYTES)
            box = cipher.encrypt(_nonce(number, last=not following), content, line)
            yield len(box).to_bytes(4) + box
            number, content = number + 1, following


def read_head(path: Path) -> BackupHead:
    """What a backup says about itself, not verified. Raises BackupRefused."""
    with path.open("rb") as file:
        return _read_head(file, path)[0]


def unpack_backup(path: Path, passphrase: str, target: Path | None) -> tuple[BackupHead, dict[str, bytes]]:
    """Verify all of a backup; its state.db goes to `target` unless that is None. Blocking. Raises BackupRefused."""
    with path.open("rb") as file:
        head, line = _read_head(file, path)
        boxes = _boxes(file, path, _cipher(passphrase, head), line)
        files = _decode_files(next(boxes), path)
        digest, size = hashlib.sha256(), 0
        with (target or Path(os.devnull)).open("wb") as output:
            for content in boxes:
                digest.update(content)
                size += len(content)
                output.write(content)
            if target is not None:
                output.flush()
                os.fsync(output.fileno())
    if (size, digest.hexdigest()) != (head.manifest.size_bytes, head.manifest.sha256):
        raise BackupRefused(f"{path} holds another database than it says; use another backup")
    return head, files


def _boxes(file: BufferedReader, path: Path, cipher: AESGCM, line: bytes) -> Iterator[bytes]:
    """What is in the boxes, each verified before it is given away."""
    number, box = 0, _read_box(file, path)
    if box is None:
        raise BackupRefused(f"{path} was cut off behind its head; use another backup")
    while box is not None:
        following = _read_box(file, path)
        try:
            yield cipher.decrypt(_nonce(number, last=following is None), box, line)
        except InvalidTag as error:
            why = f"{path} is damaged, was changed or was cut off; use another backup"
            if number == 0:
                why = f"the passphrase is not that of {path}, or the file was changed"
            raise BackupRefused(why) from error
        number, box = number + 1, following


def _read_box(file: BufferedReader, path: Path) -> bytes | None:
    """The next one, None at the end."""
    length = file.read(4)
    if not length:
        return None
    size = int.from_bytes(length)
    if len(length) == 4 and _TAG_BYTES < size <= _BOX_BYTES + _TAG_BYTES:
        box = file.read(size)
        if len(box) == size:
            return box
    raise BackupRefused(f"{path} is damaged or was cut off; use another backup")


def _read_head(file: BufferedReader, path: Path) -> tuple[BackupHead, bytes]:
    if file.readline(len(MAGIC)) != MAGIC:
        raise BackupRefused(f"{path} is no backup of paasd, or one of a newer paasd")
    line = file.readline(_HEAD_BYTES)
    try:
        head = msgspec.json.decode(line, type=BackupHead)
    except msgspec.DecodeError as error:
        raise BackupRefused(f"{path} has a damaged head ({error}); use another backup") from error
    cost = head.cost
    if not (8 <= cost.memory_kib <= _MEMORY_LIMIT_KIB and 1 <= cost.passes <= _PASSES_LIMIT and 1 <= cost.lanes <= 16):
        raise BackupRefused(f"{path} wants more memory or time for its passphrase than any backup of paasd does")
    return head, line


def _decode_files(content: bytes, path: Path) -> dict[str, bytes]:
    try:
        files = msgspec.msgpack.decode(content, type=dict[str, bytes])
    except msgspec.DecodeError as error:
        raise BackupRefused(f"{path} has no files in its first box: {error}") from error
    if not {"root-key"} <= files.keys() <= set(KEPT_FILES):
        raise BackupRefused(f"{path} holds other files than this paasd knows: {', '.join(sorted(files))}; upgrade it")
    return files


def _cipher(passphrase: str, head: BackupHead) -> AESGCM:
    key = argon2.low_level.hash_secret_raw(
        passphrase.encode(),
        head.salt,
        time_cost=head.cost.passes,
        memory_cost=head.cost.memory_kib,
        parallelism=head.cost.lanes,
        hash_len=32,
        type=argon2.low_level.Type.ID,
    )
    return AESGCM(key)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])
