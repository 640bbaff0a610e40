"""Labels and annotations: checked, merged and read for many resources at once."""

import re
from collections.abc import Iterable
from itertools import takewhile

import msgspec

from paasd.errors import Unprocessable
from paasd.model.arguments import SYSTEM, Actor, Arguments, Metadata
from paasd.model.auditing.differences import Relabelled, told
from paasd.model.events import record_event
from paasd.model.records import Annotation, Label
from paasd.state import In, Portion, ReadTx, Record, Tx, operation

KEY_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
KEY_PREFIX = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)+")
NAME_LIMIT = 63
PREFIX_LIMIT = 253
LABEL_VALUE_LIMIT = 63
ANNOTATION_VALUE_LIMIT = 5000
LABEL_LIMIT = 50
ANNOTATION_LIMIT = 200
SIZE_LIMIT_BYTES = 64 * 1024
"""Keys and values of one resource together: they are read, shown and deleted with it."""
READ_CHUNK = 500


class Labelling(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of one resource as it is shown."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


def check_metadata(metadata: Metadata) -> None:
    """Raise Unprocessable for keys or values that Cloud Foundry refuses."""
    for key, value in metadata.labels.items():
        _check_key("label", key)
        if value and (len(value) > LABEL_VALUE_LIMIT or not KEY_NAME.fullmatch(value)):
            raise Unprocessable(
                f"Metadata label value error: '{value[:80]}' must be at most {LABEL_VALUE_LIMIT} characters, start and "
                "end with an alphanumeric one and contain only those, -, _ and ."
            )
    for key, value in metadata.annotations.items():
        _check_key("annotation", key)
        if value is not None and len(value) > ANNOTATION_VALUE_LIMIT:
            raise Unprocessable(
                f"Metadata annotation value error: '{value[:8]}...' is greater than {ANNOTATION_VALUE_LIMIT} characters"
            )


def _check_key(kind: str, key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > PREFIX_LIMIT or not KEY_PREFIX.fullmatch(prefix)):
        raise Unprocessable(f"Metadata {kind} key error: prefix '{prefix[:80]}' must be in valid dns format")
    if prefix.lower() == "cloudfoundry.org":
        raise Unprocessable(f"Metadata {kind} key error: prefix 'cloudfoundry.org' is reserved")
    if not name or len(name) > NAME_LIMIT or not KEY_NAME.fullmatch(name):
        raise Unprocessable(
            f"Metadata {kind} key error: '{key[:80]}' must be 1 to {NAME_LIMIT} characters, start and end with an "
            "alphanumeric one and contain only those, -, _ and ."
        )


def merge_metadata(tx: Tx, resource_type: str, resource_guid: str, metadata: Metadata | None) -> Relabelled | None:
    """Set the given keys, take away those that are None, leave the others; what that changes, for the audit event.

    Raises Unprocessable beyond the limits.
    """
    if metadata is None:
        return None
    check_metadata(metadata)
    former = Metadata(
        labels=_values(tx, Label, resource_guid, metadata.labels),
        annotations=_values(tx, Annotation, resource_guid, metadata.annotations),
    )
    before = _size(tx, resource_guid)
    _merge(tx, Label, resource_type, resource_guid, metadata.labels)
    _merge(tx, Annotation, resource_type, resource_guid, metadata.annotations)
    _check_size(before, _size(tx, resource_guid), metadata)
    return Relabelled(former=former, asked=metadata)


def _values(
    tx: ReadTx, record: type[Label] | type[Annotation], resource_guid: str, keys: Iterable[str]
) -> dict[str, str | None]:
    present = {key: tx.get(record, resource_guid, key) for key in keys}
    return {key: None if row is None else row.value for key, row in present.items()}


def _size(tx: ReadTx, resource_guid: str) -> tuple[int, int, int]:
    """Labels, annotations, and bytes of both."""
    labels, annotations = tx.all(Label, resource_guid=resource_guid), tx.all(Annotation, resource_guid=resource_guid)
    texts = [one.key + one.value for one in labels] + [one.key + one.value for one in annotations]
    return len(labels), len(annotations), sum(len(text.encode()) for text in texts)


def _check_size(before: tuple[int, int, int], after: tuple[int, int, int], metadata: Metadata) -> None:
    """What is beyond a limit, from before there was one, may stay and shrink."""
    added = [sum(value is not None for value in new.values()) for new in (metadata.labels, metadata.annotations)]
    texts = (
        f"Failed to add {added[0]} labels because it would exceed maximum of {LABEL_LIMIT}",
        f"Failed to add {added[1]} annotations because it would exceed maximum of {ANNOTATION_LIMIT}",
        f"Labels and annotations of one resource may have {SIZE_LIMIT_BYTES} bytes together, not {after[2]}",
    )
    limits = (LABEL_LIMIT, ANNOTATION_LIMIT, SIZE_LIMIT_BYTES)
    for was, now, limit, text in zip(before, after, limits, texts, strict=True):
        if now > max(was, limit):
            raise Unprocessable(text)


class MergeMetadata(Arguments):
    """Arguments of `merge_resource_metadata`."""

    resource_type: str
    resource_guid: str
    metadata: Metadata
    actor: Actor = SYSTEM


@operation("metadata.merge", version=1)
def merge_resource_metadata(tx: Tx, args: MergeMetadata) -> None:
    """Metadata of a resource that has no other update."""
    relabelled = merge_metadata(tx, args.resource_type, args.resource_guid, args.metadata)
    record_event(
        tx,
        f"audit.{args.resource_type}.update",
        args.actor,
        target_type=args.resource_type,
        target_guid=args.resource_guid,
        target_name=args.resource_guid,
        data={"metadata": msgspec.to_builtins(args.metadata), **told(relabelled)},
    )


def _merge(
    tx: Tx,
    record: type[Label] | type[Annotation],
    resource_type: str,
    resource_guid: str,
    changes: dict[str, str | None],
) -> None:
    for key, value in changes.items():
        present = tx.get(record, resource_guid, key)
        if value is None:
            if present is not None:
                tx.delete(present)
        elif present is None:
            tx.insert(record(resource_guid=resource_guid, key=key, resource_type=resource_type, value=value))
        elif present.value != value:
            tx.update(present, value=value)


def drop_metadata(tx: Tx, resource_guid: str) -> None:
    """Forget everything about a resource that goes away."""
    tx.delete_all(Label, resource_guid=resource_guid)
    tx.delete_all(Annotation, resource_guid=resource_guid)


def remove_in(portion: Portion, rows: Iterable[Record]) -> list[Record]:
    """Delete rows with all that is said about them, as far as there is room; those that are gone."""

    def gone(row: Record) -> bool:
        return drop_metadata_in(portion, getattr(row, "guid", "")) and portion.delete(row)

    return list(takewhile(gone, rows))


def drop_metadata_in(portion: Portion, resource_guid: str) -> bool:
    """As `drop_metadata`, as far as there is room; whether nothing is left."""
    return all(portion.clear(kind, resource_guid=resource_guid) for kind in (Label, Annotation))


def read_metadata(tx: ReadTx, guids: Iterable[str]) -> dict[str, Labelling]:
    """The metadata of each of `guids` (an empty one for those without)."""
    wanted = list(guids)
    labels: dict[str, dict[str, str]] = {guid: {} for guid in wanted}
    annotations: dict[str, dict[str, str]] = {guid: {} for guid in wanted}
    for start in range(0, len(wanted), READ_CHUNK):
        chunk = wanted[start : start + READ_CHUNK]
        for label in tx.all(Label, In("resource_guid", chunk)):
            labels[label.resource_guid][label.key] = label.value
        for annotation in tx.all(Annotation, In("resource_guid", chunk)):
            annotations[annotation.resource_guid][annotation.key] = annotation.value
    return {guid: Labelling(labels=labels[guid], annotations=annotations[guid]) for guid in wanted}
