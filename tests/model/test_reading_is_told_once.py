"""Several that read at once each find that nobody was told of it yet: the operation looks again, and tells once."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from paasd.model import AuditEvent
from paasd.model.arguments import SYSTEM
from paasd.model.droplets import RecordDownload, record_download
from paasd.model.environment_shown import RecordEnvironmentShown, record_environment_shown
from paasd.model.packages import RecordPackageDownload, record_package_download
from paasd.state import Operation
from tests.model.seeding import Seed

Prepare = Callable[[Seed], Awaitable[Any]]


async def a_package(seed: Seed) -> RecordPackageDownload:
    return RecordPackageDownload(package_guid=(await seed.package()).guid, actor=SYSTEM)


async def a_droplet(seed: Seed) -> RecordDownload:
    return RecordDownload(droplet_guid=(await seed.droplet()).guid, actor=SYSTEM)


async def an_environment(seed: Seed) -> RecordEnvironmentShown:
    return RecordEnvironmentShown(app_guid=(await seed.app()).guid, actor=SYSTEM)


@pytest.mark.parametrize(
    ("operation", "prepare"),
    [
        (record_package_download, a_package),
        (record_download, a_droplet),
        (record_environment_shown, an_environment),
    ],
)
async def test_the_second_of_one_source_leaves_no_event(
    seed: Seed, operation: Operation[Any, Any], prepare: Prepare
) -> None:
    arguments = await prepare(seed)
    with seed.database.read() as tx:
        before = tx.count(AuditEvent)
    told = []
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        await seed.database.write(operation, replace(arguments, actor=replace(SYSTEM, address=address)))
        with seed.database.read() as tx:
            told.append(tx.count(AuditEvent) - before)
    assert told == [1, 1, 2]
