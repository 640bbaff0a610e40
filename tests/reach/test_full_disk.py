"""A disk that is full when addresses are to be kept: rules wait for the next look, and nothing else ends."""

import errno
from pathlib import Path

import pytest
import trio

from paasd.config import NetworkConfig
from paasd.model.security_groups import group_name
from paasd.reach import Names, open_reach
from paasd.reach.addresses import CallAddresses
from paasd.sandbox import Policies
from paasd.state import InlineRunner, open_database
from tests.model.seeding import NODE, Seed
from tests.sandbox.conftest import place  # noqa: F401 (fixture)
from tests.sandbox.place import Place, spec


@pytest.mark.root
async def test_a_look_that_finds_the_disk_full_is_followed_by_the_next(
    tmp_path: Path,
    place: Place,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = iter([OSError(errno.ENOSPC, "No space left on device")])
    save = CallAddresses.save

    def save_at_last(addresses: CallAddresses) -> None:
        if failure := next(failures, None):
            raise failure
        save(addresses)

    monkeypatch.setattr(CallAddresses, "save", save_at_last)
    names, config = Names(), NetworkConfig(reconcile_interval_s=0.05)
    async with place.open() as sandbox, open_database(tmp_path, runner=InlineRunner(), sync=False) as database:
        organization, space, _ = await Seed(database).place()
        async with open_reach(config, database, sandbox, names=names, directory=tmp_path, node_guid=NODE):
            assert next(failures, None) is None, "the first look met it"
            policies = Policies(group=group_name("running", space.guid))
            container = await sandbox.create(spec("one", egress=(), policies=policies))
            with trio.fail_after(10):
                while names.organization(str(container.address)) != organization.guid:
                    await trio.sleep(0.01)
        await container.destroy()
