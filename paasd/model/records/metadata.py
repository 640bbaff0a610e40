"""Labels and annotations of any resource; `key` is `name` or `prefix/name`."""

from paasd.state import Record


class Label(Record, table="labels", key=("resource_guid", "key")):
    """Selectable metadata."""

    resource_guid: str
    key: str
    resource_type: str
    value: str


class Annotation(Record, table="annotations", key=("resource_guid", "key")):
    """Metadata that is shown but not selected by."""

    resource_guid: str
    key: str
    resource_type: str
    value: str
