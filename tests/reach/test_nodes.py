"""Ports of other nodes, whose names nobody may be able to resolve just when a daemon starts."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from paasd.config import NetworkConfig
from paasd.reach import Names, open_reach
from paasd.sandbox.network.nft import Nft
from paasd.sandbox.network.rules import table_name
from paasd.state import InlineRunner, open_database
from tests.model.seeding import NODE
from tests.sandbox.conftest import place  # noqa: F401 (fixture)
from tests.sandbox.place import Place

PUBLIC = "203.0.113.7"


async def nobody_knows(_places: Iterable[str], _last: object) -> dict[str, frozenset[str]]:
    return {}


@pytest.mark.root
async def test_a_new_daemon_keeps_closed_what_it_cannot_resolve(
    tmp_path: Path,
    place: Place,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = NetworkConfig(public_addresses=(PUBLIC,))
    async with place.open() as sandbox, open_database(tmp_path, runner=InlineRunner(), sync=False) as database:
        assert sandbox.network is not None

        async def closed() -> set[str]:
            async with open_reach(config, database, sandbox, names=Names(), directory=tmp_path, node_guid=NODE):
                with Nft() as nft:
                    return set(nft.elements(table_name(place.prefix), "nodes"))

        await sandbox.network.shared.set_nodes(["192.0.2.1"])
        with monkeypatch.context() as patch:
            patch.setattr("paasd.reach.reach.addresses_of", nobody_knows)
            assert await closed() == {"192.0.2.1"}
        assert await closed() == {PUBLIC}
