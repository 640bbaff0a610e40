"""What instances may reach."""

from typing import Any, Literal

from paasd.model.records.resource import Resource
from paasd.state import Record

Phase = Literal["running", "staging"]


class SecurityGroup(Resource, table="security_groups", label="Security group"):
    """Allowed destinations outside the platform; `rules` as clients sent them, checked by `model/security_rules.py`.

    With `running_default` it counts for instances of every space, with `staging_default` for builds of every space.
    """

    name: str
    rules: list[dict[str, Any]] = []
    running_default: bool = False
    staging_default: bool = False


class SecurityGroupSpace(
    Record, table="security_group_spaces", key=("security_group_guid", "space_guid", "phase"), label="Binding"
):
    """A group that counts for one space, for its instances (running) or its builds (staging)."""

    security_group_guid: str
    space_guid: str
    phase: str


class NetworkPolicy(
    Record,
    table="network_policies",
    key=("source_guid", "destination_guid", "protocol", "start_port", "end_port"),
    label="Policy",
):
    """Instances of one app may connect to these ports of another's, both ends included."""

    source_guid: str
    destination_guid: str
    protocol: str
    start_port: int
    end_port: int
    created_at: str = ""
