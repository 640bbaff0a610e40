"""Bytes that another node, or a file, says to be a message: msgpack into structs, with one error for all that is wrong.

`UNREADABLE` is what msgspec raises for bytes that are no message, or no JSON. Two of them are not its own errors: text
that is no UTF-8, and a nesting so deep that it has to stop. Whoever leaves them out of an `except` is ended by a
stranger's bytes.
"""

from typing import Final, TypeVar

import msgspec

from paasd.errors import BadRequest

T = TypeVar("T")
UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)


def unpack(body: bytes, kind: type[T]) -> T:
    """Raises BadRequest for anything else than a message of this kind."""
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except UNREADABLE as error:
        name = getattr(kind, "__name__", str(kind))
        raise BadRequest(f"this is no {name}: {error}; is the other node of another release?") from error
