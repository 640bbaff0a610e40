import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from .world import World, open_world


@pytest.fixture(scope="session")
def toolchain_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Toolchains and their blobs, fetched once for all tests of a run, or kept between runs where the name says."""
    kept = os.environ.get("PAASD_TEST_TOOLCHAINS")
    yield Path(kept) if kept else tmp_path_factory.mktemp("toolchains")


@pytest.fixture
async def world(tmp_path: Path, toolchain_store: Path) -> AsyncIterator[World]:
    """A staging node that has the toolchains which earlier tests fetched."""
    directory = tmp_path / "node"
    directory.mkdir()
    for name in ("toolchains", "blobs"):
        if (toolchain_store / name).is_dir():
            shutil.copytree(toolchain_store / name, directory / name, copy_function=os.link)
    async with open_world(directory) as made:
        yield made
        for record in (directory / "toolchains").glob("*.json"):
            save(directory, toolchain_store, record)


def save(directory: Path, store: Path, record: Path) -> None:
    """Keep a toolchain's record and the blob that it names."""
    import msgspec

    (store / "toolchains").mkdir(exist_ok=True, parents=True)
    target = store / "toolchains" / record.name
    if record.name == "digests.json" or target.exists():
        return
    sha256 = msgspec.json.decode(record.read_bytes())["sha256"]
    blob = store / "blobs" / sha256[:2] / sha256
    blob.parent.mkdir(parents=True, exist_ok=True)
    if not blob.exists():
        os.link(directory / "blobs" / sha256[:2] / sha256, blob)
    shutil.copy(record, target)
