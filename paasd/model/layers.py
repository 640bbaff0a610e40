"""Layers found again by key, so that an unchanged lock file installs nothing. Shared inside one space only.

A key names what was asked for, not what was made: who builds decides what the layer holds, so only those may share one
who may put code into each other's apps anyway.
"""

from paasd.model.arguments import Arguments
from paasd.model.records import Layer, Space
from paasd.state import Condition, ReadTx, StartsWith, Tx


class NewLayer(Arguments):
    """A layer to remember. `shared` layers (toolchains) belong to no space."""

    key: str
    role: str
    sha256: str
    size_bytes: int
    shared: bool = False


def cache_key(key: str, space_guid: str | None) -> str:
    """The primary key of a layer: nobody finds a layer of another space."""
    return f"{space_guid or ''}/{key}"


def find_layer(tx: ReadTx, key: str, space_guid: str | None) -> Layer | None:
    """The layer registered under `key` for this space; None for the space means shared ones."""
    return tx.get(Layer, cache_key(key, space_guid))


def layers_of(space_guid: str) -> Condition:
    """Those that go with this space."""
    return StartsWith("cache_key", cache_key("", space_guid))


def register_layer(tx: Tx, layer: NewLayer, space: Space) -> None:
    """Remember a layer; the first one under a key stays, so that droplets made at once agree."""
    key = cache_key(layer.key, None if layer.shared else space.guid)
    if tx.get(Layer, key) is None:
        tx.insert(
            Layer(
                cache_key=key,
                organization_guid=None if layer.shared else space.organization_guid,
                role=layer.role,
                sha256=layer.sha256,
                size_bytes=layer.size_bytes,
            )
        )
