"""Lines of several nodes, put together."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import msgspec
import pytest
import trio

from paasd.config import LogsConfig
from paasd.logs import Following, Line, LogNode, Logs, Query, open_logs, open_other_nodes
from paasd.logs.following import _Passed
from paasd.logs.wire import FOLLOW, READ
from paasd.peer import MemoryNetwork, Peer, PeerRefused
from paasd.peer.interface import Role

CONFIG = LogsConfig(write_delay_s=0.001, nodes_timeout_s=0.3, nodes_merge_s=0.02)
BASE_NS = 1_000_000_000


class Nodes:
    def __init__(self) -> None:
        self.network = MemoryNetwork(Random(1))
        self.logs: dict[str, Logs] = {}
        self.away: set[str] = set()
        self.members: set[str] = set()

    def others(self, guid: str) -> list[LogNode]:
        return [
            LogNode(guid=other, name=other.upper(), reachable=other not in self.away)
            for other in sorted(self.members)
            if other != guid
        ]

    async def take(self, guid: str, *lines: Line) -> None:
        for line in lines:
            self.logs[guid].append(line)
        await self.logs[guid].flush()

    def cut_off(self, guid: str) -> None:
        for other in self.logs:
            self.network.cut(guid, other)
            self.network.cut(other, guid)

    def heal(self, guid: str) -> None:
        for other in self.logs:
            self.network.heal(guid, other)
            self.network.heal(other, guid)


@asynccontextmanager
async def open_nodes(
    directory: Path, roles: dict[str, Role], config: LogsConfig = CONFIG, others: LogsConfig | None = None
) -> AsyncIterator[Nodes]:
    """Node a has `config`, and so have the others unless they have their own."""
    nodes = Nodes()
    async with AsyncExitStack() as stack:
        for guid, role in roles.items():
            logs = await stack.enter_async_context(
                open_logs(config if guid == "a" else others or config, directory / guid, time.time)
            )
            peers = nodes.network.add(guid, role)
            nodes.logs[guid] = logs
            nodes.members.add(guid)

            def known(guid: str = guid) -> list[LogNode]:
                return nodes.others(guid)

            await stack.enter_async_context(open_other_nodes(logs, peers, known, asks=role == "control"))
        yield nodes


THREE: dict[str, Role] = {"a": "control", "b": "worker", "c": "control"}


def line(number: int, text: str = "", *, source: str = "app", kind: str = "APP/PROC/WEB", instance: str = "0") -> Line:
    payload = (text or f"line {number}").encode()
    return Line(
        source_id=source, instance_id=instance, source_type=kind, timestamp_ns=BASE_NS + number, payload=payload
    )


def texts(lines: list[Line]) -> list[str]:
    return [one.payload.decode() for one in lines]


async def test_lines_of_all_nodes_come_in_the_order_of_their_times_and_within_the_limit(tmp_path: Path) -> None:
    async with open_nodes(tmp_path, THREE) as nodes:
        for number in range(30):
            await nodes.take("abc"[number % 3], line(number))
            await nodes.take("abc"[number % 3], line(number, "another app", source="other"))
        logs = nodes.logs["a"]
        assert texts(await logs.read_all(Query(source_id="app"))) == [f"line {number}" for number in range(30)]
        assert texts(await logs.read_all(Query(source_id="app", limit=7))) == [f"line {number}" for number in range(7)]
        newest = await logs.read_all(Query(source_id="app", limit=7, descending=True))
        assert texts(newest) == [f"line {number}" for number in range(29, 22, -1)]
        some = await logs.read_all(Query(source_id="app", start_ns=BASE_NS + 10, end_ns=BASE_NS + 13))
        assert texts(some) == ["line 10", "line 11", "line 12"]
        assert await nodes.logs["c"].read_all(Query(source_id="app")) == await logs.read_all(Query(source_id="app"))


@pytest.mark.parametrize("descending", [False, True])
async def test_more_than_a_message_holds_is_asked_for_in_parts_and_nothing_comes_twice(
    tmp_path: Path, descending: bool
) -> None:
    async with open_nodes(tmp_path, {"a": "control", "b": "worker"}) as nodes:
        # Five lines share each time, so that parts end in the middle of one.
        given = [line(number // 5, f"{number:03} " + "x" * 50_000) for number in range(123)]
        await nodes.take("b", *given)
        found = await nodes.logs["a"].read_all(Query(source_id="app", limit=1000, descending=descending))
        assert sorted(texts(found)) == texts(given)
        times = [one.timestamp_ns for one in found]
        assert times == sorted(times, reverse=descending)
        assert len(await nodes.logs["a"].read_all(Query(source_id="app", limit=100, descending=descending))) == 100


async def test_only_source_types_that_were_asked_for_come_from_elsewhere(tmp_path: Path) -> None:
    async with open_nodes(tmp_path, {"a": "control", "b": "worker"}) as nodes:
        await nodes.take("b", line(1, "app"), line(2, "staging", kind="STG"))
        assert texts(await nodes.logs["a"].read_all(Query(source_id="app", source_types=["APP"]))) == ["app"]


async def test_what_is_not_stored_yet_comes_when_the_question_says_so(tmp_path: Path) -> None:
    slow = msgspec.structs.replace(CONFIG, write_delay_s=0.2)
    async with open_nodes(tmp_path, {"a": "control", "b": "worker"}, slow) as nodes:
        nodes.logs["b"].append(line(1))
        assert texts(await nodes.logs["a"].read_all(Query(source_id="app"))) == []
        assert texts(await nodes.logs["a"].read_all(Query(source_id="app", flush=True))) == ["line 1"]


async def test_a_node_that_does_not_answer_is_left_out_and_said_once_in_ten_seconds(tmp_path: Path) -> None:
    async with open_nodes(tmp_path, THREE) as nodes:
        await nodes.take("a", line(1))
        await nodes.take("b", line(2))
        await nodes.take("c", line(3))
        nodes.cut_off("b")
        with trio.fail_after(2):
            found = await nodes.logs["a"].read_all(Query(source_id="app"))
        assert texts(found)[:2] == ["line 1", "line 3"]
        (notice,) = found[2:]
        assert notice.source_type == "LGR" and notice.tags == {"missing_node": "b"} and b"node B" in notice.payload
        again = await nodes.logs["a"].read_all(Query(source_id="app", start_ns=notice.timestamp_ns + 1))
        assert [one for one in again if one.timestamp_ns - notice.timestamp_ns < 10_000_000_000] == []
        nodes.members.discard("b")  # it is dead: nobody waits for it, and its lines are gone
        assert texts(await nodes.logs["a"].read_all(Query(source_id="app"))) == ["line 1", "line 3"]


async def test_a_node_that_is_known_to_be_away_is_not_waited_for(tmp_path: Path) -> None:
    patient = msgspec.structs.replace(CONFIG, nodes_timeout_s=30)
    async with open_nodes(tmp_path, THREE, patient) as nodes:
        nodes.cut_off("b")
        nodes.away.add("b")
        with trio.fail_after(5):
            (notice,) = await nodes.logs["a"].read_all(Query(source_id="app"))
            assert notice.tags == {"missing_node": "b"}
            async with nodes.logs["a"].follow_all("app") as following:
                assert (await anext(following)).tags == {"missing_node": "b"}


async def test_workers_may_not_read_the_lines_of_others(tmp_path: Path) -> None:
    async with open_nodes(tmp_path, THREE) as nodes:
        await nodes.take("a", line(1))
        assert texts(await nodes.logs["b"].read_all(Query(source_id="app"))) == []
        with pytest.raises(PeerRefused):
            await nodes.network.peers["b"].call("a", READ, msgspec.msgpack.encode(Query(source_id="app")))
        with pytest.raises(PeerRefused):
            async with nodes.network.peers["b"].stream("a", FOLLOW, b""):
                pass


async def test_the_extent_of_sources_is_that_over_all_nodes(tmp_path: Path) -> None:
    async with open_nodes(tmp_path, THREE) as nodes:
        await nodes.take("a", line(5))
        await nodes.take("b", line(3), line(9))
        await nodes.take("c", line(4, source="second"))
        found = await nodes.logs["a"].extent_all(["app", "second", "third"])
        assert found == {"app": (BASE_NS + 3, BASE_NS + 9), "second": (BASE_NS + 4, BASE_NS + 4)}


async def test_looking_for_the_extent_of_many_sources_lets_others_work_meanwhile(tmp_path: Path) -> None:
    turns = 0

    async def work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with open_nodes(tmp_path, THREE) as nodes, trio.open_nursery() as nursery:
        await nodes.take("a", line(5))
        nursery.start_soon(work)
        assert list(await nodes.logs["a"].extent_all(["app", *map(str, range(100))])) == ["app"]
        assert turns > 100
        nursery.cancel_scope.cancel()


async def collect(following: Following, wanted: int) -> list[str]:
    with trio.fail_after(10):
        return [(await anext(following)).payload.decode() for _ in range(wanted)]


async def test_lines_of_all_nodes_are_followed_from_the_moment_the_block_is_entered(tmp_path: Path) -> None:
    async with open_nodes(tmp_path, THREE) as nodes:
        await nodes.take("b", line(0, "before"))
        async with nodes.logs["a"].follow_all("app") as following:
            for number in range(1, 31):
                await nodes.take("abc"[number % 3], line(number))
            assert sorted(await collect(following, 30)) == sorted(f"line {number}" for number in range(1, 31))


async def test_lines_that_come_together_are_put_in_order(tmp_path: Path) -> None:
    async with open_nodes(tmp_path, THREE) as nodes, nodes.logs["a"].follow_all("app") as following:
        for number in (9, 8, 7, 6, 5, 4, 3, 2, 1):
            nodes.logs["abc"[number % 3]].append(line(number))
        for logs in nodes.logs.values():
            await logs.flush()
        await trio.sleep(0.01)
        assert await collect(following, 9) == [f"line {number}" for number in range(1, 10)]


async def test_settling_brings_every_line_that_was_taken_anywhere_before(tmp_path: Path) -> None:
    slow = msgspec.structs.replace(CONFIG, write_delay_s=0.1)
    async with open_nodes(tmp_path, THREE, others=slow) as nodes:
        for round_ in range(5):
            found: list[str] = []
            async with nodes.logs["a"].follow_all("app") as following, trio.open_nursery() as nursery:

                async def read(following: Following = following, found: list[str] = found) -> None:
                    async for one in following:
                        found.append(one.payload.decode())

                nursery.start_soon(read)
                for number in range(40):
                    nodes.logs["abc"[number % 3]].append(line(number))
                with trio.fail_after(5):
                    await following.settle(timeout_s=10)
                assert len(found) == 40, round_
                nursery.cancel_scope.cancel()


async def test_settling_without_other_nodes_brings_every_line_too(tmp_path: Path) -> None:
    async with open_logs(CONFIG, tmp_path, time.time) as logs:
        found: list[Line] = []
        async with logs.follow_all("app") as following, trio.open_nursery() as nursery:

            async def read() -> None:
                async for one in following:
                    found.append(one)

            nursery.start_soon(read)
            for number in range(40):
                logs.append(line(number))
            with trio.fail_after(5):
                await following.settle(timeout_s=10)
            assert len(found) == 40
            nursery.cancel_scope.cancel()


async def test_a_node_that_breaks_off_is_said_and_caught_up_with_and_nothing_comes_twice(tmp_path: Path) -> None:
    async with open_nodes(tmp_path, {"a": "control", "b": "worker"}) as nodes:
        now = int(time.time() * 1e9) - BASE_NS
        async with nodes.logs["a"].follow_all("app") as following:
            # Equal lines at the same time are two lines.
            await nodes.take("b", line(now, "same"), line(now, "same"))
            assert await collect(following, 2) == ["same", "same"]
            nodes.cut_off("b")
            await nodes.take("b", line(now + 1, "lost on the way"))
            assert await collect(following, 1) == ["Log lines of node B are missing here: it does not answer"]
            await nodes.take("b", line(now + 2, "while away"), line(now + 2, "while away"))
            nodes.heal("b")
            assert await collect(following, 3) == ["lost on the way", "while away", "while away"]
            await nodes.take("b", line(now + 3, "after"))
            assert await collect(following, 1) == ["after"]


def test_what_the_stream_and_the_store_both_bring_is_passed_on_as_often_as_it_is_there() -> None:
    passed = _Passed(0)
    assert [passed.take(one) for one in (line(1), line(2), line(2))] == [True, True, True]
    stored = [line(1), line(2), line(2), line(2), line(3)]
    assert passed.missed(stored) == [line(2), line(3)]
    # The stream was open before the store was read, so it may bring what the store had.
    assert [passed.take(one) for one in (line(2), line(3), line(3), line(4))] == [False, False, True, True]


async def test_a_node_that_joins_is_followed_and_one_that_goes_ends_nothing(tmp_path: Path) -> None:
    async with open_nodes(tmp_path, THREE) as nodes:
        nodes.members.discard("b")
        async with nodes.logs["a"].follow_all("app") as following:
            nodes.members.discard("c")
            nodes.members.add("b")
            found: list[str] = []
            with trio.fail_after(10):
                number = 0
                while "line" not in "".join(found):
                    number += 1
                    await nodes.take("b", line(number))
                    with trio.move_on_after(0.1):
                        found.append((await anext(following)).payload.decode())


async def test_the_iteration_ends_when_the_logs_of_this_node_close(tmp_path: Path) -> None:
    async with open_nodes(tmp_path, THREE) as nodes, nodes.logs["a"].follow_all("app") as following:
        nodes.logs["a"].end_followers()
        with trio.fail_after(5):
            assert [one async for one in following] == []


async def test_errors_of_who_follows_come_out_as_they_are(tmp_path: Path) -> None:
    async with open_nodes(tmp_path, THREE) as nodes:
        with pytest.raises(KeyError):
            async with nodes.logs["a"].follow_all("app"):
                raise KeyError


async def test_another_node_that_sends_something_else_counts_as_one_that_does_not_answer(tmp_path: Path) -> None:
    async with open_nodes(tmp_path, {"a": "control", "b": "worker"}) as nodes:

        async def nonsense(_peer: Peer, _body: bytes) -> bytes:
            return b"\xc1"

        nodes.network.peers["b"].serve(READ, nonsense)
        (notice,) = await nodes.logs["a"].read_all(Query(source_id="app"))
        assert notice.tags == {"missing_node": "b"}
