"""Rows that only earlier releases have written."""

from paasd.model import Layer, layers
from paasd.model.arguments import Arguments
from paasd.state import Tx, operation


class PlantedLayers(Arguments):
    """Arguments of `plant_layers`."""

    owner_guid: str
    organization_guid: str
    count: int = 1
    sha256: str = ""


@operation("test.plant_layers", version=1)
def plant_layers(tx: Tx, args: PlantedLayers) -> None:
    for number in range(args.count):
        key = layers.cache_key(f"dependencies/{number}", args.owner_guid)
        tx.insert(
            Layer(
                cache_key=key,
                organization_guid=args.organization_guid or None,
                role="dependencies",
                sha256=args.sha256 or f"{number:064}",
                size_bytes=1,
            )
        )
