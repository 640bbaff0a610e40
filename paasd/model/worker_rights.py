"""What a worker may write: reports about itself and about what rows have placed on it. Everything else is refused.

Each operation checks besides that the row it reports on is placed on that node, under that epoch.
"""

from typing import Any, Final

from paasd.state import ReadTx

OWNER_FIELD: Final = {
    ("node.register", 1): "guid",
    ("node.advertise", 1): "guid",
    ("node.return", 1): "guid",
    ("node.note_refusals", 1): "node_guid",
    ("build.finish", 1): "node_guid",
    ("build.fail", 1): "node_guid",
    ("build.prolong", 1): "node_guid",
    ("droplet.finish_upload", 1): "node_guid",
    ("droplet.fail_upload", 1): "node_guid",
    ("droplet.prolong_uploads", 1): "node_guid",
    ("instances.record_crash", 1): "node_guid",
    ("task.finish", 1): "node_guid",
    ("lease.renew", 1): "node_guid",
    ("lease.release", 1): "node_guid",
}
"""By name and version of the operation: the argument that names the node whose own affair it is."""


def owner_of_rows(tx: ReadTx, name: str, version: int, arguments: Any) -> str | None:
    """The node that may ask for this although it is a worker; None for nobody."""
    field = OWNER_FIELD.get((name, version))
    return None if field is None else getattr(arguments, field)
