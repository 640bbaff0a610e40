"""multipart/form-data read as it arrives: small fields into memory, the file into a sink, nothing twice."""

from collections.abc import Awaitable, Callable
from typing import Any

import multipart

from paasd.api.call import Call
from paasd.errors import BadRequest, TooLarge, Unprocessable

Sink = Callable[[bytes], Awaitable[None]]


class Parts:
    """The small fields by name, and the name of the file that went into the sink, if one came."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.file_bytes = 0
        self.has_file = False


async def read_multipart(call: Call, *, file_field: str, sink: Sink, field_limit_bytes: int) -> Parts:
    """Feed the part `file_field` to `sink` and collect the others.

    Raises Unprocessable when the body is not multipart, BadRequest when it is broken or ends early, TooLarge when a
    field is above `field_limit_bytes`.
    """
    kind, options = multipart.parse_options_header(call.header("Content-Type"))
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise Unprocessable(
            f"The upload must be multipart/form-data with the file in the field '{file_field}', not '{kind or 'nothing'}'"
        )
    parts = Parts()
    writer = _Writer(parts, file_field, sink, field_limit_bytes)
    try:
        with multipart.PushMultipartParser(options["boundary"], max_segment_count=16) as parser:
            async for piece in call.body:
                for event in parser.parse(piece):
                    await writer.take(event)
    except multipart.MultipartError as error:
        raise BadRequest(f"The multipart body is broken or ends early: {error}") from error
    return parts


class _Writer:
    """Takes the parser's events: a segment's head, its pieces, None at its end."""

    def __init__(self, parts: Parts, file_field: str, sink: Sink, limit_bytes: int) -> None:
        self._parts = parts
        self._file_field = file_field
        self._sink = sink
        self._limit = limit_bytes
        self._name = ""
        self._text = bytearray()

    async def take(self, event: Any) -> None:
        parts = self._parts
        if isinstance(event, multipart.MultipartSegment):
            self._name = event.name
            self._text.clear()
            if self._name == self._file_field:
                if parts.has_file:
                    raise BadRequest(f"The field '{self._file_field}' stands twice in the multipart body")
                parts.has_file = True
                parts.filename = event.filename
        elif event is None:
            if self._name != self._file_field:
                parts.fields[self._name] = self._text.decode(errors="replace")
        elif self._name == self._file_field:
            parts.file_bytes += len(event)
            await self._sink(bytes(event))
        else:
            self._text += event
            if len(self._text) > self._limit:
                raise TooLarge(f"The field '{self._name[:80]}' is larger than the limit of {self._limit} bytes")
