"""Reading a schema that is older than this paasd; see `paasd.state.lacking`.

A temporary view of the connection stands before each table that lacks something, under the same name, and shows the
missing columns with their defaults; a missing table is an empty view. Nothing of it is written to the database.
"""

from collections.abc import Sequence
from typing import Any, Final

import apsw

from paasd.state.lacking import Lacking
from paasd.state.log.entries import Migration
from paasd.state.query import quote

_TABLES: Final = "SELECT name FROM {schema}.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
_COLUMNS: Final = "SELECT name, dflt_value FROM pragma_table_info(?, ?)"
_VIEWS: Final = "SELECT name FROM sqlite_temp_schema WHERE type = 'view'"


class Older:
    """What the schemas before the newest of these migrations lack."""

    def __init__(self, migrations: Sequence[Migration]) -> None:
        self._migrations = migrations
        self._newest: dict[str, dict[str, str]] | None = None
        self._lacking: dict[int, Lacking] = {len(migrations): Lacking()}

    @property
    def limit(self) -> int:
        """Number of the newest migration that this paasd knows."""
        return len(self._migrations)

    def lacking(self, connection: apsw.Connection, schema: int) -> Lacking:
        """What the schema of this number lacks, which the connection has open. A newer one lacks nothing."""
        if schema > self.limit or schema == 0:
            return Lacking()
        if schema not in self._lacking:
            newest = self._describe_newest()
            found = _describe(connection, "main")
            self._lacking[schema] = Lacking(
                {
                    table: _missing(connection, columns, found.get(table))
                    for table, columns in newest.items()
                    if found.get(table) is None or columns.keys() - found[table].keys()
                }
            )
        return self._lacking[schema]

    def shadow(self, connection: apsw.Connection, schema: int) -> Lacking:
        """Make the connection see the newest schema; what it lacks."""
        unshadow(connection)
        lacking = self.lacking(connection, schema)
        for table, missing in lacking.tables.items():
            columns = self._describe_newest()[table]
            if missing is None:
                shown = ", ".join(f"NULL AS {quote(name)}" for name in columns)
                text = f"SELECT NULL AS rowid, {shown} WHERE 0"
            else:
                shown = ", ".join(
                    f"{default} AS {quote(name)}" if name in missing else quote(name)
                    for name, default in columns.items()
                )
                text = f"SELECT rowid, {shown} FROM main.{quote(table)}"
            connection.execute(f"CREATE TEMP VIEW {quote(table)} AS {text}").fetchall()
        return lacking

    def _describe_newest(self) -> dict[str, dict[str, str]]:
        if self._newest is None:
            model = apsw.Connection(":memory:")
            try:
                for migration in self._migrations:
                    model.execute(migration.script).fetchall()
                self._newest = _describe(model, "main")
            finally:
                model.close()
        return self._newest


def unshadow(connection: apsw.Connection) -> None:
    """Show the schema as it is; a migration does not go through views."""
    for (name,) in connection.execute(_VIEWS).fetchall():
        connection.execute(f"DROP VIEW temp.{quote(str(name))}").fetchall()


def _describe(connection: apsw.Connection, schema: str) -> dict[str, dict[str, str]]:
    """Columns by table with the text of their default."""
    names = [str(row[0]) for row in connection.execute(_TABLES.format(schema=schema))]
    return {
        name: {str(column): str(default or "NULL") for column, default in connection.execute(_COLUMNS, (name, schema))}
        for name in names
    }


def _missing(
    connection: apsw.Connection, columns: dict[str, str], found: dict[str, str] | None
) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        name: connection.execute(f"SELECT {default}").fetchall()[0][0]
        for name, default in columns.items()
        if name not in found
    }
