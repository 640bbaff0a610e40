"""Use cases: a caller is authorised, then an operation or a query runs. The only way in, for every door.

`visibility` says what a caller may see, `permissions` what a role allows; the other files are one per resource, called
`apps.create(context, caller, ...)`. What one may not see is NotFound, what one may see but not do is Forbidden.
`Context` carries the engines of one node.
"""

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission

__all__ = ["Context", "Permission", "actor_of"]
