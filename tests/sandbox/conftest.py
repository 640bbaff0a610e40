import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from paasd.sandbox import Sandbox, mksquashfs_arguments

from .place import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A node's place; the test fails when anything of the node is left on the host."""
    here = Place(tmp_path / "node", tmp_path / "slots.json")
    yield here
    assert here.leftovers() == {}


@pytest.fixture
async def sandbox(place: Place) -> AsyncIterator[Sandbox]:
    async with place.open() as opened:
        yield opened


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "home/vcap").mkdir(parents=True)
    (tree / "home/vcap/layer").write_text("from the layer\n")
    image = tmp_path / "layer.sqfs"
    subprocess.run(mksquashfs_arguments(str(tree), str(image), keep_times=True), check=True, stdout=subprocess.DEVNULL)
    return image
