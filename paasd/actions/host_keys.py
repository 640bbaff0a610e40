"""Changing the host key that ssh clients are shown: for administrators of the platform."""

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import authorise_admin
from paasd.auth import Caller
from paasd.auth.host_keys import host_key_row, make_host_key, read_host_keys
from paasd.errors import Unprocessable
from paasd.model.rotation import BeginAuthority, ReplaceHostKey, begin_authority, replace_host_key
from paasd.state.sealing import Sealer


async def change_host_key(context: Context, caller: Caller, *, at_once: bool) -> str:
    """Announce another one, or show it at once; the guid of its row. Raises Forbidden, Unprocessable."""
    authorise_admin(caller)
    database, sealer, actor = context.database, context.sealer, actor_of(caller)
    if not isinstance(sealer, Sealer):
        raise Unprocessable("a worker changes no keys; ask a control node")
    new = make_host_key()
    if at_once:
        row = host_key_row(sealer, new, "SIGNING")
        return (await database.write(replace_host_key, ReplaceHostKey(authority=row, actor=actor))).guid
    present = [host_key_row(sealer, key, "SIGNING") for key in read_host_keys(database, sealer)[:1]]
    row = host_key_row(sealer, new, "TRUSTED")
    begin = BeginAuthority(authority=row, actor=actor, present=present[0] if present else None)
    return (await database.write(begin_authority, begin)).guid
