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


def difference(before: Record, after: Record, metadata: Metadata | None = None) -> dict[str, Any]:
    """`{"before": {...}, "after": {...}}` of the fields that differ, and what was asked of the metadata; {} if nothing.

    A field that is declared secret is named and not shown.
    """
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(after)
    changed = [name for name in new if old.get(name) != new[name] and name not in UNTOLD]
    secret = secret_columns(type(after))
    found: dict[str, Any] = {}
    if changed:
        found["before"] = {name: _shown(old.get(name), name in secret) for name in changed}
        found["after"] = {name: _shown(new[name], name in secret) for name in changed}
    if metadata is not None and (metadata.labels or metadata.annotations):
        found["metadata"] = _shown(msgspec.to_builtins(metadata), False)
    return found


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
