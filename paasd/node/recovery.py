"""`paasd backup`, `paasd restore`, `paasd recover`: what is done when nodes are lost, on a data directory at rest.

docs/recovery.md says when to do which.
"""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

import paasd
from paasd.config import Config, StateConfig, load_config
from paasd.errors import PaasdError
from paasd.membership import MemberFiles
from paasd.model.recovery import StartOver, start_over
from paasd.node.identity import node_guid, prepare_directory
from paasd.node.maintenance import daemon_pid
from paasd.pki import write_private
from paasd.state import LocalLog, open_database, take_snapshot
from paasd.state.backups import BackupHead, check_passphrase, read_kept_files, seal_backup, unpack_backup
from paasd.state.engine import stand_alone
from paasd.state.engine.opening import FILE_NAME
from paasd.state.engine.snapshots import FOLDER as SNAPSHOTS
from paasd.state.guard import exclusive_access
from paasd.state.sealing import load_root_key, open_sealer

PART: Final = "restore.part"
QUIET: Final = StateConfig(snapshot_interval_s=0)
_MAY_BE_THERE: Final = frozenset({PART, "blobs", "root-key", "certificates", "admin-password"})
"""In the directory of a restore: what an interrupted one left, and blobs that somebody saved."""


def configured(data: Path, config_path: Path | None) -> Config:
    """The configuration, whose data directory yields to `data` when no file is named."""
    config = load_config(config_path)
    return msgspec.structs.replace(config, data=str(data)) if config_path is None else config


def backup_stopped(directory: Path, passphrase: str) -> Iterator[bytes]:
    """The bytes of a backup of a node whose daemon does not run. Raises PaasdError, StateInUse when it does."""
    check_passphrase(passphrase)
    path = directory / FILE_NAME
    if not path.exists():
        raise PaasdError(f"there is no node in {directory}; name its directory with --data")
    files, folder = read_kept_files(directory), directory / SNAPSHOTS / f"backup-{uuid.uuid4().hex}"
    try:
        with exclusive_access(path):
            manifest = take_snapshot(path, folder, time.time())
        yield from seal_backup(folder / manifest.folder / FILE_NAME, manifest, files, passphrase, paasd.__version__)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def restore_node(config: Config, file: Path, passphrase: str, say: Callable[[str], None]) -> BackupHead:
    """Make a new data directory from a backup: the first node of a new cluster. Raises PaasdError.

    state.db comes last and whole, so that an interrupted restore is no node, and may be repeated.
    """
    directory = prepare_directory(Path(config.data))
    _check_new(directory)
    part = directory / PART
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    try:
        say("verifying the backup")
        head, files = unpack_backup(file, passphrase, part / FILE_NAME)
        _check_kept(directory, files)
        for name, content in files.items():
            target = part / name
            target.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(target, content)
        stand_alone(part / FILE_NAME)
        say("taking leave of the former nodes")
        trio.run(partial(_start_over, part, directory, head.manifest.position))
        for name in files:
            (directory / name).parent.mkdir(mode=0o700, exist_ok=True)
            (part / name).replace(directory / name)
        (part / FILE_NAME).replace(directory / FILE_NAME)
        _sync(directory)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return head


async def _start_over(part: Path, directory: Path, position: int) -> None:
    (directory / "node-guid").unlink(missing_ok=True)  # nobody's in the rows may it be
    guid = node_guid(directory)
    async with open_database(part, QUIET, log=LocalLog(), node=guid) as database:
        await open_sealer(database, load_root_key(part / "root-key"))  # that it is the key of these rows
        await database.write(start_over, StartOver(node_guid=guid, position=position))


def _check_new(directory: Path) -> None:
    there = {path.name for path in directory.iterdir()} - _MAY_BE_THERE
    if (directory / FILE_NAME).exists() or MemberFiles(directory).exists:
        raise PaasdError(f"{directory} belongs to a node already; restore into a new directory: --data DIR")
    # A guid alone is what an interrupted restore leaves; a former node would have a database.
    if there - {"node-guid"}:
        raise PaasdError(f"{directory} is not empty ({', '.join(sorted(there))}); restore into a new directory")
    if daemon_pid(directory) is not None:
        raise PaasdError(f"a daemon runs on {directory}; restore into a new directory")


def _check_kept(directory: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = directory / name
        if path.exists() and path.read_bytes() != content:
            raise PaasdError(f"{path} is there already, of another node; restore into a new directory")


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
