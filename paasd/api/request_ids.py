"""By what a request is called in answers, events and the log."""

import re
import uuid

FORM = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def request_id_of(*sent: str | None) -> str:
    """The id that the router gave it (or the client, when it looks like one), else a new one."""
    given = next((one for one in sent if one), "")
    return given if FORM.fullmatch(given) else str(uuid.uuid4())
