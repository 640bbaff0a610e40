"""From rows and gossip to places."""

from collections.abc import Callable, Collection

from paasd.copies.places import Place
from paasd.model import Node
from paasd.model.nodes import LIVE_STATES
from paasd.state import Database


def places_of(
    database: Database, node_guid: str, unreachable: Callable[[], Collection[str]]
) -> Callable[[], list[Place]]:
    """Gives all nodes that belong to the platform now. This one is always reachable from here."""

    def places() -> list[Place]:
        away = set(unreachable()) - {node_guid}
        with database.read() as tx:
            nodes = tx.all(Node, order=("guid",))
        return [
            Place(guid=node.guid, zone=node.zone, reachable=node.guid not in away, taking=node.state == "READY")
            for node in nodes
            if node.state in LIVE_STATES or node.guid == node_guid
        ]

    return places
