"""Data keys: rows, each sealed by the root key. One seals, all of them open.

All of them are sealed by one and the same root key. A change of it and a new data key under the former one may meet, so
both say which root key they found; whoever comes second is refused and does it again.
"""

import msgspec

from paasd.errors import Unavailable
from paasd.state.operations import operation
from paasd.state.records import Record
from paasd.state.transactions import Tx


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


@operation("state.add_data_key", version=2)
def add_data_key_under(tx: Tx, arguments: AddDataKey) -> bool:
    """As version 1, but refused when the others are sealed by another root key by now. Raises Unavailable."""
    _check_root(tx, arguments.root_id)
    return add_data_key(tx, arguments)


class ChangeRootKey(msgspec.Struct):
    """`sealed` are all data keys by guid, sealed by the root key `after`."""

    before: str
    after: str
    sealed: dict[str, str]


@operation("state.change_root_key", version=1)
def reseal_under(tx: Tx, arguments: ChangeRootKey) -> int:
    """Make another root key the one that counts; how many data keys there are. Raises Unavailable, changing nothing,
    when another one counts by now or there is a data key that was not sealed anew.
    """
    _check_root(tx, arguments.before)
    rows = tx.all(DataKey)
    if {row.guid for row in rows} != arguments.sealed.keys():
        raise Unavailable("a data key was added meanwhile; try again")
    for row in rows:
        tx.update(row, root_id=arguments.after, sealed=arguments.sealed[row.guid])
    return len(rows)


def _check_root(tx: Tx, root_id: str) -> None:
    if any(row.root_id != root_id for row in tx.all(DataKey)):
        raise Unavailable("the root key was changed meanwhile; try again")
