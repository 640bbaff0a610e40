"""Layers found again by key, so that an unchanged lock file installs nothing. Shared inside one space only.

A key names what was asked for, not what was made: who builds decides what the layer holds, so only those may share one
who may put code into each other's apps anyway.
"""

from paasd.model.arguments import Arguments
from paasd.model.records import Layer, Node, Organization, Space
from paasd.state import ROWS, Condition, Portion, ReadTx, StartsWith, Tx, operation


class NewLayer(Arguments):
    """A layer to remember. `shared` layers (toolchains) belong to no space, and only control nodes share any."""

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


def layers_of(owner_guid: str) -> Condition:
    """Those that go with this space; of an organization, those of the time when its spaces shared them."""
    return StartsWith("cache_key", cache_key("", owner_guid))


def register_layer(tx: Tx, layer: NewLayer, space: Space, node_guid: str) -> None:
    """Remember a layer of that node; the first one under a key stays, so that droplets made at once agree.

    A shared layer is in the builds and apps of everybody, and no digest of the catalogue says what its image has to
    be. So what a worker says about one is passed over: whoever broke into it could name any bytes.
    """
    if layer.shared and not _is_control(tx, node_guid):
        return
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


class ExpireLayers(Arguments):
    """Arguments of `expire_layers`."""


@operation("layer.expire", version=1)
def expire_layers(tx: Tx, args: ExpireLayers) -> int:
    """Forget a portion of the layers that no build finds any more, so that their blobs go; how many went.

    Those are the ones that whole organizations shared once. Droplets that are made of one keep its blob.
    """
    owners = tx.all(Organization, order=("guid",))
    lost = (row for owner in owners for row in tx.all(Layer, layers_of(owner.guid), limit=ROWS))
    return len(Portion(tx).take(lost))


def _is_control(tx: ReadTx, node_guid: str) -> bool:
    node = tx.get(Node, node_guid)
    return node is not None and node.role == "control"
