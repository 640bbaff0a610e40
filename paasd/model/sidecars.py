"""Sidecars: further programs beside the processes of an app."""

from typing import Final

import msgspec

from paasd.errors import Unprocessable
from paasd.model.arguments import SYSTEM, Actor, Arguments
from paasd.model.auditing import difference, snapshot
from paasd.model.events import record_app_event
from paasd.model.naming import check_name
from paasd.model.processes import check_command, check_memory, check_type
from paasd.model.records import App, Droplet, Process, Sidecar
from paasd.state import Duplicate, Tx, operation

SIDECARS_LIMIT: Final = 50
"""Of one app: each is checked against all others."""
TOO_MANY: Final = f"An app has at most {SIDECARS_LIMIT} sidecars"


class CreateSidecar(Arguments):
    """Arguments of `create_sidecar`."""

    app_guid: str
    name: str
    command: str
    process_types: list[str]
    memory_mb: int | None = None
    actor: Actor = SYSTEM


@operation("sidecar.create", version=1)
def create_sidecar(tx: Tx, args: CreateSidecar) -> Sidecar:
    """Raises NotFound for the app, Unprocessable for a taken name or more memory than a process has."""
    app = tx.need(App, args.app_guid)
    _check_names(args.name, *args.process_types)
    if tx.count(Sidecar, app_guid=app.guid) >= SIDECARS_LIMIT:
        raise Unprocessable(TOO_MANY)
    check_sidecar(tx, app, args.name, args.command, args.process_types, args.memory_mb)
    for process_type in args.process_types:
        check_type(process_type)
    try:
        sidecar = tx.insert(
            Sidecar(
                app_guid=app.guid,
                name=args.name,
                command=args.command,
                process_types=args.process_types,
                memory_mb=args.memory_mb,
            )
        )
    except Duplicate as error:
        raise Unprocessable(f"Sidecar with name '{args.name}' already exists for given app") from error
    record_app_event(tx, "audit.app.sidecar.create", args.actor, app, {"sidecar": snapshot(sidecar)})
    return sidecar


def _check_names(*names: str) -> None:
    """Raise Unprocessable for what is no name of a sidecar or process; those from before there was a rule stay."""
    for name in names:
        if name:
            check_name(name)


def check_sidecar(tx: Tx, app: App, name: str, command: str, process_types: list[str], memory_mb: int | None) -> None:
    """Raise Unprocessable for a sidecar that cannot run beside the app's processes."""
    check_command(command)
    if not name:
        raise Unprocessable("Name can't be blank")
    if not process_types:
        raise Unprocessable("Process types must have at least 1 process_type")
    if memory_mb is None:
        return
    check_memory(memory_mb)
    for process in tx.all(Process, app_guid=app.guid):
        if process.type not in process_types:
            continue
        others = tx.all(Sidecar, app_guid=app.guid)
        reserved = sum(o.memory_mb or 0 for o in others if process.type in o.process_types and o.name != name)
        if reserved + memory_mb >= process.memory_mb:
            raise Unprocessable(
                f'The memory allocation defined is too large to run with the dependent "{process.type}" process'
            )


class UpdateSidecar(Arguments):
    """Arguments of `update_sidecar`; UNSET leaves a field as it is."""

    sidecar_guid: str
    name: str | msgspec.UnsetType = msgspec.UNSET
    command: str | msgspec.UnsetType = msgspec.UNSET
    process_types: list[str] | msgspec.UnsetType = msgspec.UNSET
    memory_mb: int | msgspec.UnsetType | None = msgspec.UNSET
    actor: Actor = SYSTEM


@operation("sidecar.update", version=1)
def update_sidecar(tx: Tx, args: UpdateSidecar) -> Sidecar:
    """Raises NotFound, Unprocessable."""
    sidecar = tx.need(Sidecar, args.sidecar_guid)
    values = ((name, getattr(args, name)) for name in ("name", "command", "process_types", "memory_mb"))
    changed = msgspec.structs.replace(sidecar, **{name: v for name, v in values if v is not msgspec.UNSET})
    app = tx.need(App, sidecar.app_guid)
    _check_names(*({changed.name, *changed.process_types} - {sidecar.name, *sidecar.process_types}))
    check_sidecar(tx, app, changed.name, changed.command, changed.process_types, changed.memory_mb)
    for process_type in args.process_types or ():
        check_type(process_type)
    try:
        changed = tx.update(
            sidecar,
            name=changed.name,
            command=changed.command,
            process_types=changed.process_types,
            memory_mb=changed.memory_mb,
        )
    except Duplicate as error:
        raise Unprocessable(f"Sidecar with name '{changed.name}' already exists for given app") from error
    data = {"sidecar_guid": sidecar.guid, "sidecar_name": changed.name, **difference(sidecar, changed)}
    record_app_event(tx, "audit.app.sidecar.update", args.actor, app, data)
    return changed


class DeleteSidecar(Arguments):
    """Arguments of `delete_sidecar`."""

    sidecar_guid: str
    actor: Actor = SYSTEM


@operation("sidecar.delete", version=1)
def delete_sidecar(tx: Tx, args: DeleteSidecar) -> None:
    """Raises NotFound."""
    sidecar = tx.need(Sidecar, args.sidecar_guid)
    tx.delete(sidecar)
    app = tx.need(App, sidecar.app_guid)
    record_app_event(tx, "audit.app.sidecar.delete", args.actor, app, {"sidecar": snapshot(sidecar)})


def take_droplet_sidecars(tx: Tx, app: App, droplet: Droplet) -> None:
    """Replace the sidecars that came from an earlier droplet by those of this one; the user's own win by name.

    Raises Unprocessable for too many, unless it had as many in former times.
    """
    present = tx.count(Sidecar, app_guid=app.guid)
    tx.delete_all(Sidecar, app_guid=app.guid, origin="buildpack")
    own = {sidecar.name for sidecar in tx.all(Sidecar, app_guid=app.guid)}
    together = len(own | {asked.name for asked in droplet.sidecars})
    if together > max(SIDECARS_LIMIT, present):
        raise Unprocessable(f"{TOO_MANY}; this droplet would make {together}")
    for asked in droplet.sidecars:
        if asked.name not in own:
            tx.insert(
                Sidecar(
                    app_guid=app.guid,
                    name=asked.name,
                    command=asked.command,
                    process_types=asked.process_types,
                    memory_mb=asked.memory_mb,
                    origin="buildpack",
                )
            )
