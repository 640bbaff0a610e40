"""What every resource has."""

from paasd.state import Record


class Resource(Record):
    """A row with a guid. Left empty, guid and times (RFC 3339, whole seconds) are filled in at insert."""

    guid: str = ""
    created_at: str = ""
    updated_at: str = ""
