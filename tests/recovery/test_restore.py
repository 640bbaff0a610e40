"""From a backup to a platform that serves, which nobody of the former one can join by what he has."""

import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import msgspec
import pytest
import trio

import paasd.testing
from paasd.config import ClusterConfig, Config, PeerConfig, RouterConfig
from paasd.errors import PaasdError, Unprocessable
from paasd.membership import MemberFiles
from paasd.model import Node as NodeRow
from paasd.model.arguments import SYSTEM
from paasd.model.nodes import RegisterNode, register_node
from paasd.node import Node, Substitutes, backup_stopped, open_node, restore_node
from paasd.peer import PeerRefused, PeerUnreachable, TlsPeers, open_peers
from paasd.sandbox.nest import Layers, Ports, open_nest
from paasd.state import read_standing
from paasd.state.backups import BackupRefused
from paasd.state.log.messages import AskNewest, encode
from tests.api.serving import serve
from tests.cli.typing_hands import paasd as typed
from tests.recovery.test_backups import PASSPHRASE


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for the names of sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@asynccontextmanager
async def served(config: Config, home: Path) -> AsyncIterator[tuple[Node, httpx.AsyncClient]]:
    """A node that is alone on this directory, without root, and its API as root."""
    layers, ports = Layers(home), Ports()
    take = ports.take
    address = "127.90.0.77"
    cluster = ClusterConfig(
        listen=address,
        address=address,
        peer_port=take(),
        tunnel_port=take(),
        etcd_client_port=take(),
        etcd_peer_port=take(),
    )
    router = RouterConfig(http_port=take(), https_port=take(), workers=1, uid=0)
    config = msgspec.structs.replace(config, data=str(home / "new"), cluster=cluster, router=router)
    nest = partial(open_nest, layers=layers, ports=ports, doomed=[home])
    substitutes = Substitutes(open_sandbox=nest, sync=False, runtime=home / "new" / "router")
    try:
        async with open_node(config, outlive=False, substitutes=substitutes) as node:
            transport = httpx.AsyncHTTPTransport(uds=str(node.doors.unix_path))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as api:
                yield node, api
    finally:
        ports.close()


async def is_answered(peers: TlsPeers, guid: str, identity: str) -> bool:
    """Whether the node at the other end takes this one for a member."""
    try:
        await peers.call(guid, "log.newest", encode(AskNewest(identity=identity)))
    except (PeerRefused, PeerUnreachable):
        return False
    return True


async def test_a_restored_node_serves_and_no_node_of_the_former_cluster_can_join_it(short: Path) -> None:
    async with paasd.testing.cluster(2) as old:
        space = (await old.api.get("/v3/spaces")).json()["resources"][0]["guid"]
        app = {"name": "hello", "environment_variables": {"SECRET": "of-this-app"}}
        place = {"relationships": {"space": {"data": {"guid": space}}}}
        made = await old.api.post("/v3/apps", json={**app, **place})
        assert made.status_code == 201, made.text
        file = short / "one.backup"
        answer = await old.api.post("/paasd/v1/backup", json={"passphrase": PASSPHRASE})
        assert answer.status_code == 200, answer.text
        file.write_bytes(answer.content)
        events = (await old.api.get("/v3/audit_events", params={"types": "audit.platform.backup"})).json()
        assert events["pagination"]["total_results"] == 1
        kept = (await old.api.get("/paasd/v1/audit/head")).json()

        config = msgspec.structs.replace(old.nodes[0].config, data=str(short / "new"))
        head = await trio.to_thread.run_sync(restore_node, config, file, PASSPHRASE, lambda _: None)
        standing = read_standing(short / "new" / "state.db")
        assert standing is not None
        assert (standing.kind, standing.index) == ("local", head.manifest.position + 1)
        assert standing.identity != head.manifest.log_identity
        for name in ("certificates/ca.pem", "certificates/ca.key", "root-key"):
            there, here = (old.nodes[0].directory / name), (short / "new" / name)
            assert here.read_bytes() == there.read_bytes()
            assert here.stat().st_mode & 0o777 == 0o600

        async with served(config, short) as (node, api):
            env = await api.get("/paasd/v1/spaces/main/dev/apps/hello/env")
            assert "of-this-app" in env.text, "sealed values open"
            # The note of the backup itself came after what is in it.
            found = (await api.get("/paasd/v1/audit/verify")).json()
            assert found["problem"] is None and found["events"] >= kept["sequence"] - 1, "the chain of events goes on"
            with node.context.database.read() as tx:
                states = {row.guid: row.state for row in tx.all(NodeRow)}
            assert states.pop(node.guid) == "READY"
            assert list(states.values()) == ["REMOVED", "REMOVED"]
            with pytest.raises(Unprocessable, match="was removed"):
                again = RegisterNode(guid=next(iter(states)), name="x", zone="z", memory_mb=1, disk_mb=1, cpus=1)
                await node.context.database.write(register_node, again)

            await node.membership.make_token("control", None, 600, 1, SYSTEM)
            former = MemberFiles(old.nodes[1].directory)
            assert node.membership.member.cluster_id != former.read().cluster_id
            where = ("127.90.0.77", node.membership.member.ports.peer)
            first = old.nodes[0].node
            addresses = {
                node.guid: where,
                first.guid: (first.membership.member.address, first.membership.member.ports.peer),
            }
            async with open_peers(PeerConfig(), former.read().guid, addresses.get, clock=time.time) as peers:
                peers.identify(former.identity())
                assert await is_answered(peers, first.guid, head.manifest.log_identity), "where it is a member"
                assert not await is_answered(peers, node.guid, standing.identity)


async def test_what_is_restored_is_a_new_directory_or_nothing(tmp_path: Path) -> None:
    old, file = await stopped_node(tmp_path), tmp_path / "one.backup"
    file.write_bytes(b"".join(backup_stopped(old, PASSPHRASE)))
    assert list((old / "snapshots").iterdir()) == [], "nothing is left of the copy"
    with pytest.raises(PaasdError, match="belongs to a node already"):
        await restore(old, file)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letters").write_text("dear")
    with pytest.raises(PaasdError, match="not empty"):
        await restore(tmp_path / "full", file)
    (tmp_path / "key").mkdir()
    (tmp_path / "key" / "root-key").write_text("another")
    with pytest.raises(PaasdError, match="of another node"):
        await restore(tmp_path / "key", file)
    assert (tmp_path / "key" / "root-key").read_text() == "another"
    cut = tmp_path / "cut.backup"
    cut.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(BackupRefused):
        await restore(tmp_path / "new", cut)
    assert list((tmp_path / "new").iterdir()) == []
    await restore(tmp_path / "new", file)
    assert {path.name for path in (tmp_path / "new").iterdir()} >= {"state.db", "root-key", "node-guid"}


async def test_the_commands_say_what_they_do_and_what_is_wrong(tmp_path: Path) -> None:
    old, file = await stopped_node(tmp_path), tmp_path / "one.backup"
    done = await typed("--data", str(old), "backup", str(file), PAASD_PASSPHRASE="short")
    assert (done.code, "needs 12" in done.err) == (1, True)
    done = await typed("--data", str(old), "backup", str(file), PAASD_PASSPHRASE=PASSPHRASE)
    assert done.code == 0, done.err
    assert "holds everything up to entry" in done.out
    assert file.stat().st_mode & 0o777 == 0o600
    done = await typed("--data", str(old), "backup", str(file), PAASD_PASSPHRASE=PASSPHRASE)
    assert (done.code, "--force" in done.err) == (2, True)
    new = str(tmp_path / "new")
    done = await typed("--data", new, "restore", str(file), PAASD_PASSPHRASE="not the right one")
    assert (done.code, "passphrase is not that of" in done.err) == (1, True)
    done = await typed("--data", new, "restore", str(file), PAASD_PASSPHRASE=PASSPHRASE)
    assert done.code == 0, done.err
    assert "holds the state of" in done.out
    done = await typed("--data", new, "recover", "--yes")
    assert (done.code, "no control node of a cluster" in done.err) == (1, True)


async def stopped_node(folder: Path) -> Path:
    """The data directory of a node that has been."""
    async with serve(folder / "old"):
        pass
    return folder / "old"


async def restore(directory: Path, file: Path) -> None:
    config = Config(data=str(directory))
    await trio.to_thread.run_sync(restore_node, config, file, PASSPHRASE, lambda _: None)
