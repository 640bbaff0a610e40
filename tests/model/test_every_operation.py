"""Every operation stands a log that refuses, loses and delays: it takes effect exactly once or not at all."""

import importlib
import pkgutil
from pathlib import Path

import msgspec
import pytest

import paasd.model
from paasd.state import Database, registered_operations
from paasd.state.checking import check_operation_is_repeatable
from tests.model.cases import CASES
from tests.model.seeding import Seed


@pytest.mark.parametrize("name", sorted(CASES))
async def test_it_takes_effect_once(name: str, tmp_path: Path) -> None:
    operation, prepare = CASES[name]

    async def seeded(database: Database) -> msgspec.Struct:
        arguments = await prepare(Seed(database))
        assert isinstance(arguments, msgspec.Struct)
        return arguments

    await check_operation_is_repeatable(operation, seeded, tmp_path, seed=len(name))


def test_no_operation_of_the_resources_is_left_out() -> None:
    for module in pkgutil.walk_packages(paasd.model.__path__, "paasd.model."):
        importlib.import_module(module.name)
    mine = {
        name
        for (name, _), operation in registered_operations().items()
        if operation.function.__module__.startswith("paasd.model.") and not name.startswith("signing_key.")
    }
    assert mine == set(CASES)
