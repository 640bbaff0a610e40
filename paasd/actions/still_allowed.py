"""Whether one who came in some time ago would still be let in: what stays open is asked this, again and again."""

from typing import Final

import msgspec

from paasd.actions.context import Context
from paasd.auth import DEPLOY_TOKEN, Caller
from paasd.auth.service import Auth, SignIn
from paasd.auth.tokens import EXPIRED, INVALID
from paasd.errors import InvalidToken

WATCHED: Final = "apps", "spaces", "organizations", "roles", "users", "deploy_tokens", "factor_demands", "settings"
"""Tables whose rows say who may do what. Settings hold OAuth clients."""


def caller_now(context: Context, auth: Auth, caller: Caller) -> Caller:
    """The caller as of now, with the scopes that are left. Raises InvalidToken when nothing is: a token has expired, a
    deploy token was revoked, an account deleted or signed out, a password or a client's secret changed.
    """
    if caller.expires_at and caller.expires_at <= context.clock():
        raise InvalidToken(EXPIRED)
    if caller.root:
        return caller
    if caller.origin == DEPLOY_TOKEN:
        return auth.deploy.caller_by_name(caller.client, caller.scopes)
    if caller.client == caller.user_guid:
        client = auth.find_client(caller.client)
        if client is None or client.secret_revision != caller.signature:
            raise InvalidToken(INVALID)
        return caller
    user = auth.accounts.still(caller.user_guid, caller.signature)
    signed_in = SignIn(user=user, at=caller.signed_in_at, with_factor=caller.with_factor)
    now = auth.caller_of(signed_in, caller.scopes, caller.client)
    return msgspec.structs.replace(now, expires_at=caller.expires_at)
