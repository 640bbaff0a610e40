"""A head that was kept elsewhere finds a chain that was made anew: of the platform, of an organization, in a file."""

from collections.abc import Callable

import pytest

from paasd.model.auditing import PLATFORM
from paasd.model.auditing.following import Follower, Head
from paasd.model.auditing.lines import check_lines, encode_event, encode_first, encode_last, place
from paasd.model.records import AuditChain, AuditEvent
from paasd.model.retention import ExpireRecords, expire_records
from paasd.state import Gt
from tests.model.seeding import Seed
from tests.model.test_audit_chain import checked, filled

Verdict = tuple[str | None, list[int]]
Verify = Callable[..., Verdict]


def of_rows(seed: Seed, scope: str) -> Verify:
    def verify(*heads: Head) -> Verdict:
        found = checked(seed.database, scope, *heads)
        return found.problem, found.unknown

    return verify


def of_a_file(seed: Seed, scope: str) -> Verify:
    def verify(*heads: Head) -> Verdict:
        with seed.database.read() as tx:
            chain = tx.need(AuditChain, scope)
            rows = tx.all(AuditEvent, Gt("sequence", 0), order=("sequence",))
        begins = Follower(chain.trimmed_sequence, chain.trimmed_hash)
        events = [row for row in rows if scope in (PLATFORM, row.organization_guid)]
        lines = [encode_first(scope, "", begins), *(encode_event(row, scope) for row in events)]
        lines.append(encode_last(len(events), Head(sequence=chain.sequence, hash=chain.hash)))
        found = check_lines(lines, heads)
        return found.problem, found.unknown

    return verify


def head_of(seed: Seed, scope: str, sequence: int) -> Head:
    with seed.database.read() as tx:
        [row] = [row for row in tx.all(AuditEvent) if place(row, scope)[0] == sequence and row.sequence]
    return Head(sequence=sequence, hash=place(row, scope)[1])


@pytest.mark.parametrize("where", [of_rows, of_a_file])
@pytest.mark.parametrize("whose", ["the platform's", "an organization's"])
async def test_a_wrong_head_is_a_problem_and_a_right_one_none(
    whose: str, where: Callable[[Seed, str], Verify], seed: Seed
) -> None:
    [first, *_] = await filled(seed, 1)
    scope = PLATFORM if whose == "the platform's" else first.guid
    verify = where(seed, scope)
    right = head_of(seed, scope, 1), head_of(seed, scope, 2)
    assert verify(*right) == (None, [])
    for sequence in (1, 2):
        wrong = Head(sequence=sequence, hash="0" * 64)
        for heads in ((wrong,), (wrong, *right), (*right, wrong)):
            problem, _ = verify(*heads)
            assert problem is not None and f"event {sequence} has another hash" in problem and wrong.hash in problem
    problem, _ = verify(*right, Head(sequence=5, hash="0" * 64))
    assert problem is not None and "5" in problem


@pytest.mark.parametrize("where", [of_rows, of_a_file])
@pytest.mark.parametrize("whose", ["the platform's", "an organization's"])
async def test_a_head_from_before_the_beginning_is_unknown_and_the_last_that_went_is_compared(
    whose: str, where: Callable[[Seed, str], Verify], seed: Seed
) -> None:
    [first, *_] = await filled(seed, 1)
    scope = PLATFORM if whose == "the platform's" else first.guid
    verify = where(seed, scope)
    old, last = head_of(seed, scope, 1), head_of(seed, scope, 2)
    times = ExpireRecords(jobs_before="2001-01-01T00:00:00Z", events_before="9999-01-01T00:00:00Z")
    await seed.database.write(expire_records, times)
    assert verify(old, last) == (None, [1])
    problem, _ = verify(Head(sequence=2, hash="0" * 64))
    assert problem is not None and "event 2 has another hash" in problem


async def test_a_head_of_a_chain_that_is_nowhere_is_a_problem(seed: Seed) -> None:
    assert checked(seed.database, "nowhere").problem is None
    assert checked(seed.database, "nowhere", Head(sequence=1, hash="0" * 64)).problem is not None
