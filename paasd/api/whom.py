"""Who may call what, in the words of the column "for" of docs/api.md. A walk over all roles compares them with what
happens (tests/tenancy/test_for_whom.py), so each role that gets through is named. Administrators always do.
"""

from typing import Final

DEVELOPERS: Final = "space_developer"
OPERATORS: Final = "space_developer or space_supporter"
ENVIRONMENT_READERS: Final = "space_developer, space_supporter or admin_read_only"
SECRET_READERS: Final = "space_developer or admin_read_only"
SPACE_MANAGERS: Final = "organization_manager or space_manager"
PLATFORM_READERS: Final = "admin, admin_read_only or global_auditor"
ADMIN: Final = "admin"
