from pathlib import Path

import apsw
import pytest

from paasd.state import MemoryLog, SchemaError
from paasd.state.engine.schema import broken_rules, checked_migrations, load_migrations
from paasd.state.log.entries import Migration
from tests.state.things import MIGRATIONS, AddThing, add_thing, open_things

BAD = {
    "other is not STRICT": "CREATE TABLE other (a TEXT PRIMARY KEY)",
    "other has no PRIMARY KEY": "CREATE TABLE other (a TEXT) STRICT",
    "other has no rowid": "CREATE TABLE other (a TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    "other uses AUTOINCREMENT": "CREATE TABLE other (a INTEGER PRIMARY KEY AUTOINCREMENT) STRICT",
    "watcher is a trigger": "CREATE TRIGGER watcher AFTER DELETE ON things BEGIN DELETE FROM marks; END",
    "other is a virtual table": "CREATE VIRTUAL TABLE other USING fts5(a)",
    "other has an ON DELETE action": (
        "CREATE TABLE other (a TEXT PRIMARY KEY REFERENCES things (guid) ON DELETE CASCADE) STRICT"
    ),
    "other has an ON UPDATE action": (
        "CREATE TABLE other (a TEXT PRIMARY KEY REFERENCES things (guid) ON UPDATE SET NULL) STRICT"
    ),
    "other.b is a generated column": "CREATE TABLE other (a TEXT PRIMARY KEY, b TEXT AS (a)) STRICT",
}


@pytest.mark.parametrize("problem", list(BAD))
async def test_a_migration_that_breaks_a_rule_is_refused_and_changes_nothing(tmp_path: Path, problem: str) -> None:
    async with open_things(tmp_path):
        pass
    with pytest.raises(SchemaError, match=f"migration 2 bad: .*{problem}"):
        async with open_things(tmp_path, migrations=[*MIGRATIONS, Migration(2, "bad", BAD[problem])]):
            pass
    good = Migration(2, "good", "CREATE TABLE other (a TEXT PRIMARY KEY REFERENCES things (guid)) STRICT")
    async with open_things(tmp_path, migrations=[*MIGRATIONS, good]) as database:
        assert database.schema == 2


def test_a_schema_without_faults_breaks_no_rule() -> None:
    connection = apsw.Connection(":memory:")
    connection.execute(MIGRATIONS[0].script).fetchall()
    assert broken_rules(connection) == []


async def test_a_migration_with_an_error_in_it_names_itself(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="migration 1 typo: "):
        async with open_things(tmp_path, migrations=[Migration(1, "typo", "CREATE TABEL x")]):
            pass


@pytest.mark.parametrize("numbers", [[2], [1, 3], [1, 1], [0, 1]])
def test_migrations_are_numbered_without_gaps(numbers: list[int]) -> None:
    with pytest.raises(SchemaError, match="without gaps"):
        checked_migrations([Migration(number, "x", "") for number in numbers])


@pytest.mark.parametrize(
    "script", ["INSERT INTO t VALUES (random())", "UPDATE t SET a = datetime('now')", "SELECT CURRENT_TIMESTAMP"]
)
def test_a_migration_that_would_differ_from_node_to_node_is_refused(script: str) -> None:
    with pytest.raises(SchemaError, match="differ from node to node"):
        checked_migrations([Migration(1, "x", script)])


async def test_the_migrations_that_come_with_paasd_keep_the_rules(tmp_path: Path) -> None:
    migrations = load_migrations()
    async with open_things(tmp_path, migrations=migrations) as database:
        assert database.schema == len(migrations)


async def test_migrations_travel_through_the_log_once(tmp_path: Path) -> None:
    log = MemoryLog(1)
    more = [*MIGRATIONS, Migration(2, "more", "ALTER TABLE things ADD COLUMN color TEXT")]
    async with open_things(tmp_path / "one", log=log.client()) as one:
        await one.write(add_thing, AddThing("a"))
    async with open_things(tmp_path / "two", log=log.client(), migrations=more) as two:
        assert (two.index, two.schema) == (3, 2)
    async with open_things(tmp_path / "three", log=log.client(), migrations=more) as three:
        assert (three.index, three.schema) == (3, 2)


async def test_two_nodes_that_upgrade_at_once_migrate_once(tmp_path: Path) -> None:
    log = MemoryLog(1)
    log.plan("lose_answer", "late_request", "stranger")
    async with open_things(tmp_path / "one", log=log.client()) as one:
        log.deliver_late()
        async with open_things(tmp_path / "two", log=log.client()) as two:
            assert one.schema == two.schema == 1


async def test_a_newer_schema_is_refused_with_the_fix(tmp_path: Path) -> None:
    more = [*MIGRATIONS, Migration(2, "more", "ALTER TABLE things ADD COLUMN color TEXT")]
    async with open_things(tmp_path, migrations=more):
        pass
    with pytest.raises(SchemaError, match="upgrade paasd"):
        async with open_things(tmp_path):
            pass
