"""Layers found again by key, so that an unchanged lock file installs nothing. Shared inside one organization only."""

from paasd.model.arguments import Arguments
from paasd.model.records import Layer
from paasd.state import ReadTx, Tx


class NewLayer(Arguments):
    """A layer to remember. `shared` layers (toolchains) belong to no organization."""

    key: str
    role: str
    sha256: str
    size_bytes: int
    shared: bool = False


def cache_key(key: str, organization_guid: str | None) -> str:
    """The primary key of a layer: nobody finds a layer of another organization."""
    return f"{organization_guid or ''}/{key}"


def find_layer(tx: ReadTx, key: str, organization_guid: str | None) -> Layer | None:
    """The layer registered under `key` for this organization; None for the organization means shared ones."""
    return tx.get(Layer, cache_key(key, organization_guid))


def register_layer(tx: Tx, layer: NewLayer, organization_guid: str) -> None:
    """Remember a layer; the first one under a key stays, so that droplets made at once agree."""
    owner = None if layer.shared else organization_guid
    key = cache_key(layer.key, owner)
    if tx.get(Layer, key) is None:
        tx.insert(
            Layer(
                cache_key=key,
                organization_guid=owner,
                role=layer.role,
                sha256=layer.sha256,
                size_bytes=layer.size_bytes,
            )
        )
