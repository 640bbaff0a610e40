"""Revisions as clients see them."""

from collections.abc import Sequence

from paasd.api.answers import Links, OfApp, Reference
from paasd.api.answers.revisions import CommandShown, RevisionShown, SidecarSnapshotShown
from paasd.api.listing import View, common, to_one
from paasd.api.present.apps import REDACTED
from paasd.model import Droplet, Revision
from paasd.state import In


def present_revisions(view: View, rows: Sequence[Revision], *, redact: bool = True) -> list[RevisionShown]:
    """Revisions; in lists commands are hidden as those of processes are."""

    def links(row: Revision) -> Links:
        return {
            "self": view.urls.link("revisions", row.guid),
            "app": view.urls.link("apps", row.app_guid),
            "environment_variables": view.urls.link("revisions", row.guid, "environment_variables"),
        }

    droplets = view.tx.all(Droplet, In("guid", {row.droplet_guid for row in rows}), state="STAGED")
    present = {droplet.guid for droplet in droplets}
    return [
        RevisionShown(
            **base,
            version=row.version,
            droplet=Reference(guid=row.droplet_guid),
            processes={
                name: CommandShown(command=REDACTED if redact and command is not None else command)
                for name, command in row.commands.items()
            },
            sidecars=[
                SidecarSnapshotShown(
                    name=one.name,
                    command=REDACTED if redact else one.command,
                    process_types=one.process_types,
                    memory_in_mb=one.memory_mb,
                )
                for one in row.sidecars
            ],
            description=row.description,
            deployable=row.droplet_guid in present,
            relationships=OfApp(app=to_one(row.app_guid)),
        )
        for base, row in zip(common(view, rows, links), rows, strict=True)
    ]
