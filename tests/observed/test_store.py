import msgspec
import trio
import trio.testing

from paasd.observed import InstanceFact, Observed, Usage

FACT = InstanceFact(
    instance_guid="i1",
    epoch=2,
    node_guid="n1",
    app_guid="a1",
    process_guid="p1",
    process_type="web",
    index=0,
    state="STARTING",
    since=1.0,
)
USAGE = Usage(cpu_fraction=0.5, memory_bytes=1, disk_bytes=2, log_bytes_per_s=0.0, at=3.0)


async def test_a_watch_is_woken_once_for_what_was_there_before_it_and_once_for_many_changes() -> None:
    observed = Observed()
    async with observed.watch() as watch:
        with trio.fail_after(10):
            await watch.wait()
        for index in range(3):
            observed.put(msgspec.structs.replace(FACT, index=index))
        with trio.fail_after(10):
            await watch.wait()
        with trio.move_on_after(0.02) as second:
            await watch.wait()
        assert second.cancelled_caught


async def test_the_same_fact_again_and_usage_wake_nobody_while_a_drop_does() -> None:
    observed = Observed()
    observed.put(FACT)
    async with observed.watch() as watch:
        await watch.wait()
        observed.put(FACT)
        observed.put_usage("i1", USAGE)
        with trio.move_on_after(0.02) as quiet:
            await watch.wait()
        assert quiet.cancelled_caught
        observed.drop("i1")
        with trio.fail_after(10):
            await watch.wait()
    assert observed.instances() == []


def test_usage_is_kept_with_the_fact_and_ignored_for_an_unknown_instance() -> None:
    observed = Observed()
    observed.put_usage("i1", USAGE)
    assert observed.get("i1") is None
    observed.put(FACT)
    observed.put_usage("i1", USAGE)
    fact = observed.get("i1")
    assert fact is not None
    assert fact.usage == USAGE


def test_an_older_epoch_cannot_replace_a_newer_fact() -> None:
    observed = Observed()
    observed.put(FACT)
    observed.put(msgspec.structs.replace(FACT, epoch=1, state="CRASHED"))
    assert observed.get("i1") == FACT
    newer = msgspec.structs.replace(FACT, epoch=3, state="RUNNING")
    observed.put(newer)
    assert observed.get("i1") == newer


def test_instances_are_ordered_by_process_type_and_index_and_filtered_by_app() -> None:
    observed = Observed()
    for guid, app, kind, index in (
        ("x", "a1", "worker", 0),
        ("y", "a1", "web", 1),
        ("z", "a1", "web", 0),
        ("o", "a2", "web", 0),
    ):
        observed.put(msgspec.structs.replace(FACT, instance_guid=guid, app_guid=app, process_type=kind, index=index))
    assert [fact.instance_guid for fact in observed.instances("a1")] == ["z", "y", "x"]
    assert len(observed.instances()) == 4
