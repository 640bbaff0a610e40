"""OAuth clients that sign in for themselves: programs of the platform's operators, not of tenants."""

import re
from typing import Final

import msgspec

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import authorise_admin, authorise_to_read_all
from paasd.auth import ADMIN_SCOPES, PLATFORM_NAMES, USER_SCOPES, Caller
from paasd.auth.deploy import PREFIX as DEPLOY_PREFIX
from paasd.auth.tokens import Client, client_of_row
from paasd.errors import Unprocessable
from paasd.model import clients as model

CLIENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
BUILT_IN: Final = ("cf", "ssh-proxy")
SCOPES: Final = frozenset(ADMIN_SCOPES) | frozenset(USER_SCOPES) | {"uaa.none"}


def check(caller: Caller, client_id: str, scopes: tuple[str, ...]) -> None:
    """Raise Forbidden, or Unprocessable with what to write instead. Before the secret is hashed, which costs."""
    authorise_admin(caller)
    built_in = client_id in BUILT_IN or client_id.lower() in PLATFORM_NAMES
    if not CLIENT_ID.fullmatch(client_id) or built_in or client_id.startswith(DEPLOY_PREFIX):
        raise Unprocessable("client_id is 1 to 63 letters, digits, dots, dashes and underscores, and not built in")
    if unknown := sorted(set(scopes) - SCOPES):
        raise Unprocessable(f"Unknown scopes {', '.join(unknown)}; there are {', '.join(sorted(SCOPES))}")


async def register(
    context: Context, caller: Caller, client_id: str, secret_hash: str, authorities: tuple[str, ...]
) -> Client:
    """Insert or replace a client; administrators only. Another secret ends its sessions. As `check` raises."""
    check(caller, client_id, authorities)
    client = Client(
        client_id=client_id,
        secret_hash=secret_hash,
        grants=("client_credentials",),
        scopes=authorities,
        secret_revision=context.new_guid(),
    )
    value = msgspec.json.encode(client).decode()
    arguments = model.PutClient(client_id=client_id, value=value, scopes=list(authorities), actor=actor_of(caller))
    await context.database.write(model.put_client, arguments)
    return client


def listed(context: Context, caller: Caller) -> list[Client]:
    """All of them, by id. Raises Forbidden."""
    authorise_to_read_all(caller)
    with context.database.read() as tx:
        return [client_of_row(row) for row in model.client_rows(tx)]


async def delete(context: Context, caller: Caller, client_id: str) -> None:
    """It signs in no more, and its tokens end. Raises Forbidden, NotFound."""
    authorise_admin(caller)
    arguments = model.DeleteClient(client_id=client_id, actor=actor_of(caller))
    await context.database.write(model.delete_client, arguments)
