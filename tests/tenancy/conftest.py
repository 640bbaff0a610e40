"""The API of a test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.serving import Served, serve


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """An API with the default configuration."""
    async with serve(tmp_path) as made:
        yield made
