"""What calls change in the replicated state, beside what they tell of themselves."""

from typing import Any, Final

from paasd.state import Database
from paasd.state.checking import contents

# That somebody asked may be written down, and so are answers, for those who ask again.
TOLD: Final = frozenset({"audit_chains", "audit_events", "state_requests"})


class Effects:
    """Looks at the tables again only when something was written."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._index = -1
        self._tables: dict[str, list[Any]] = {}

    def now(self) -> dict[str, list[Any]]:
        """Every table as it stands."""
        if self._index != self._database.index:
            self._index = self._database.index
            self._tables = {name: rows for name, rows in contents(self._database.path).items() if name not in TOLD}
        return self._tables

    def since(self, before: dict[str, list[Any]]) -> list[str]:
        """Tables that are not as they were before."""
        now = self.now()
        return sorted(name for name in now if now[name] != before.get(name))
