"""How much of the blobs' disk each organization took in the last day: deleting gives the quota back at once, the disk
only when the blob is collected. In memory, for this node's disk; a new daemon begins anew.
"""

from typing import Final

from paasd.rate import Buckets

DAY_S: Final = 86_400
REMEMBERED: Final = 10_000


class Uploaded:
    """A bucket for each organization, filled once a day; the unit is what one may upload in a day."""

    def __init__(self) -> None:
        self._buckets = Buckets(1 / DAY_S, 1.0, REMEMBERED)

    def take(self, organization_guid: str, size_bytes: int, per_day_bytes: float, now: float) -> bool:
        """Whether so much more may come now, unix seconds."""
        return self._buckets.take(organization_guid, now, size_bytes / per_day_bytes)
