from collections.abc import Callable
from pathlib import Path

import pytest

from paasd.logs.segments import record, segment


class Shim:
    """Writes a spool as a shim does."""

    def __init__(self, directory: Path, segment_bytes: int = 1024 * 1024) -> None:
        self.directory = directory
        self.number = 0
        self.at_ns = 1_700_000_000_000_000_000
        self._segment_bytes = segment_bytes
        directory.mkdir(parents=True, exist_ok=True)

    def write(self, payload: bytes, stream: int = 1) -> None:
        self.raw(record(self.tick(), stream, payload))

    def lose(self, count: int) -> None:
        self.raw(record(self.tick(), 3, count.to_bytes(8, "little")))

    def tick(self) -> int:
        self.at_ns += 1000
        return self.at_ns

    def raw(self, data: bytes) -> None:
        path = segment(self.directory, self.number)
        with path.open("ab") as file:
            file.write(data)
            full = file.tell() >= self._segment_bytes
        if full:
            self.roll()

    def roll(self) -> None:
        self.number += 1
        segment(self.directory, self.number).touch()


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    return Shim(tmp_path / "spool")


@pytest.fixture
def make_shim(tmp_path: Path) -> Callable[[int], Shim]:
    return lambda segment_bytes: Shim(tmp_path / "spool", segment_bytes)
