"""What an app was started with."""

import msgspec

from paasd.model.records.resource import Resource


class SidecarSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A sidecar as it was."""

    name: str
    command: str
    process_types: list[str] = []
    memory_mb: int | None = None


class Revision(Resource, table="revisions", secret=("environment", "commands", "sidecars")):
    """A droplet, variables, commands and sidecars that an app was started with together.

    `environment` is sealed as that of the app. `commands` has every process type; None is the droplet's own command.
    `sequence` counts without end, `version` is what people see. The droplet may be gone.
    """

    app_guid: str
    sequence: int
    version: int
    droplet_guid: str
    environment: str = ""
    commands: dict[str, str | None] = {}
    sidecars: list[SidecarSnapshot] = []
    description: str
