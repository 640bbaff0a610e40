"""A resolver of our own on loopback, with an upstream."""

from collections.abc import AsyncIterator

import pytest

from paasd.config import DnsConfig
from paasd.dns import Resolver

from .upstream import Upstream, open_upstream
from .world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with open_upstream() as opened:
        yield opened


@pytest.fixture
async def resolver(world: World, upstream: Upstream) -> AsyncIterator[Resolver]:
    async with world.open(DnsConfig(upstreams=(upstream.server,), timeout_s=0.3)) as opened:
        yield opened
