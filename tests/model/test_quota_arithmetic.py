"""What a quota says, as arithmetic: growth that does not fit is refused, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st

from paasd.model import Limits
from paasd.model.quotas.arithmetic import NOTHING, Change, Demand, Scope, Usage, refusals, sentence, task_refusals

DEMANDS = st.one_of(
    st.just(NOTHING),
    st.builds(
        Demand,
        instances=st.integers(0, 4),
        memory_mb=st.integers(1, 64),
        disk_mb=st.integers(1, 64),
        log_rate_limit_bytes=st.integers(-1, 8),
    ),
)
CHANGES = st.lists(st.builds(Change, DEMANDS, DEMANDS), min_size=1, max_size=4)


def scope_of(limits: Limits, others: int, changes: list[Change], level: str = "organization") -> Scope:
    """A place where others use `others` of everything, and the changes have been made."""
    now = [change.after for change in changes]
    used = Usage(
        memory_mb=others + sum(one.memory_in_all_mb for one in now),
        disk_mb=others + sum(one.disk_in_all_mb for one in now),
        instances=others + sum(one.instances for one in now),
        log_rate_bytes=others + sum(one.log_rate_in_all_bytes for one in now),
    )
    return Scope(level=level, name="o", limits=limits, used=used)


@given(CHANGES, st.integers(0, 64), st.integers(0, 128))
def test_memory_is_refused_just_when_it_grows_beyond_the_limit(changes: list[Change], others: int, limit: int) -> None:
    scope = scope_of(Limits(total_memory_in_mb=limit), others, changes)
    before = others + sum(change.before.memory_in_all_mb for change in changes)
    after = scope.used.memory_mb
    expected = [("memory", "quota_exceeded")] if after > limit and after > before else []
    assert refusals([scope], changes) == expected


@given(CHANGES, st.integers(0, 64))
def test_without_limits_everything_fits(changes: list[Change], others: int) -> None:
    assert refusals([scope_of(Limits(), others, changes)], changes) == []


@given(DEMANDS, st.integers(0, 10), st.integers(0, 10))
def test_what_stays_as_it_is_or_shrinks_is_never_refused(demand: Demand, limit: int, others: int) -> None:
    """Whatever the limits are by now."""
    tight = Limits(
        total_memory_in_mb=limit,
        per_process_memory_in_mb=limit,
        total_disk_in_mb=limit,
        per_process_disk_in_mb=limit,
        total_instances=limit,
        log_rate_limit_in_bytes_per_second=limit,
    )
    for after in (demand, NOTHING):
        changes = [Change(demand, after)]
        scopes = [scope_of(tight, others, changes, level) for level in ("space", "organization")]
        assert refusals(scopes, changes) == []


@given(st.integers(1, 64), st.integers(0, 64))
def test_one_instance_is_refused_just_when_it_is_too_large(memory_mb: int, limit: int) -> None:
    for instances, refused in ((0, False), (1, memory_mb > limit)):
        changes = [Change(NOTHING, Demand(instances=instances, memory_mb=memory_mb))]
        scope = scope_of(Limits(per_process_memory_in_mb=limit), 0, changes, "space")
        assert bool(refusals([scope], changes)) is refused


def test_what_is_wrong_with_one_field_stands_together() -> None:
    found = [("memory", "quota_exceeded"), ("disk", "quota_exceeded"), ("memory", "instance_memory_limit_exceeded")]
    text = "memory quota_exceeded, memory instance_memory_limit_exceeded, disk quota_exceeded"
    assert sentence(found) == text


def test_a_task_is_refused_in_words_of_its_own() -> None:
    task = Demand(instances=1, memory_mb=64, disk_mb=64, log_rate_limit_bytes=-1)
    limits = Limits(
        total_memory_in_mb=63,
        per_process_memory_in_mb=63,
        total_disk_in_mb=63,
        log_rate_limit_in_bytes_per_second=5,
        per_app_tasks=0,
    )
    scope = Scope(level="space", name="dev", limits=limits, used=Usage(memory_mb=64, disk_mb=64, tasks=1))
    assert sentence(task_refusals([scope], task)) == (
        "memory_in_mb exceeds space memory quota, memory_in_mb exceeds space instance memory quota, "
        "disk_in_mb exceeds space disk quota, log_rate_limit cannot be unlimited in space 'dev'., "
        "app_task_limit quota exceeded"
    )
