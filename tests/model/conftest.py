from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paasd.state import InlineRunner, open_database
from tests.model.seeding import Seed


@pytest.fixture
async def seed(tmp_path: Path) -> AsyncIterator[Seed]:
    async with open_database(tmp_path, runner=InlineRunner(), sync=False) as database:
        yield Seed(database)
