"""Snapshots: a whole copy of the database at a known entry, with a manifest that says which and proves it intact.

    <directory>/snapshots/<position>/state.db, manifest.json

The state.db of a snapshot is an ordinary one: put in place of a damaged state.db it goes on from its entry.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec
import trio

from paasd.errors import PaasdError
from paasd.state.engine.connection import StateDamaged, explained, open_reader
from paasd.state.engine.standing import LogKind, use_as_own
from paasd.state.log import Runner

FOLDER: Final = "snapshots"
_FILE: Final = "state.db"
_MANIFEST: Final = "manifest.json"
_META: Final = "SELECT position, hash, schema, log_identity FROM state_meta"
_NEW_IDENTITY: Final = "UPDATE state_meta SET log_identity = ?"
_FORGET_LOG: Final = "DELETE FROM state_entries"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is: everything up to entry `position` of the log `log_identity`. `taken_at_s` is unix time."""

    version: int = 1
    position: int
    hash: str
    schema: int
    log_identity: str
    sha256: str
    size_bytes: int
    taken_at_s: float

    @property
    def folder(self) -> str:
        """Name of the folder of a snapshot among those of its node."""
        return f"{self.position:016d}"


def take_snapshot(path: Path, folder: Path, now_s: float) -> Manifest:
    """Copy the open database at `path` into `folder`/<position>; the same position again is taken once.

    Blocking, beside the writer. Raises DiskFull with nothing left behind, StateDamaged when the copy is not intact.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = folder / f"part-{uuid.uuid4().hex}"
    part.mkdir(mode=0o700)
    try:
        with explained(path):
            _copy(path, part / _FILE)
        manifest = _describe(part / _FILE, now_s)
        (part / _MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        _sync(part / _MANIFEST, part / _FILE, part)
        final = folder / manifest.folder
        if final.exists() and read_manifest(final).log_identity != manifest.log_identity:
            shutil.rmtree(final)  # of the log that this one went on from
        if not final.exists():
            part.rename(final)
            _sync(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def list_snapshots(folder: Path) -> list[Path]:
    """The complete snapshots, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path.parent for path in folder.glob(f"*/{_MANIFEST}") if path.parent.name.isdigit())


def read_manifest(snapshot: Path) -> Manifest:
    """Raises StateDamaged when there is none that can be read."""
    try:
        return msgspec.json.decode((snapshot / _MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise StateDamaged(f"{snapshot} has no readable manifest ({error}); use another snapshot") from error


def restore_snapshot(snapshot: Path, directory: Path, *, new_log: bool = True) -> Manifest:
    """Put a snapshot in place as the state.db of a node that does not run; there must not be one yet.

    With `new_log` it starts a log of its own, so that it can never be taken for the database it was copied from.
    Blocking. Raises StateDamaged when the snapshot is not what its manifest says, FileExistsError.
    """
    manifest = read_manifest(snapshot)
    target = directory / _FILE
    if target.exists():
        raise FileExistsError(f"{target} exists; move it and its -wal and -shm away first")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = directory / f"{_FILE}.part"
    shutil.copyfile(snapshot / _FILE, part)
    if _sha256(part) != manifest.sha256:
        part.unlink()
        raise StateDamaged(f"{snapshot / _FILE} is not what its manifest says; use another snapshot")
    if new_log:
        connection = apsw.Connection(str(part))
        connection.execute("PRAGMA journal_mode=DELETE").fetchall()
        with connection:
            connection.execute(_NEW_IDENTITY, (str(uuid.uuid4()),))
            connection.execute(_FORGET_LOG)
        connection.close()
    _sync(part)
    part.rename(target)
    _sync(directory)
    return manifest


def adopt_snapshot(file: Path, manifest: Manifest, kind: LogKind) -> None:
    """Make the state.db of another node's snapshot one of this node, that uses a log of this kind.

    Blocking; its bytes were verified. Raises StateDamaged when it is not the database that the manifest describes.
    """
    with explained(file):
        connection = apsw.Connection(str(file))
        try:
            problems = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
            found = connection.execute(_META).fetchall()
            if problems != ["ok"] or found != [
                (manifest.position, bytes.fromhex(manifest.hash), manifest.schema, manifest.log_identity)
            ]:
                raise StateDamaged("the snapshot is not the database that its manifest describes; take another one")
            use_as_own(connection, kind)
        except apsw.SQLError as error:
            raise StateDamaged(f"the snapshot is no database of paasd: {error}") from error
        finally:
            connection.close()
    _sync(file)


async def keep_snapshots(path: Path, interval_s: float, keep: int, clock: Callable[[], float], run: Runner) -> None:
    """Take a snapshot every `interval_s` and keep the `keep` newest, until cancelled."""
    folder = path.parent / FOLDER
    while True:
        await trio.sleep(await run(_due_in, folder, interval_s, clock()))
        try:
            await run(take_snapshot, path, folder, clock())
            await run(_drop_old, folder, keep)
        except (PaasdError, OSError, apsw.FullError, apsw.IOError):
            await trio.sleep(min(interval_s, 600.0))  # a full disk must not stop the node


def _due_in(folder: Path, interval_s: float, now_s: float) -> float:
    taken = [read_manifest(snapshot).taken_at_s for snapshot in list_snapshots(folder)[-1:]]
    return max(taken[0] + interval_s - now_s, 1.0) if taken else min(interval_s, 60.0)


def _drop_old(folder: Path, keep: int) -> None:
    for snapshot in list_snapshots(folder)[:-keep]:
        shutil.rmtree(snapshot)


def _copy(path: Path, target: Path) -> None:
    source, copy = open_reader(path), apsw.Connection(str(target))
    try:
        with copy.backup("main", source, "main") as backup:
            backup.step(-1)
        problems = [str(row[0]) for row in copy.execute("PRAGMA quick_check(1)")]
        if problems != ["ok"]:
            raise StateDamaged(f"a snapshot of {path} is not intact ({problems[0]}); check the disk")
        copy.execute("PRAGMA journal_mode=DELETE").fetchall()
    finally:
        copy.close()
        source.close()


def _describe(file: Path, now_s: float) -> Manifest:
    reader = open_reader(file)
    try:
        row: Any = reader.execute(_META).fetchall()[0]
        position, digest, schema, identity = row
    finally:
        reader.close()
    return Manifest(
        position=position,
        hash=digest.hex(),
        schema=schema,
        log_identity=identity,
        sha256=_sha256(file),
        size_bytes=file.stat().st_size,
        taken_at_s=now_s,
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _sync(*paths: Path) -> None:
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
