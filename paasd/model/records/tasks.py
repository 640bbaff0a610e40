"""Tasks: programs of an app that run once."""

from typing import Final

from paasd.model.records.resource import Resource

ENDED: Final = ("SUCCEEDED", "FAILED")


class Task(Resource, table="tasks", secret=("command",)):
    """PENDING until a node has it, RUNNING there, CANCELING, then SUCCEEDED or FAILED with a reason.

    It is given to one node, once, and never to another: what was lost half-way is not begun again. Reports carry the
    (node_guid, epoch) of the row. `sequence_id` counts up within the app.
    """

    app_guid: str
    sequence_id: int
    name: str
    command: str
    state: str = "PENDING"
    failure_reason: str | None = None
    droplet_guid: str
    memory_mb: int
    disk_mb: int
    log_rate_limit_bytes: int = -1
    node_guid: str | None = None
    epoch: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing of it is to come."""
        return self.state in ENDED
