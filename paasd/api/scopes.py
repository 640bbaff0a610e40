"""Which scope a token needs for a call: one rule for the whole API, and by name every call that has another.

What a person or client may do beyond that is the business of the action behind the call.
"""

from typing import Final

from paasd.api.table import Auth, Route
from paasd.auth import Caller
from paasd.auth.service import OAuthError
from paasd.errors import InsufficientScope

READ: Final = "cloud_controller.read"
WRITE: Final = "cloud_controller.write"
NETWORK: Final = ("network.write", "network.admin")
NETWORK_POLICIES: Final = "/networking/"
UAA: Final = "/uaa"
ROUTER_GROUPS: Final = "/routing/"

ANY: Final[tuple[str, ...]] = ()
SIGN_IN: Final[dict[str, tuple[str, ...]]] = {
    "GET /userinfo": ANY,  # who the token stands for
    "GET /Users/<guid>": ANY,  # oneself; others with scim.read
    "PUT /Users/<guid>/password": ("password.write", "uaa.admin"),
    "DELETE /oauth/token/revoke/user/<guid>": ("uaa.user", "uaa.admin"),
    "GET /oauth/authorize": (WRITE,),  # with its code one is in an instance
    "GET /Users": ("scim.read",),
    "POST /Users": ("scim.write",),
    "PUT /Users/<guid>": ("scim.write",),
    "PATCH /Users/<guid>": ("scim.write",),
    "DELETE /Users/<guid>": ("scim.write",),
    "GET /Groups": ("uaa.admin",),
    "GET /Groups/<group>": ("uaa.admin",),
    "GET /Groups/<group>/members": ("uaa.admin",),
    "POST /Groups/<group>/members": ("uaa.admin",),
    "DELETE /Groups/<group>/members/<guid>": ("uaa.admin",),
    "GET /oauth/clients": ("uaa.admin",),
    "POST /oauth/clients": ("uaa.admin",),
    "DELETE /oauth/clients/<client_id>": ("uaa.admin",),
}
"""The calls of sign-in, each also below /uaa, and of which scopes a token needs one."""


def scopes_for(route: Route) -> tuple[str, ...]:
    """Any one of these suffices; ANY is no demand."""
    if route.auth is Auth.NONE:
        return ANY
    own = SIGN_IN.get(sign_in_name(route))
    if own is not None:
        return own
    if route.path.startswith(ROUTER_GROUPS):
        return ("routing.router_groups.read",)
    needed = (READ,) if route.method == "GET" else (WRITE,)
    return needed + NETWORK if route.path.startswith(NETWORK_POLICIES) else needed


def sign_in_name(route: Route) -> str:
    """How SIGN_IN names a route."""
    return f"{route.method} {route.path.removeprefix(UAA)}"


def check_scope(caller: Caller | None, route: Route) -> None:
    """Raise InsufficientScope, or OAuthError in the words of sign-in, for a token that was made for other things."""
    needed = scopes_for(route)
    if caller is None or caller.admin or not needed or set(needed) & set(caller.scopes):
        return
    if route.method == "GET" and caller.sees_everything and WRITE not in needed:
        return
    if sign_in_name(route) in SIGN_IN:
        raise OAuthError(403, "insufficient_scope", f"Insufficient scope for this resource: {' or '.join(needed)}")
    raise InsufficientScope(
        f"Your token lacks the necessary scopes to access this resource. It needs {' or '.join(needed)}"
    )
