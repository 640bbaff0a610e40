"""The API of a test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paasd.config import Config
from tests.api.calls import Caller
from tests.api.hands import working_hands
from tests.api.serving import API, CHEAP_HASHES, Served, serve


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """An API with the default configuration."""
    async with serve(tmp_path) as made:
        yield made


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    """Somebody who makes whatever a call needs, and a platform on which builds and tasks end."""
    config = Config(data=str(tmp_path), api=API, auth=CHEAP_HASHES)
    async with (
        serve(tmp_path, config) as served,
        working_hands(served.context),
        await served.admin() as http,
    ):
        yield Caller(served, http)
