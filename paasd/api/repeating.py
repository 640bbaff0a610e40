"""`Idempotency-Key`: a write whose answer did not come may be sent again, and is carried out once.

It counts for calls whose body is JSON or empty. A push or an upload is not among them: its body is a stream that is
gone when it has been read, and sending it again does no harm. Nor are calls of nobody, such as signing in: a key is one
person's, and what answers strangers must be what they asked for themselves.
"""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import quart

from paasd.api.call import Call
from paasd.api.table import Route, Size
from paasd.errors import BadRequest, OutcomeUnknown
from paasd.state import Repeatable, repeatable

KEY: Final = "Idempotency-Key"
_FORM: Final = re.compile(r"[\x21-\x7e]{1,128}")


@contextmanager
def repeating(call: Call, route: Route) -> Iterator[None]:
    """The handler's writes bear ids that come from the caller's key, or from one that a 504 will name.

    Raises BadRequest for a key that is none.
    """
    if route.method == "GET" or route.size is Size.UPLOAD or call.anonymous:
        yield
        return
    sent = call.header(KEY).strip()
    if sent and not _FORM.fullmatch(sent):
        raise BadRequest(f"{KEY} is 1 to 128 visible characters, such as a UUID")
    quart.g.idempotency_key = key = sent or str(uuid.uuid4())
    about = "\0".join((call.caller.user_guid, route.method, call.request.full_path))
    with repeatable(Repeatable(key, about, again=bool(sent))):
        yield


def with_the_way_to_repeat(error: OutcomeUnknown, key: str) -> str:
    """The detail of a 504."""
    return f"{error.detail} (send the same request again with the header {KEY}: {key})"
