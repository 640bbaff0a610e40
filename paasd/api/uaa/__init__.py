"""The part of UAA that clients talk to: login prompts, tokens, published keys, discovery, SCIM users and groups.

Served on the login host and, under `/uaa`, on the API's own. Errors are OAuth's, not Cloud Foundry's envelope.
Tokens and passwords are judged in `paasd.auth`; here is only the shape of the calls.
"""

from paasd.api.uaa.accounts import ACCOUNT_ROUTES
from paasd.api.uaa.authorize import AUTHORIZE_ROUTES
from paasd.api.uaa.groups import GROUP_ROUTES
from paasd.api.uaa.invitation import INVITATION_ROUTES
from paasd.api.uaa.oidc import OIDC_ROUTES
from paasd.api.uaa.passcode import PASSCODE_ROUTES
from paasd.api.uaa.tokens import TOKEN_ROUTES
from paasd.api.uaa.users import USER_ROUTES

ROUTES = (
    *(*TOKEN_ROUTES, *USER_ROUTES, *ACCOUNT_ROUTES, *GROUP_ROUTES),
    *(*PASSCODE_ROUTES, *OIDC_ROUTES, *INVITATION_ROUTES, *AUTHORIZE_ROUTES),
)

__all__ = ["ROUTES"]
