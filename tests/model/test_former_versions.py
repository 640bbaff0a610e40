"""What former versions wrote and sent is read by this one: tests/fixtures holds it as they left it."""

import base64
import gzip
import importlib
import json
import pkgutil
from pathlib import Path
from random import Random

import pytest

import paasd.model
from paasd.model import App, Droplet, Node, Route
from paasd.model.apps import ChangeApp, SetDroplet, set_current_droplet, start_app, stop_app
from paasd.model.arguments import SYSTEM
from paasd.model.nodes import RegisterNode, register_node
from paasd.model.processes import Sizes
from paasd.model.settings import PutSetting, put_setting
from paasd.model.voting import OfferVote, offer_vote
from paasd.state import (
    InlineRunner,
    MemoryLog,
    Record,
    list_snapshots,
    load_migrations,
    open_database,
    read_standing,
    registered_operations,
    restore_snapshot,
)
from paasd.state.checking import contents
from paasd.state.lacking import NeedsUpgrade
from paasd.state.log.entries import decode_entry

FIXTURES = Path(__file__).parents[1] / "fixtures"
VERSIONS = sorted(path.name for path in FIXTURES.glob("v*"))


def entries_of(version: str) -> list[bytes]:
    stored = json.loads(gzip.decompress((FIXTURES / version / "entries.json.gz").read_bytes()))
    return [base64.b64decode(text) for text in stored]


def test_there_is_a_former_version() -> None:
    assert "v0_1_0" in VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_calls_of_every_operation_and_their_results_are_read(version: str) -> None:
    for module in pkgutil.walk_packages(paasd.model.__path__, "paasd.model."):
        importlib.import_module(module.name)
    known = registered_operations()
    calls = json.loads((FIXTURES / version / "calls.json").read_text())
    for call in calls:
        operation = known[call["name"], call["version"]]
        operation.decode_arguments(base64.b64decode(call["arguments"]))
        operation.result_decoder.decode(base64.b64decode(call["result"]))
    assert len(calls) > 70


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_log_is_replayed_and_the_schema_brought_up_to_date(version: str, tmp_path: Path) -> None:
    entries = entries_of(version)
    log = MemoryLog(1, identity="former")
    log.entries = dict(enumerate(entries, start=1))
    log.newest = len(entries)
    async with open_database(tmp_path, log=log.client(), runner=InlineRunner(), sync=False) as database:
        assert database.schema == len(load_migrations())
        assert database.index >= decode_entry(entries[-1]).index
        with database.read() as tx:
            assert (tx.count(App), tx.count(Droplet), tx.count(Route)) == (1, 1, 1)
            assert [node.role for node in tx.all(Node)] == ["control"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_snapshot_is_restored_and_a_former_state_db_opened_in_place(version: str, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots" / "1"
    folder.mkdir(parents=True)
    (folder / "state.db").write_bytes(gzip.decompress((FIXTURES / version / "snapshot.db.gz").read_bytes()))
    (folder / "manifest.json").write_bytes((FIXTURES / version / "manifest.json").read_bytes())
    restore_snapshot(list_snapshots(tmp_path / "snapshots")[0], tmp_path / "restored")
    in_place = tmp_path / "in-place"
    in_place.mkdir()
    (folder / "state.db").rename(in_place / "state.db")
    standing = read_standing(in_place / "state.db")
    assert standing is not None
    assert standing.kind == "local", "whatever wrote it was alone"
    for directory in (tmp_path / "restored", in_place):
        async with open_database(directory, runner=InlineRunner(), sync=False) as database:
            assert database.schema == len(load_migrations())
            with database.read() as tx:
                assert tx.count(App) == 1
            assert contents(database.path)["apps"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_this_version_works_on_the_former_schema_as_long_as_it_has_to(version: str, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(gzip.decompress((FIXTURES / version / "snapshot.db.gz").read_bytes()))
    standing = read_standing(path)
    assert standing is not None
    former = standing.schema
    assert former < len(load_migrations())
    records = [one for one in vars(paasd.model.records).values() if isinstance(one, type) and issubclass(one, Record)]
    register = RegisterNode(guid="n", name="n", zone="z", memory_mb=1, disk_mb=1, cpus=1)
    options = {"runner": InlineRunner(), "sync": False}
    async with open_database(tmp_path, allowed_schema=lambda _: former, random=Random(1001), **options) as database:
        assert database.schema == former
        with database.read() as tx:
            found = {record: tx.all(record) for record in records if "_record" not in record.__name__}
        assert len(found[App]) == len(found[Droplet]) == 1
        assert len(found) > 25
        assert (await database.write(register_node, register)).state == "READY"
        assert (await database.write(register_node, register)).incarnation == 2
        await database.write(put_setting, PutSetting(name="a", value="b"))
        # Apps are stopped and started all the same; what only newer nodes count is not counted yet.
        [droplet] = [one for one in found[Droplet] if isinstance(one, Droplet)]
        chosen = SetDroplet(app_guid=droplet.app_guid, droplet_guid=droplet.guid, sizes=Sizes(), actor=SYSTEM)
        await database.write(set_current_droplet, chosen)
        change = ChangeApp(app_guid=droplet.app_guid, actor=SYSTEM)
        for act, state in ((start_app, "STARTED"), (stop_app, "STOPPED"), (start_app, "STARTED")):
            assert (await database.write(act, change)).state == state
        with pytest.raises(NeedsUpgrade):
            await database.write(offer_vote, OfferVote(node_guid="n", etcd_version="3.4.23"))
        assert database.schema == former
    async with open_database(tmp_path, random=Random(1002), **options) as database:
        assert database.schema == len(load_migrations())
        assert await database.write(offer_vote, OfferVote(node_guid="n", etcd_version="3.4.23"))
        with database.read() as tx:
            assert tx.need(Node, "n").incarnation == 2
