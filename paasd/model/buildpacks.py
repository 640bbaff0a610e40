"""Buildpacks of the platform: those that come with it, and those that administrators upload, in one order."""

import re
from typing import Any, Final

from msgspec import UNSET, UnsetType

from paasd.errors import Unprocessable
from paasd.model.arguments import Actor, Arguments, Metadata
from paasd.model.auditing import difference
from paasd.model.events import record_event
from paasd.model.jobs import open_job
from paasd.model.metadata import drop_metadata, merge_metadata
from paasd.model.records import Buildpack, Job
from paasd.state import Duplicate, ReadTx, Tx, operation

NAME: Final = re.compile(r"[\w-]{1,250}", re.ASCII)
SAME_STACK: Final = {"cflinuxfs4": "debian12"}


class CreateBuildpack(Arguments):
    """Arguments of `create_buildpack`."""

    name: str
    stack: str = ""
    position: int = 1
    enabled: bool = True
    locked: bool = False
    metadata: Metadata | None = None
    actor: Actor


@operation("buildpack.create", version=1)
def create_buildpack(tx: Tx, args: CreateBuildpack) -> Buildpack:
    """Its bits are still to come. Raises Unprocessable for a bad or taken name."""
    _check_name(args.name)
    made = Buildpack(
        name=args.name,
        stack=args.stack,
        position=tx.count(Buildpack) + 1,
        enabled=args.enabled,
        locked=args.locked,
    )
    try:
        buildpack = tx.insert(made)
    except Duplicate as error:
        raise Unprocessable(_taken(args.name, args.stack)) from error
    buildpack = _move(tx, buildpack, args.position)
    merge_metadata(tx, "buildpack", buildpack.guid, args.metadata)
    _event(tx, "create", args.actor, buildpack)
    return buildpack


class UpdateBuildpack(Arguments):
    """Arguments of `update_buildpack`; UNSET leaves a field as it is."""

    buildpack_guid: str
    name: str | UnsetType = UNSET
    stack: str | UnsetType = UNSET
    position: int | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    locked: bool | UnsetType = UNSET
    metadata: Metadata | None = None
    actor: Actor


@operation("buildpack.update", version=1)
def update_buildpack(tx: Tx, args: UpdateBuildpack) -> Buildpack:
    """Raises NotFound, Unprocessable."""
    former = buildpack = tx.need(Buildpack, args.buildpack_guid)
    changes: dict[str, Any] = {
        name: value
        for name in ("name", "stack", "enabled", "locked")
        if not isinstance(value := getattr(args, name), UnsetType)
    }
    if buildpack.builtin and not changes.keys().isdisjoint({"name", "stack"}):
        raise Unprocessable(f"{buildpack.name} comes with the platform: its name and stack cannot be changed.")
    if not isinstance(args.name, UnsetType):
        _check_name(args.name)
    try:
        buildpack = tx.update(buildpack, **changes)
    except Duplicate as error:
        taken = _taken(changes.get("name", buildpack.name), changes.get("stack", buildpack.stack))
        raise Unprocessable(taken) from error
    if not isinstance(args.position, UnsetType):
        buildpack = _move(tx, buildpack, args.position)
    relabelled = merge_metadata(tx, "buildpack", buildpack.guid, args.metadata)
    _event(tx, "update", args.actor, buildpack, difference(former, buildpack, relabelled))
    return buildpack


class FinishBuildpackUpload(Arguments):
    """Arguments of `finish_buildpack_upload`: the zip is a blob already."""

    buildpack_guid: str
    filename: str
    blob_sha256: str
    actor: Actor


@operation("buildpack.finish_upload", version=1)
def finish_buildpack_upload(tx: Tx, args: FinishBuildpackUpload) -> Job:
    """The next builds use these bits; the job is complete. Raises NotFound, Unprocessable."""
    former = buildpack = tx.need(Buildpack, args.buildpack_guid)
    check_uploadable(buildpack)
    buildpack = tx.update(buildpack, filename=args.filename, blob_sha256=args.blob_sha256)
    _event(tx, "upload", args.actor, buildpack, {"sha256": args.blob_sha256, **difference(former, buildpack)})
    return _done(tx, "upload", buildpack, args.actor)


class DeleteBuildpack(Arguments):
    """Arguments of `delete_buildpack`."""

    buildpack_guid: str
    actor: Actor


@operation("buildpack.delete", version=1)
def delete_buildpack(tx: Tx, args: DeleteBuildpack) -> Job:
    """Apps that name it are not staged any more; droplets go on. Raises NotFound, Unprocessable."""
    buildpack = tx.need(Buildpack, args.buildpack_guid)
    if buildpack.builtin:
        raise Unprocessable(f"{buildpack.name} comes with the platform; disable it instead.")
    tx.delete(buildpack)
    drop_metadata(tx, buildpack.guid)
    _number(tx, in_order(tx))
    _event(tx, "delete", args.actor, buildpack, {"sha256": buildpack.blob_sha256, "stack": buildpack.stack})
    return _done(tx, "delete", buildpack, args.actor)


def check_uploadable(buildpack: Buildpack) -> None:
    """Raise Unprocessable for one whose bits are not to be changed."""
    if buildpack.builtin:
        raise Unprocessable(f"{buildpack.name} comes with the platform and has no bits to replace.")
    if buildpack.locked:
        raise Unprocessable(f"The buildpack {buildpack.name} is locked; unlock it to upload others bits.")


def in_order(tx: ReadTx) -> list[Buildpack]:
    """All of them as they are asked."""
    return tx.all(Buildpack, order=("position", "created_at"))


def usable(tx: ReadTx, stack: str | None = None) -> list[Buildpack]:
    """Those that can be run now, on a stack if one is named, as they are asked."""
    wanted = None if stack is None else SAME_STACK.get(stack, stack)
    return [
        row
        for row in in_order(tx)
        if row.enabled
        and row.ready
        and (wanted is None or row.stack in ("", stack) or SAME_STACK.get(row.stack) == wanted)
    ]


def _move(tx: Tx, buildpack: Buildpack, position: int) -> Buildpack:
    if position < 1:
        raise Unprocessable("Position must be greater than or equal to 1")
    others = [row for row in in_order(tx) if row.guid != buildpack.guid]
    others.insert(position - 1, buildpack)
    _number(tx, others)
    return tx.need(Buildpack, buildpack.guid)


def _number(tx: Tx, rows: list[Buildpack]) -> None:
    for position, row in enumerate(rows, start=1):
        if row.position != position:
            tx.update(row, position=position)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Unprocessable("Name can only contain alphanumeric characters, '_' and '-', at most 250 of them")


def _taken(name: str, stack: str) -> str:
    where = f"stack '{stack}'" if stack else "an unassigned stack"
    return f"Buildpack with name '{name}' and {where} already exists"


def _done(tx: Tx, verb: str, buildpack: Buildpack, actor: Actor) -> Job:
    return open_job(
        tx, f"buildpack.{verb}", resource_type="buildpack", resource_guid=buildpack.guid, state="COMPLETE", by=actor
    )


def _event(tx: Tx, verb: str, actor: Actor, buildpack: Buildpack, more: dict[str, Any] | None = None) -> None:
    told = {"position": buildpack.position, "enabled": buildpack.enabled, "locked": buildpack.locked}
    record_event(
        tx,
        f"audit.buildpack.{verb}",
        actor,
        target_type="buildpack",
        target_guid=buildpack.guid,
        target_name=buildpack.name,
        data={**told, **(more or {})},
    )
