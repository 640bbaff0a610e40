"""What is closed for instances because nodes are there."""

from pathlib import Path

from paasd.reach.places import addresses_of, places_of_nodes
from paasd.state import InlineRunner, open_database
from tests.model.seeding import NODE, Seed

PUBLIC = ("203.0.113.7", "203.0.113.8")


async def test_public_addresses_are_closed_as_the_advertised_ones_of_others_are(tmp_path: Path) -> None:
    async with open_database(tmp_path, runner=InlineRunner(), sync=False) as database:
        await Seed(database).member()
        with database.read() as tx:
            assert await addresses_of(places_of_nodes(tx, NODE, PUBLIC)) == set(PUBLIC)
            assert await addresses_of(places_of_nodes(tx, "another", PUBLIC)) == {*PUBLIC, "192.0.2.1"}
