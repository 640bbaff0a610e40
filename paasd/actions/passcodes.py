"""Passcodes: what somebody who is signed in carries to a client (`cf login --sso`)."""

from paasd.actions.context import Context
from paasd.auth import DEPLOY_TOKEN, Caller
from paasd.auth.totp import hash_code, new_code
from paasd.errors import Forbidden, Unprocessable
from paasd.model import User
from paasd.model.passcodes import CreatePasscode, create_passcode

GROUPS = 3


async def create(context: Context, caller: Caller) -> str:
    """The code, shown this once. Raises Forbidden for those who are no people."""
    with context.database.read() as tx:
        user = tx.get(User, caller.user_guid)
    if user is None or caller.origin == DEPLOY_TOKEN:
        raise Forbidden("Passcodes are for people; sign in as one")
    code = new_code(GROUPS)
    arguments = CreatePasscode(
        code_hash=hash_code(code),
        user_guid=user.guid,
        with_factor=caller.with_factor,
        signed_in_at=caller.signed_in_at,
        expires_at=int(context.clock()) + context.config.auth.passcode_s,
    )
    if (await context.database.write(create_passcode, arguments)).code_hash != arguments.code_hash:
        raise Unprocessable("The first request has made a code, and its answer is lost; ask again under another key")
    return code
