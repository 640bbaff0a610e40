"""What an app was started with."""

from paasd.api.answers.basis import Answer, Described, Links, OfApp, Reference


class CommandShown(Answer):
    """The start command of a process type; null where it was the droplet's."""

    command: str | None


class SidecarSnapshotShown(Answer):
    """A sidecar as it was."""

    name: str
    command: str
    process_types: list[str]
    memory_in_mb: int | None


class RevisionShown(Described):
    """A revision; commands are hidden in lists. It can be gone back to as long as there is its droplet."""

    version: int
    droplet: Reference
    processes: dict[str, CommandShown]
    sidecars: list[SidecarSnapshotShown]
    description: str
    deployable: bool
    relationships: OfApp


class RevisionVariables(Answer):
    """The variables that users had set."""

    var: dict[str, str]
    links: Links
