import secrets
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from paasd.config import NetworkConfig
from paasd.sandbox import mounts
from paasd.sandbox.network import Network, open_network

from .world import Outside, inventory


@pytest.fixture
def run_dir() -> Iterator[Path]:
    directory = Path(f"/run/paasd-test-{secrets.token_hex(4)}")
    directory.mkdir(mode=0o700)
    yield directory
    for mounted in mounts.mounted_below(directory):
        mounts.unmount(mounted, lazy=True)
    for path in sorted(directory.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    directory.rmdir()


@pytest.fixture
def outside(run_dir: Path) -> Iterator[Outside]:
    machine = Outside(run_dir)
    machine.start()
    yield machine
    machine.stop()


@pytest.fixture
def config(outside: Outside) -> NetworkConfig:
    return NetworkConfig(uplinks=(outside.interface,))


@pytest.fixture
def prefix() -> str:
    return "t" + secrets.token_hex(2)


@pytest.fixture
async def network(config: NetworkConfig, prefix: str, run_dir: Path) -> AsyncIterator[Network]:
    before = inventory(prefix)
    async with open_network(config, prefix=prefix, run_dir=run_dir, clock=time.monotonic) as opened:
        yield opened
        for slot in opened.list():
            await opened.detach(slot)
    assert inventory(prefix) == before
