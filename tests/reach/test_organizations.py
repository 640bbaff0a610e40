"""Whose instance has an address: rows and containers tell."""

from pathlib import Path

import pytest

from paasd.config import NetworkConfig
from paasd.model.security_groups import group_name
from paasd.reach import Names, open_reach
from paasd.sandbox import Policies
from paasd.state import InlineRunner, open_database
from tests.model.seeding import NODE, Seed
from tests.sandbox.conftest import place  # noqa: F401 (fixture)
from tests.sandbox.place import Place, spec


@pytest.mark.root
async def test_the_instances_and_builds_of_all_its_spaces_are_an_organizations(
    tmp_path: Path,
    place: Place,  # noqa: F811
) -> None:
    names = Names()
    async with place.open() as sandbox, open_database(tmp_path, runner=InlineRunner(), sync=False) as database:
        seed = Seed(database)
        organization, space, _ = await seed.place()
        other = await seed.other_space(organization)
        reaching = open_reach(NetworkConfig(), database, sandbox, names=names, directory=tmp_path, node_guid=NODE)
        async with reaching:
            groups = {
                "one": group_name("running", space.guid),
                "two": group_name("staging", other.guid),
                "three": group_name("running", "gone"),
            }
            made = [
                await sandbox.create(spec(guid, egress=(), policies=Policies(group=group)))
                for guid, group in groups.items()
            ]
            whose = [names.organization(str(container.address)) for container in made]
            assert whose == [organization.guid, organization.guid, ""]
            assert names.organization("192.0.2.1") == ""
        for container in made:
            await container.destroy()
