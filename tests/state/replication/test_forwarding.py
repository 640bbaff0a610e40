"""Operations are run by the node that is hinted at; where that fails, here; and never twice."""

from pathlib import Path

import msgspec
import pytest
import trio

from paasd.errors import Forbidden, NotFound, OutcomeUnknown, PaasdError, TooLarge, Unavailable, Unprocessable
from paasd.state import Duplicate, Faults, MissingReference, Tx, operation
from paasd.state.replication.failures import Failure, describe, revive
from paasd.state.replication.forwarding import AVOID_S
from tests.state.replication.nodes import one_voter, three_voters
from tests.state.things import AddThing, Grow, Thing, add_thing, fill, grow, half_done


class Ask(msgspec.Struct):
    text: str


@operation("test.need")
def need(tx: Tx, arguments: Ask) -> Thing:
    return tx.need(Thing, arguments.text)


@operation("test.defect")
def defect(tx: Tx, arguments: Ask) -> None:
    raise KeyError(arguments.text)


async def test_an_error_of_an_operation_is_the_same_here_as_there(tmp_path: Path, autojump_clock: object) -> None:
    async with one_voter(tmp_path) as (_, [first, second]):
        await second.write(add_thing, AddThing("a"))
        with pytest.raises(Duplicate) as duplicate:
            await second.write(add_thing, AddThing("a"))
        assert (duplicate.value.table, duplicate.value.columns) == ("things", ("name",))
        with pytest.raises(NotFound, match="Thing not found") as missing:
            await second.write(need, Ask("nothing"))
        assert missing.value.label == "Thing"
        with pytest.raises(Unprocessable, match="changed my mind"):
            await second.write(half_done, AddThing("b"))
        with pytest.raises(TooLarge, match=r"test\.fill changes"):
            await second.write(fill, Grow("a", by=1100))
        with pytest.raises(PaasdError, match=r"test\.defect failed: KeyError"):
            await second.write(defect, Ask("secret"))
        assert first.index == 2


@pytest.mark.parametrize(
    "error",
    [
        Duplicate("apps", ("name", "space_guid")),
        MissingReference("apps"),
        NotFound("App"),
        NotFound("App", "no app here"),
        OutcomeUnknown("ask again", "r1"),
        Unavailable("later"),
    ],
)
def test_an_error_survives_the_way(error: PaasdError) -> None:
    sent = msgspec.msgpack.encode(describe(error))
    came = revive(msgspec.msgpack.decode(sent, type=Failure))
    assert type(came) is type(error)
    assert vars(came) == vars(error)
    assert (str(came), came.args) == (str(error), error.args)


def test_only_errors_of_paasd_are_made_of_what_came() -> None:
    came = revive(Failure(("os:system", "builtins:KeyboardInterrupt", "paasd.errors:Forbidden"), {"detail": "no"}))
    assert type(came) is Forbidden
    newer = revive(Failure(("paasd.new:Shiny", "paasd.errors:NotFound"), {"detail": "gone", "label": "App"}))
    assert (type(newer), str(newer)) == (NotFound, "gone")
    assert type(revive(Failure(("builtins:SystemExit",), {}))) is PaasdError


async def test_a_node_that_writes_for_all_and_is_gone_costs_a_moment_and_nothing_else(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with three_voters(tmp_path, followers=1) as (cluster, databases, _):
        await databases[3].write(add_thing, AddThing("a"))
        cluster.isolate("n0")
        began = trio.current_time()
        assert [await databases[number].write(grow, Grow("a")) for number in (1, 2, 3, 1)] == [0, 1, 2, 3]
        assert trio.current_time() - began < 7, "each node found out once"
        assert await databases[3].write(grow, Grow("a")) == 4
        cluster.heal()
        await trio.sleep(AVOID_S)
        assert await databases[3].write(grow, Grow("a")) == 5
        assert databases[0].index == databases[3].index, "it was run there again"


async def test_an_answer_that_is_lost_is_no_second_write(tmp_path: Path, autojump_clock: object) -> None:
    """The node ran the operation and could not say so: whoever runs it again finds what came of it."""
    async with three_voters(tmp_path) as (cluster, databases, _):
        await databases[0].write(add_thing, AddThing("a"))
        for number in range(5):
            cluster.network.cut("n0", "n1")
            assert await databases[1].write(grow, Grow("a")) == number
            cluster.network.heal("n0", "n1")
            await trio.sleep(1)
        with databases[1].read() as tx:
            assert tx.need(Thing, tx.all(Thing)[0].guid).size == 5


async def test_a_request_that_arrives_late_finds_the_stored_result(tmp_path: Path, autojump_clock: object) -> None:
    async with three_voters(tmp_path) as (cluster, databases, _):
        await databases[0].write(add_thing, AddThing("a"))
        cluster.network.delay_s = (3.0, 3.0)  # longer than a write waits for the other node
        assert await databases[1].write(grow, Grow("a")) == 0
        cluster.network.delay_s = (0.0, 0.0)
        await trio.sleep(10)
        assert await databases[1].write(grow, Grow("a")) == 1


async def test_hints_that_contradict_each_other_cost_conflicts_only(tmp_path: Path, autojump_clock: object) -> None:
    async with three_voters(tmp_path, followers=3) as (cluster, databases, log):
        await databases[0].write(add_thing, AddThing("a"))
        log.faults = Faults(delay_s=0.005)
        cluster.hints = {"n0": "n1", "n1": "n2", "n2": None, "n3": "n0", "n4": "n5", "n5": "n4"}
        counted: list[int] = []

        async def count(number: int) -> None:
            counted.append(await databases[number % 6].write(grow, Grow("a")))

        async with trio.open_nursery() as nursery:
            for number in range(120):
                nursery.start_soon(count, number)
        assert sorted(counted) == list(range(120))


async def test_without_the_only_node_that_has_the_log_the_outcome_is_unknown_and_the_same_id_tells(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with one_voter(tmp_path) as (cluster, [first, second]):
        await second.write(add_thing, AddThing("a"))
        cluster.network.cut("n0", "n1")
        with pytest.raises(OutcomeUnknown, match="ask again") as unknown:
            await second.write(grow, Grow("a"))
        cluster.heal()
        await trio.sleep(3)
        assert first.index == 3
        assert await second.write(grow, Grow("a"), request_id=unknown.value.request_id) == 0
        assert first.index == 3


async def test_a_worker_runs_what_is_about_its_own_rows_and_nothing_else(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with one_voter(tmp_path, followers=0) as (cluster, [first]), cluster.node("w1", role="worker") as worker:
        await first.write(add_thing, AddThing("mine"))
        await first.write(add_thing, AddThing("yours"))
        cluster.own = {"mine": "w1", "yours": "w2"}
        assert await worker.write(grow, Grow("mine")) == 0
        with pytest.raises(Forbidden, match="is a worker"):
            await worker.write(grow, Grow("yours"))
        with pytest.raises(Forbidden, match="is a worker"):
            await worker.write(add_thing, AddThing("b"))
        assert cluster.refused == [("w1", "test.grow"), ("w1", "test.add_thing")]
        assert first.index == 4


async def test_a_worker_may_not_append_by_itself(tmp_path: Path, autojump_clock: object) -> None:
    async with three_voters(tmp_path) as (cluster, databases, log), cluster.node("w1", role="worker") as worker:
        await databases[0].write(add_thing, AddThing("a"))
        cluster.hint = None
        before = log.newest
        with pytest.raises(Unavailable, match="nothing was changed"):
            await worker.write(grow, Grow("a"))
        assert log.newest == before
