"""Who may come in: passwords, signed tokens and the keys that sign them.

Access tokens are ES256 JWTs of ten minutes with the claims that Cloud Foundry clients read; refresh tokens are checked
against the user's row, so signing in writes nothing and a changed password ends every session at once.
Signing keys are sealed rows, published before they sign and until the last token they signed has expired.
"""

from paasd.auth.caller import (
    ADMIN_READ_ONLY,
    ADMIN_SCOPES,
    DEPLOY_TOKEN,
    GLOBAL_AUDITOR,
    PLATFORM_NAMES,
    USER_SCOPES,
    Caller,
    root_caller,
    system_caller,
)

__all__ = [
    "ADMIN_READ_ONLY",
    "ADMIN_SCOPES",
    "DEPLOY_TOKEN",
    "GLOBAL_AUDITOR",
    "PLATFORM_NAMES",
    "USER_SCOPES",
    "Caller",
    "root_caller",
    "system_caller",
]
