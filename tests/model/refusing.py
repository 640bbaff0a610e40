"""With which words an operation refuses."""

from typing import Any

import pytest

from paasd.errors import PaasdError, Unprocessable
from tests.model.seeding import Seed


async def refused(seed: Seed, operation: Any, arguments: Any, kind: type[PaasdError] = Unprocessable) -> str:
    with pytest.raises(kind) as caught:
        await seed.database.write(operation, arguments)
    return caught.value.detail
