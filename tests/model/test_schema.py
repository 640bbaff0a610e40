"""Every record fits the table that it names."""

from pathlib import Path

import paasd.model
from paasd.model.records.resource import Resource
from paasd.state import InlineRunner, Record, open_database
from paasd.state.checking import table_mismatches


async def test_records_and_tables_are_alike(tmp_path: Path) -> None:
    exported = [getattr(paasd.model, name) for name in paasd.model.__all__]
    records = [one for one in exported if issubclass(one, Record) and one is not Resource]
    assert len(records) > 20
    async with open_database(tmp_path, runner=InlineRunner(), sync=False) as database:
        assert table_mismatches(database.path, records) == []
