"""`GET /oauth/authorize`: how a client gets the one-time code with which it signs in at the door for ssh."""

from urllib.parse import urlencode

from paasd.actions import ssh
from paasd.api.call import Call, Reply
from paasd.api.platform import SSH_CLIENT
from paasd.api.table import Route, get
from paasd.auth.service import OAuthError
from paasd.errors import Forbidden


async def authorize(call: Call) -> Reply[None]:
    """302 with `?code=`, for the client ssh-proxy alone; other clients get their tokens at `/oauth/token`."""
    asked = call.query.plain
    if asked.get("client_id") != SSH_CLIENT:
        raise OAuthError(401, "invalid_client", f"Only {SSH_CLIENT} gets codes; /oauth/token gives tokens")
    if asked.get("response_type") != "code":
        raise OAuthError(400, "unsupported_response_type", "response_type is code")
    try:
        code = await ssh.create_code(call.context, call.caller)
    except Forbidden as error:
        raise OAuthError(403, "insufficient_scope", error.detail) from error
    target = f"{call.platform.doors(call.urls)['uaa']}/login?{urlencode({'code': code})}"
    return Reply(status=302, headers={"Location": target, "Cache-Control": "no-store"})


AUTHORIZE_ROUTES: tuple[Route, ...] = tuple(
    get(f"{prefix}/oauth/authorize", authorize, any_query=True, permission="a user who may change apps")
    for prefix in ("", "/uaa")
)
