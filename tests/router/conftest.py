from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from paasd.config import RouterConfig
from paasd.router import (
    AccessEntry,
    Certificates,
    Endpoint,
    RouteEntry,
    Router,
    RouteTable,
    open_certificates,
    open_router,
)

from .upstream import App, apps

CONFIG = RouterConfig(
    http_port=0, https_port=0, workers=1, access_log_flush_s=0.05, headers_limit_kb=16, request_timeout_s=1.0
)
DOMAINS = ("apps.localhost", "example.test")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory = tmp_path_factory.mktemp("certificates")
    return open_certificates(directory, "apps.localhost", "system.localhost", clock=lambda: datetime.now(UTC))


class Journal:
    """Access entries, and a way to wait for the one that a test expects."""

    def __init__(self) -> None:
        self.entries: list[AccessEntry] = []
        self._more = trio.Event()

    def __call__(self, entries: list[AccessEntry]) -> None:
        self.entries.extend(entries)
        self._more.set()
        self._more = trio.Event()

    async def of(self, path: str) -> AccessEntry:
        with trio.fail_after(5):
            while True:
                for entry in self.entries:
                    if entry.path == path:
                        return entry
                await self._more.wait()


@pytest.fixture
def journal() -> Iterator[Journal]:
    yield Journal()


@pytest.fixture
async def router(tmp_path: Path, certificates: Certificates, journal: Journal) -> AsyncIterator[Router]:
    async with open_router(CONFIG, tmp_path, certificates, on_access=journal, outlive=False) as opened:
        yield opened
        assert opened.refused == 0


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with apps("instance-1") as (only,):
        yield only


def entry(host: str, *running: App, path: str = "", **fields: object) -> RouteEntry:
    endpoints = tuple(one.endpoint(index) for index, one in enumerate(running))
    known = {"route_guid": f"route of {host}{path}", "app_guid": "app-1", **fields}
    return RouteEntry(host=host, path=path, endpoints=endpoints, **known)  # type: ignore[arg-type]


async def serve(router: Router, *entries: RouteEntry, **system: tuple[str, int]) -> None:
    """Publish and wait until Envoy has it."""
    doors = {
        f"{name}.system.localhost": (Endpoint(instance_guid="", index=0, address=address, port=port),)
        for name, (address, port) in system.items()
    }
    router.publish(RouteTable(routes=entries, domains=DOMAINS, system=doors))
    with trio.fail_after(5):
        await router.settled()
