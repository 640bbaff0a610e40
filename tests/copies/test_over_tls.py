"""The same over real connections: what a network of one process forgives, TLS between nodes does not."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from paasd.blobs import Blobs, open_blobs
from paasd.config import BlobsConfig, LogsConfig
from paasd.copies import Copies, Place, findings
from paasd.copies.findings import serve_state
from paasd.logs import Line, LogNode, Logs, Query, open_logs, open_other_nodes
from paasd.peer import TlsPeers
from tests.disks import small_disk_at
from tests.peer.hands import Town, guid_of

from .world import QUICK, some

ZONES = {1: "a", 2: "b", 3: "c"}


class Nodes:
    def __init__(self) -> None:
        self.peers: dict[int, TlsPeers] = {}
        self.blobs: dict[int, Blobs] = {}
        self.copies: dict[int, Copies] = {}
        self.logs: dict[int, Logs] = {}

    def places(self) -> list[Place]:
        return [Place(guid=guid_of(number), zone=zone) for number, zone in ZONES.items()]

    def others(self, number: int) -> list[LogNode]:
        return [LogNode(guid=guid_of(one), name=f"node{one}") for one in ZONES if one != number]

    def holders(self, sha256: str) -> list[int]:
        return [number for number, blobs in self.blobs.items() if blobs.has(sha256)]

    async def store(self, number: int, data: bytes) -> str:
        async with self.blobs[number].writer(1 << 30) as writer:
            await writer.write(data)
            return (await writer.commit()).sha256


@asynccontextmanager
async def open_nodes(directory: Path, roots: dict[int, Path] | None = None) -> AsyncIterator[Nodes]:
    nodes, town = Nodes(), Town(directory / "certificates")
    logs_config = LogsConfig(write_delay_s=0.001, nodes_timeout_s=2.0, nodes_merge_s=0.02)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        for number in ZONES:
            root = (roots or {}).get(number, directory / f"blobs{number}")
            blobs = nodes.blobs[number] = await enter(open_blobs(root, BlobsConfig(buffer_bytes=65_536)))
            logs = nodes.logs[number] = await enter(open_logs(logs_config, directory / f"logs{number}", time.time))
            peers = nodes.peers[number] = await enter(town.node(number))
            blobs.elsewhere = copies = nodes.copies[number] = Copies(QUICK, blobs, peers, nodes.places)
            copies.serve()
            serve_state(copies)

            def others(number: int = number) -> list[LogNode]:
                return nodes.others(number)

            await enter(open_other_nodes(logs, peers, others))
        yield nodes


async def test_blobs_are_copied_and_fetched(tmp_path: Path) -> None:
    async with open_nodes(tmp_path) as nodes:
        for size_bytes in (0, 1000, 6_000_000):
            data = some(size_bytes)
            sha256 = await nodes.store(1, data)
            assert len(nodes.holders(sha256)) == 2
            for number in ZONES:
                assert (await nodes.blobs[number].ensure(sha256)).read_bytes() == data
        assert await findings(nodes.copies[1]) == []


async def test_a_refusal_for_want_of_space_comes_through_and_another_node_takes_it(tmp_path: Path) -> None:
    with small_disk_at(tmp_path / "small", "4m") as small:
        async with open_nodes(tmp_path, {2: small}) as nodes:
            for _ in range(3):
                assert nodes.holders(await nodes.store(1, some(6_000_000))) == [1, 3]


async def test_a_damaged_copy_comes_through_as_such_and_another_is_taken(tmp_path: Path) -> None:
    async with open_nodes(tmp_path) as nodes:
        data = some()
        sha256 = await nodes.store(1, data)
        (other,) = set(nodes.holders(sha256)) - {1}
        (third,) = set(ZONES) - {1, other}
        path = nodes.blobs[1].path(sha256)
        path.chmod(0o600)
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert (await nodes.blobs[third].ensure(sha256)).read_bytes() == data
        assert set(nodes.holders(sha256)) >= {other, third}


async def test_a_node_whose_connections_end_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    async with open_nodes(tmp_path) as nodes:
        data = some(20_000_000)
        sha256 = await nodes.store(1, data)
        (third,) = set(ZONES) - set(nodes.holders(sha256))
        nodes.blobs[1].path(sha256).unlink()
        nodes.peers[1]._kinds.streams.clear()
        with trio.fail_after(20):
            assert (await nodes.blobs[third].ensure(sha256)).read_bytes() == data


def line(number: int, payload: bytes) -> Line:
    return Line(source_id="app", source_type="APP/PROC/WEB", timestamp_ns=number, payload=payload)


async def test_lines_are_read_followed_and_settled(tmp_path: Path) -> None:
    async with open_nodes(tmp_path) as nodes:
        for number in range(300):
            nodes.logs[number % 3 + 1].append(line(number, b"%d " % number + b"x" * 20_000))
        found = await nodes.logs[1].read_all(Query(source_id="app", limit=1000, flush=True))
        assert [one.timestamp_ns for one in found if one.tags == {}] == list(range(300))
        followed: list[int] = []
        async with nodes.logs[1].follow_all("app") as following, trio.open_nursery() as nursery:

            async def read() -> None:
                async for one in following:
                    followed.append(one.timestamp_ns)

            nursery.start_soon(read)
            for number in range(1000, 1300):
                nodes.logs[number % 3 + 1].append(line(number, b"y" * 20_000))
            await following.settle(timeout_s=20)
            assert sorted(followed) == list(range(1000, 1300))
            nursery.cancel_scope.cancel()
