"""OAuth clients that sign in for themselves."""

import msgspec

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import authorise_admin
from paasd.auth import Caller
from paasd.auth.service import CLIENT_SETTING
from paasd.auth.tokens import Client
from paasd.model.settings import PutSetting, put_setting


async def register(
    context: Context, caller: Caller, client_id: str, secret_hash: str, authorities: tuple[str, ...]
) -> Client:
    """Insert or replace a client; administrators only. Another secret ends its sessions."""
    authorise_admin(caller)
    client = Client(
        client_id=client_id,
        secret_hash=secret_hash,
        grants=("client_credentials",),
        scopes=authorities,
        secret_revision=context.new_guid(),
    )
    value = msgspec.json.encode(client).decode()
    await context.database.write(
        put_setting, PutSetting(name=CLIENT_SETTING + client_id, value=value, actor=actor_of(caller))
    )
    return client
