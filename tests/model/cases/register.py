"""Where the arguments with which each operation is tried are put down."""

from collections.abc import Awaitable, Callable
from typing import Any

from paasd.model.arguments import Metadata
from paasd.state import Operation
from tests.model import quota_cases
from tests.model.seeding import Seed

Prepare = Callable[[Seed], Awaitable[Any]]
CASES: dict[str, tuple[Operation[Any, Any], Prepare]] = {
    operation.name: (operation, prepare) for operation, prepare in quota_cases.CASES.items()
}
LABELS = Metadata(labels={"a": "b", "gone": None}, annotations={"c": "d"})


def case(operation: Operation[Any, Any]) -> Callable[[Prepare], Prepare]:
    def register(prepare: Prepare) -> Prepare:
        CASES[operation.name] = (operation, prepare)
        return prepare

    return register
