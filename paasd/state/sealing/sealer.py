"""The sealer: secrets under data keys, data keys under the root key."""

import os
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paasd.errors import Unavailable
from paasd.state.engine import Database
from paasd.state.sealing.boxes import KEY_BYTES, SealingError, open_box, seal, split
from paasd.state.sealing.datakeys import AddDataKey, ChangeRootKey, DataKey, add_data_key_under, reseal_under
from paasd.state.sealing.rootkeys import Root


class Sealer:
    """Seals and opens secrets. `rows` gives the data keys as they are now; it is asked again for an unknown key."""

    def __init__(self, root: Root, rows: Callable[[], list[DataKey]]) -> None:
        self._root = root
        self._rows = rows
        self._ciphers: dict[str, AESGCM] = {}

    def seal(self, secret: bytes, context: str) -> str:
        """Text that opens with the same context only. Raises SealingError without an active data key."""
        for row in self._rows():
            if row.active:
                return seal(self._cipher(row.guid), row.guid, secret, context)
        raise SealingError("there is no active data key")

    def open(self, sealed: str, context: str) -> bytes:
        """Raises SealingError when it was sealed for another context, changed, or its key is missing."""
        guid, box = split(sealed)
        return open_box(self._cipher(guid), box, context)

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


async def open_sealer(database: Database, root: Root) -> Sealer:
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


async def rotate_data_key(database: Database, root: Root) -> str:
    """Seal with a fresh data key from now on; what was sealed before still opens. The guid of the key."""
    guid = os.urandom(8).hex()
    sealed = root.seal_key(guid, AESGCM.generate_key(KEY_BYTES * 8))
    await database.write(add_data_key_under, AddDataKey(guid, root.id, sealed))
    return guid


async def change_root_key(database: Database, old: Root, new: Root) -> int:
    """Seal every data key by the new root key; no sealed secret changes. How many keys there were. Raises Unavailable
    when somebody else changes keys at the same time.
    """
    with database.read() as tx:
        rows = tx.all(DataKey)
    sealed = {row.guid: new.seal_key(row.guid, old.open_key(row)) for row in rows}
    return await database.write(reseal_under, ChangeRootKey(old.id, new.id, sealed))


def root_id_of(database: Database) -> str | None:
    """Which root key the data keys are sealed by; None before there are any."""
    with database.read() as tx:
        rows = tx.all(DataKey, limit=1)
    return rows[0].root_id if rows else None
