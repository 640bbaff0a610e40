"""How many seeds, and from which on: `pytest tests/simulation --seeds 10000 --first-seed 500`."""

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=int(os.environ.get("PAASD_SEEDS", "100")), help="simulations to run")
    parser.addoption("--first-seed", type=int, default=int(os.environ.get("PAASD_FIRST_SEED", "0")))


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> range:
    first = request.config.getoption("--first-seed")
    return range(first, first + request.config.getoption("--seeds"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Many seeds take long; the usual limit is for a hundred."""
    for item in items:
        if "seeds" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(180 + 3 * config.getoption("--seeds")))
