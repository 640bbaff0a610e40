"""Revisions: what an app was started with, kept whenever that was something else than the time before."""

from typing import Final

import msgspec

from paasd.model.arguments import Actor, Arguments, Metadata
from paasd.model.auditing import difference
from paasd.model.events import record_app_event
from paasd.model.metadata import merge_metadata, remove_in
from paasd.model.records import App, Droplet, Process, Revision, Sidecar, SidecarSnapshot
from paasd.state import Portion, ReadTx, Tx, operation

VERSION_LIMIT: Final = 9999
SNAPSHOT_LIMIT_BYTES: Final = 64 * 1024
"""Commands and sidecars of a revision together. With more the app is started without one: a start is a small write."""


def revise(tx: Tx, app: App, actor: Actor) -> Revision | None:
    """The revision that the app is started with now: its newest one if that says the same, otherwise a new one.

    None where none can be kept: the app has no droplet, or too many commands, or a node runs a paasd without revisions.
    """
    if app.droplet_guid is None or not tx.has_table(Revision):
        return None
    commands, sidecars = _commands(tx, app), _sidecars(tx, app)
    if len(msgspec.json.encode((commands, sidecars))) > SNAPSHOT_LIMIT_BYTES:
        return None
    latest = newest_revision(tx, app.guid)
    revision = Revision(
        app_guid=app.guid,
        sequence=1 if latest is None else latest.sequence + 1,
        version=1 if latest is None else latest.version % VERSION_LIMIT + 1,
        droplet_guid=app.droplet_guid,
        environment=app.environment,
        commands=commands,
        sidecars=sidecars,
        description="Initial revision.",
    )
    if latest is not None:
        reasons = differences(latest, revision)
        if not reasons:
            return latest
        revision = msgspec.structs.replace(revision, description=" ".join(reasons))
        # Once in 9999 times: two of the same version would be one too many for whoever asks by it.
        remove_in(Portion(tx), tx.all(Revision, app_guid=app.guid, version=revision.version))
    revision = tx.insert(revision)
    record_app_event(tx, "audit.app.revision.create", actor, app, _named(revision))
    return revision


def _commands(tx: ReadTx, app: App) -> dict[str, str | None]:
    return {process.type: process.command for process in tx.all(Process, app_guid=app.guid, order=("type",))}


def _sidecars(tx: ReadTx, app: App) -> list[SidecarSnapshot]:
    return [
        SidecarSnapshot(name=one.name, command=one.command, process_types=one.process_types, memory_mb=one.memory_mb)
        for one in tx.all(Sidecar, app_guid=app.guid, order=("name",))
    ]


def differences(former: Revision, now: Revision) -> list[str]:
    """Why there is a new revision, in Cloud Foundry's sentences and their order.

    Variables are compared sealed: whoever seals those of an app takes the same text again for the same values.
    """
    found = _command_differences(former.commands, now.commands)
    if former.droplet_guid != now.droplet_guid:
        found.append("New droplet deployed.")
    if former.environment != now.environment:
        found.append("New environment variables deployed.")
    if former.sidecars != now.sidecars:
        found.append("Sidecars updated.")
    return sorted(found)


def _command_differences(former: dict[str, str | None], now: dict[str, str | None]) -> list[str]:
    found = [f"New process type '{name}' added." for name in now if name not in former]
    found += [f"Process type '{name}' removed." for name in former if name not in now]
    for name in former.keys() & now.keys():
        before, after = former[name], now[name]
        if before != after:
            verb = "added" if before is None else "removed" if after is None else "updated"
            found.append(f"Custom start command {verb} for '{name}' process.")
    return found


def newest_revision(tx: ReadTx, app_guid: str) -> Revision | None:
    """The one that the next start is compared with."""
    found = tx.all(Revision, app_guid=app_guid, order=("-sequence",), limit=1)
    return found[0] if found else None


def deployed_revision(tx: ReadTx, app: App) -> Revision | None:
    """What the instances of the app run, whatever was changed since; None where no revisions are kept."""
    return None if app.revision_guid is None else tx.get(Revision, app.revision_guid)


def droplet_to_run(tx: ReadTx, app: App) -> str | None:
    """The droplet of the last start, unless somebody deleted it since."""
    revision = deployed_revision(tx, app)
    if revision is not None and tx.get(Droplet, revision.droplet_guid) is not None:
        return revision.droplet_guid
    return app.droplet_guid


class UpdateRevision(Arguments):
    """Arguments of `update_revision`: only metadata can change."""

    revision_guid: str
    metadata: Metadata | None = None
    actor: Actor


@operation("revision.update", version=1)
def update_revision(tx: Tx, args: UpdateRevision) -> Revision:
    """Raises NotFound."""
    revision = tx.update(tx.need(Revision, args.revision_guid))
    relabelled = merge_metadata(tx, "revision", revision.guid, args.metadata)
    data = {**_named(revision), **difference(revision, revision, relabelled)}
    record_app_event(tx, "audit.app.revision.update", args.actor, tx.need(App, revision.app_guid), data)
    return revision


class RecordShown(Arguments):
    """Arguments of `record_shown`."""

    revision_guid: str
    actor: Actor


@operation("revision.record_shown", version=1)
def record_shown(tx: Tx, args: RecordShown) -> Revision:
    """The audit event of somebody who reads the variables. Raises NotFound."""
    revision = tx.need(Revision, args.revision_guid)
    event = "audit.app.revision.environment_variables.show"
    record_app_event(tx, event, args.actor, tx.need(App, revision.app_guid), _named(revision))
    return revision


def _named(revision: Revision) -> dict[str, str | int]:
    return {"revision_guid": revision.guid, "revision_version": revision.version}
