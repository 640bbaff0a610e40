"""Slots: small numbers, unique on the host, from which blocks of uids are derived.

All nodes of a host draw from one file under a lock, so that two of them never use one uid. A slot is
given back only when nothing of its container is left. The file lives in /run: after a reboot no slot is in use.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from paasd.errors import Unavailable

SLOT_COUNT = 4094
UID_FIRST = 1_879_048_192
UIDS_PER_SLOT = 65536


def uid_base(slot: int) -> int:
    """First uid and gid of the slot's block: above systemd-nspawn's range, below 2^31."""
    return UID_FIRST + slot * UIDS_PER_SLOT


class _Owner(msgspec.Struct):
    directory: str
    guid: str


class _Table(msgspec.Struct):
    next: int = 1
    taken: dict[int, _Owner] = {}


class Slots:
    """The slots of one data directory in the host's table. Calls block for under a millisecond (a file lock)."""

    def __init__(self, path: Path, directory: Path) -> None:
        self._path = path
        self._directory = str(directory)

    def take(self, guid: str) -> int:
        """The slot of this container; the same one when it already has one. Raises Unavailable when none is left."""
        with self._locked() as table:
            for slot, owner in table.taken.items():
                if owner == _Owner(self._directory, guid):
                    return slot
            slot = self._find(table)
            table.taken[slot] = _Owner(self._directory, guid)
            table.next = slot % SLOT_COUNT + 1
            return slot

    def give_back(self, guid: str) -> None:
        with self._locked() as table:
            for slot, owner in list(table.taken.items()):
                if owner == _Owner(self._directory, guid):
                    del table.taken[slot]

    def mine(self) -> dict[str, int]:
        """Slots of this data directory, by container."""
        with self._locked() as table:
            return {owner.guid: slot for slot, owner in table.taken.items() if owner.directory == self._directory}

    def _find(self, table: _Table) -> int:
        order = [(table.next - 1 + step) % SLOT_COUNT + 1 for step in range(SLOT_COUNT)]
        for slot in order:
            if slot not in table.taken:
                return slot
        # Data directories that were deleted without a word hold their slots for ever otherwise.
        for slot in order:
            if slot in table.taken and not Path(table.taken[slot].directory).exists():
                return slot
        raise Unavailable(
            f"all {SLOT_COUNT} container slots of this host are taken; stop an instance or use another host"
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[_Table]:
        """The table, written back when it was changed. A torn file cannot be: it is replaced by rename."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                before = self._path.read_bytes()
                table = msgspec.json.decode(before, type=_Table)
            except FileNotFoundError:
                before, table = b"", _Table()
            yield table
            after = msgspec.json.encode(table)
            if after != before:
                fresh = self._path.with_suffix(".new")
                fresh.write_bytes(after)
                fresh.rename(self._path)
        finally:
            os.close(lock)
