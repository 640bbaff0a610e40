"""An event is kept for a year on every control node, so nobody may make it long: whole up to a limit, above it cut."""

from itertools import islice
from typing import Any, Final

import msgspec

DATA_LIMIT_BYTES: Final = 4096
"""Most JSON of one event's data."""
_CUTS: Final = ((500, 40), (120, 20), (60, 8), (40, 3))
"""Characters of a text and entries of a collection, tried in turn."""


def bounded(data: dict[str, Any]) -> dict[str, Any]:
    """`data`; if it is long, with the size that it had, long texts cut and the rest of long collections counted."""
    size_bytes = _size(data)
    if size_bytes <= DATA_LIMIT_BYTES:
        return data
    told: dict[str, Any] = {"shortened_from_bytes": size_bytes}
    data = msgspec.to_builtins(data)
    for texts, entries in _CUTS:
        found: dict[str, Any] = told | _cut(data, texts, entries)
        if _size(found) <= DATA_LIMIT_BYTES:
            return found
    return told | {"names": [_text(name, 40) for name in islice(data, 20)]}


def _size(data: dict[str, Any]) -> int:
    return len(msgspec.json.encode(data))


def _cut(value: Any, texts: int, entries: int) -> Any:
    rest = len(value) - entries if isinstance(value, list | tuple | dict) else 0
    match value:
        case str():
            return _text(value, texts)
        case list() | tuple():
            kept = [_cut(one, texts, entries) for one in value[:entries]]
            return [*kept, f"... and {rest} more"] if rest > 0 else kept
        case dict():
            some = {_text(name, texts): _cut(one, texts, entries) for name, one in islice(value.items(), entries)}
            return some | {"...": f"{rest} more"} if rest > 0 else some
    return value


def _text(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "..."
