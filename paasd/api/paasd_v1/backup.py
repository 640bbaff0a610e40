"""A backup of everything that is in rows, for administrators of the platform."""

from typing import Literal

from paasd.actions.backup import back_up
from paasd.api.call import Call, Form, Reply
from paasd.api.table import Auth, Route, post
from paasd.api.whom import ADMIN


class BackupForm(Form):
    """Under what it is sealed."""

    passphrase: str


async def backup(call: Call) -> Reply[Literal["application/octet-stream"]]:
    """The file itself; whoever takes it has to read it to its end to know that it is whole."""
    form = await call.json(BackupForm)
    stream = await back_up(call.context, call.caller, form.passphrase)
    return Reply(stream=stream, content_type="application/octet-stream")


ROUTES: tuple[Route, ...] = (post("/paasd/v1/backup", backup, auth=Auth.BASIC, permission=ADMIN),)
