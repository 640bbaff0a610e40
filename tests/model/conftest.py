from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paasd.state import InlineRunner
from tests.fresh import open_fresh
from tests.model.seeding import Seed


@pytest.fixture
async def seed(tmp_path: Path) -> AsyncIterator[Seed]:
    async with open_fresh(tmp_path, runner=InlineRunner()) as database:
        yield Seed(database)
