"""multipart/form-data read as it arrives: small fields into memory, the file handed on piece by piece."""

from collections.abc import AsyncGenerator

import multipart

from paasd.api.call import Call
from paasd.errors import BadRequest, TooLarge, Unprocessable

PARTS_LIMIT = 16


class Multipart:
    """One body: iterate over `file()` to its end, then `fields` has the other parts."""

    def __init__(self, call: Call, *, file_field: str, field_limit_bytes: int) -> None:
        """Raises Unprocessable when the body is not multipart."""
        kind, options = multipart.parse_options_header(call.header("Content-Type"))
        if kind != "multipart/form-data" or not options.get("boundary"):
            raise Unprocessable(
                f"The upload must be multipart/form-data with the file in the field '{file_field}',"
                f" not '{kind or 'nothing'}'"
            )
        self.fields: dict[str, str] = {}
        self.has_file = False
        self._body = call.body
        self._file_field = file_field
        self._limit = field_limit_bytes
        self._boundary = str(options["boundary"])

    async def file(self) -> AsyncGenerator[bytes, None]:
        """The pieces of the file. Raises BadRequest for a broken or short body, TooLarge for too large a field."""
        name, text = "", bytearray()
        try:
            parser = multipart.PushMultipartParser(self._boundary, max_segment_count=PARTS_LIMIT)
            async for piece in self._body:
                for event in parser.parse(piece):
                    if isinstance(event, multipart.MultipartSegment):
                        name = self._begin(event.name)
                        text.clear()
                    elif event is None:
                        if name != self._file_field:
                            self.fields[name] = text.decode(errors="replace")
                    elif name == self._file_field:
                        yield bytes(event)
                    else:
                        text += event
                        self._check_field(name, len(text))
            parser.close()
        except multipart.MultipartError as error:
            raise BadRequest(f"The multipart body is broken or ends early: {error}") from error
        if not self.has_file:
            raise Unprocessable(f"The upload has no file in the field '{self._file_field}'")

    def _begin(self, name: str) -> str:
        if name == self._file_field:
            if self.has_file:
                raise BadRequest(f"The field '{name}' stands twice in the multipart body")
            self.has_file = True
        return name

    def _check_field(self, name: str, size_bytes: int) -> None:
        if size_bytes > self._limit:
            raise TooLarge(f"The field '{name[:80]}' is larger than the limit of {self._limit} bytes")
