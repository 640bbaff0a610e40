from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.membership.world import World, world


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is far away: a port that does not answer at once never does."""
    monkeypatch.setattr("paasd.membership.knocking.KNOCK_LIMIT_S", 0.6)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made
