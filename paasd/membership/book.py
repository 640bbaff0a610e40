"""Who the members are and where: from the rows, and before there are any from what this node remembers."""

from paasd.membership.files import MemberFiles, Place
from paasd.model import Node
from paasd.model.membership import members
from paasd.state import Database


class Book:
    """Open from the first moment on; `attach` gives it the rows."""

    def __init__(self, files: MemberFiles, guid: str) -> None:
        self.guid = guid
        self._files = files
        self._remembered = files.read().places if files.exists else []
        self._database: Database | None = None

    def attach(self, database: Database) -> None:
        """From now on rows count."""
        self._database = database

    def nodes(self) -> list[Node]:
        """The rows of all members, this one among them; none before `attach`."""
        if self._database is None:
            return []
        with self._database.read() as tx:
            return members(tx)

    def places(self) -> list[Place]:
        """Everyone with an address, also this node once it has one."""
        return places_of(self.nodes()) or self._remembered

    def others(self, *, role: str | None = None) -> list[Place]:
        """Everyone but this node, of one role if asked."""
        return [place for place in self.places() if place.guid != self.guid and role in (None, place.role)]

    def voters(self) -> list[Place]:
        """Those that have the log."""
        return [place for place in self.places() if place.voting in ("VOTER", "LEAVING")]

    def address_of(self, guid: str) -> tuple[str, int] | None:
        """Where a member listens for others; None for one that is not known."""
        for place in self.places():
            if place.guid == guid:
                return place.address, place.peer_port
        return None

    def allowed(self, guid: str) -> bool:
        """Whether a certificate of this node still counts; one without a row here has just joined elsewhere."""
        if self._database is None:
            return True
        with self._database.read() as tx:
            node = tx.get(Node, guid)
        return node is None or node.state != "REMOVED"


def places_of(nodes: list[Node]) -> list[Place]:
    """Where members are, of those that said so."""
    return [
        Place(
            guid=node.guid,
            role="worker" if node.role == "worker" else "control",
            zone=node.zone,
            address=node.address,
            peer_port=node.peer_port,
            voting=node.voting,
        )
        for node in nodes
        if node.address
    ]
