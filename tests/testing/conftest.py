"""A block of `paasd.testing` leaves no process, whatever earlier tests of the same run have left unreaped."""

from collections.abc import Callable

import psutil
import pytest


@pytest.fixture
def left_running() -> Callable[[], list[psutil.Process]]:
    """What is below this process now and was not when the test began; what has ended and nobody waited for counts."""
    before = set(psutil.Process().children(recursive=True))
    return lambda: [child for child in psutil.Process().children(recursive=True) if child not in before]
