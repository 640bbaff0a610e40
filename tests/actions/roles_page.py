"""docs/roles.md: who sees and does what, from the data by which it is decided.

python -m tests.actions.roles_page        write it anew
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from paasd.actions.permissions import MATRIX, READS, SIGHT
from paasd.model.roles import ORGANIZATION_ROLES, SPACE_ROLES

PAGE: Final = Path(__file__).parents[2] / "docs" / "roles.md"
PLATFORM: Final = ("admin", "admin read-only", "global auditor")
HEAD: Final = """# Who may see and do what

Made from `paasd/actions/permissions.py` by `python -m tests.actions.roles_page`; tests compare, and try every role
with every act. The roles are Cloud Foundry's. Which role each call of the API needs stands in [api.md](api.md).

What one may not see is answered with 404, as what is not there; what one may see but not do with 403.
"""
RULES: Final = """
- Roles are given by organization managers, in a space by its managers too: `cf set-space-role`, `paasd invite`. Who has
  no role in the organization cannot have one in its spaces, and keeps `organization_user` as long as there is one.
- The last manager of an organization can neither lose that role nor be deleted before somebody else has it.
- In a suspended organization only administrators change anything. What runs goes on, and all can be read as before.
- Organizations and accounts are made and taken away by administrators. The feature flag `user_org_creation` lets
  everybody make organizations; other flags switch off what the tables allow (see [quotas.md](quotas.md)).
- `admin`, `admin read-only` and `global auditor` are the scopes `cloud_controller.admin`,
  `cloud_controller.admin_read_only` and `cloud_controller.global_auditor`. The last two change nothing, and the last
  reads no environment, start command, manifest or bits.
"""


def page() -> str:
    """All of it."""
    return "\n".join([HEAD, "## In an organization", "", *_organization(), "", "## In a space", "", *_space(), RULES])


def _organization() -> list[str]:
    return _table(ORGANIZATION_ROLES, 1)


def _space() -> list[str]:
    return _table(SPACE_ROLES, 0)


def _table(roles: tuple[str, ...], place: int) -> list[str]:
    """Rows of what is seen, then of what is done; `place` chooses the half of each pair."""
    columns = (*roles, *PLATFORM)
    rows = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    rows += [_row(f"see: {what}", roles, by[place], PLATFORM) for what, by in SIGHT.items()]
    for permission, by in MATRIX.items():
        may = PLATFORM[:2] if permission in READS else PLATFORM[:1]
        rows.append(_row(permission.value, roles, by[place], may))
    return rows


def _row(name: str, roles: tuple[str, ...], allowed: frozenset[str], may: tuple[str, ...]) -> str:
    marks: Mapping[bool, str] = {True: "yes", False: ""}
    cells = [marks[one in allowed] for one in roles] + [marks[one in may] for one in PLATFORM]
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page())
