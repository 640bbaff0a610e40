"""What an update changed, for its audit event: before and after, without a secret."""

import re
from typing import Any, Final

import msgspec

from paasd.model.arguments import Metadata
from paasd.state import Record, secret_columns

HIDDEN: Final = "[PRIVATE DATA HIDDEN]"
"""Cloud Foundry's words."""
USER_INFO: Final = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s@]*@")
UNTOLD: Final = ("created_at", "updated_at")
TEXT_LIMIT: Final = 2000
"""Characters of one value; an event is no place for a long one."""


class Relabelled(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of the metadata of something, and what the keys that it names had before; None: there was none."""

    former: Metadata
    asked: Metadata


def difference(before: Record, after: Record, metadata: Relabelled | None = None) -> dict[str, Any]:
    """`{"before": {...}, "after": {...}}` of what differs, and what was asked of the metadata; {} if nothing.

    A field that is declared secret is named and not shown. Of labels and annotations those stand there that differ.
    """
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(after)
    changed = [name for name in new if old.get(name) != new[name] and name not in UNTOLD]
    secret = secret_columns(type(after))
    found: dict[str, Any] = {}
    if changed:
        found["before"] = {name: _shown(old.get(name), name in secret) for name in changed}
        found["after"] = {name: _shown(new[name], name in secret) for name in changed}
    for side, values in told(metadata).items():
        found[side] = {**found.get(side, {}), **values} if side in ("before", "after") else values
    return found


def told(change: Relabelled | None) -> dict[str, Any]:
    """What was asked of the metadata, and before and after of what differs."""
    if change is None or not (change.asked.labels or change.asked.annotations):
        return {}
    asked, former = msgspec.to_builtins(change.asked), msgspec.to_builtins(change.former)
    differing = {
        kind: sorted(key for key, value in asked[kind].items() if former[kind].get(key) != value) for kind in asked
    }
    sides = {
        side: {kind: {key: values[kind].get(key) for key in keys} for kind, keys in differing.items() if keys}
        for side, values in (("before", former), ("after", asked))
        if any(differing.values())
    }
    shown = {side: {"metadata": _shown(values, False)} for side, values in sides.items()}
    return {"metadata": _shown(asked, False), **shown}


def snapshot(record: Record) -> dict[str, Any]:
    """The fields of a record that say something, for the event of what was made or is gone."""
    secret = secret_columns(type(record))
    fields = msgspec.to_builtins(record)
    return {
        name: _shown(value, name in secret)
        for name, value in fields.items()
        if name not in (*UNTOLD, "guid") and value not in (None, "", [], {})
    }


def _shown(value: Any, secret: bool) -> Any:
    if secret:
        return HIDDEN if value else value
    match value:
        case str():
            text = without_password(value)
            return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "..."
        case list():
            return [_shown(one, secret) for one in value]
        case dict():
            return {name: _shown(one, secret) for name, one in value.items()}
    return value


def without_password(text: str) -> str:
    """The text with name and password of every URL in it (of a private buildpack, say) hidden."""
    return USER_INFO.sub(r"\1***:***@", text)
