"""Nobody changes, takes away, puts in or moves an audit event unnoticed, whatever they do to the database by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from paasd.model import AuditChain, AuditEvent, Organization
from paasd.model.arguments import SYSTEM, Actor
from paasd.model.auditing import PLATFORM
from paasd.model.auditing.chain import content, digest, link
from paasd.model.auditing.checking import Check, Checked
from paasd.model.auditing.following import Follower, Head
from paasd.model.auditing.lines import check_lines, encode_event, encode_first, encode_last
from paasd.model.organizations import CreateOrganization, UpdateOrganization, create_organization, update_organization
from paasd.model.retention import ExpireRecords, expire_records
from paasd.state import Database, InlineRunner, Operation, Tx, open_database
from tests.model.seeding import Seed

FROM = Actor(guid="u", type="user", name="ann", address="192.0.2.7", client="cf", request_id="r-1")


async def filled(seed: Seed, organizations: int = 3) -> list[Organization]:
    """Two events of each organization, one after the other."""
    made = []
    for number in range(organizations):
        wanted = CreateOrganization(name=f"org-{number}", actor=FROM)
        made.append(await seed.database.write(create_organization, wanted))
    for one in made:
        change = UpdateOrganization(organization_guid=one.guid, suspended=True, actor=FROM)
        await seed.database.write(update_organization, change)
    return made


def checked(database: Database, scope: str = PLATFORM, *heads: Head) -> Checked:
    check = Check(database.read, scope, heads)
    for _ in check.portions():
        pass
    return check.found


def by_hand(path: Path, *statements: str) -> None:
    """What somebody with the file does."""
    connection = apsw.Connection(str(path))
    try:
        for statement in statements:
            connection.execute(statement).fetchall()
            assert statement.startswith("CREATE") or connection.changes() > 0, statement
    finally:
        connection.close()


async def test_an_untouched_chain_fits_and_says_from_where_things_were_done(seed: Seed) -> None:
    [first, *_] = await filled(seed)
    found = checked(seed.database)
    assert (found.problem, found.events, found.first, found.sequence) == (None, 6, 1, 6)
    own = checked(seed.database, first.guid)
    assert (own.problem, own.events) == (None, 2)
    with seed.database.read() as tx:
        newest = tx.all(AuditEvent, order=("sequence",))[-1]
    assert (newest.address, newest.client, newest.request_id) == ("192.0.2.7", "cf", "r-1")
    assert (newest.hash, newest.organization_sequence) == (found.hash, 2)


CHANGED = "event 3 does not fit"
TAMPERED: dict[str, tuple[tuple[str, ...], str]] = {
    "another actor": (("UPDATE audit_events SET actor_name = 'eve' WHERE sequence = 3",), CHANGED),
    "another time": (("UPDATE audit_events SET created_at = '2001-01-01T00:00:00Z' WHERE sequence = 3",), CHANGED),
    "other data": (("UPDATE audit_events SET data = '{\"a\":1}' WHERE sequence = 3",), CHANGED),
    "another address": (("UPDATE audit_events SET address = '' WHERE sequence = 3",), CHANGED),
    "another hash": (("UPDATE audit_events SET hash = 'x' WHERE sequence = 3",), CHANGED),
    "one taken away": (("DELETE FROM audit_events WHERE sequence = 3",), "event 3 is missing"),
    "two taken away": (("DELETE FROM audit_events WHERE sequence IN (3, 4)",), "events 3 to 4 are missing"),
    "the first taken away": (("DELETE FROM audit_events WHERE sequence = 1",), "event 1 is missing"),
    "the last taken away": (("DELETE FROM audit_events WHERE sequence = 6",), "event 6 is missing"),
    "all taken away": (("DELETE FROM audit_events",), "events 1 to 6 are missing"),
    "two exchanged": (("UPDATE audit_events SET sequence = 7 - sequence WHERE sequence IN (3, 4)",), CHANGED),
    "one put in again": (
        (
            "CREATE TEMP TABLE one AS SELECT * FROM audit_events WHERE sequence = 3",
            "UPDATE one SET guid = 'new'",
            "INSERT INTO audit_events SELECT * FROM one",
        ),
        "event 3 stands in the chain more than once",
    ),
    "one put in at the end": (
        (
            "CREATE TEMP TABLE one AS SELECT * FROM audit_events WHERE sequence = 6",
            "UPDATE one SET guid = 'new'",
            "INSERT INTO audit_events SELECT * FROM one",
        ),
        "event 6 stands in the chain more than once",
    ),
    "one put in as an old one": (
        (
            "CREATE TEMP TABLE one AS SELECT * FROM audit_events WHERE sequence = 3",
            "UPDATE one SET guid = 'new', sequence = 0",
            "INSERT INTO audit_events SELECT * FROM one",
        ),
        "1 events have no number",
    ),
    "the end taken away, the head moved back without its hash": (
        (
            "DELETE FROM audit_events WHERE sequence = 6",
            "UPDATE audit_chains SET sequence = 5 WHERE scope = 'platform'",
        ),
        "the head of the chain has another hash than event 5",
    ),
    "the beginning taken away as if it were old": (
        (
            "UPDATE audit_chains SET trimmed_sequence = 2,"
            " trimmed_hash = (SELECT hash FROM audit_events WHERE sequence = 2) WHERE scope = 'platform'",
            "UPDATE audit_chains SET trimmed_sequence = 1, trimmed_hash = (SELECT organization_hash FROM audit_events"
            " WHERE organization_guid = scope AND sequence <= 2) WHERE scope IN (SELECT organization_guid"
            " FROM audit_events WHERE sequence <= 2)",
            "DELETE FROM audit_events WHERE sequence <= 2",
        ),
        "took away old events only up to event 0",
    ),
    "the head taken away": (("DELETE FROM audit_chains WHERE scope = 'platform'",), "the head of the chain is missing"),
    "the head of an organization taken away": (
        ("DELETE FROM audit_chains WHERE scope <> 'platform'",),
        "the head of the chain of organization",
    ),
    "the head of an organization changed": (
        ("UPDATE audit_chains SET hash = 'x' WHERE scope <> 'platform'",),
        "the head of its chain was changed",
    ),
    "a place in the chain of an organization changed": (
        ("UPDATE audit_events SET organization_sequence = 9 WHERE sequence = 4",),
        "events 2 to 8 are missing",
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
async def test_each_way_of_tampering_is_found_and_named(how: str, seed: Seed) -> None:
    await filled(seed)
    assert checked(seed.database).problem is None
    statements, says = TAMPERED[how]
    by_hand(seed.database.path, *statements)
    problem = checked(seed.database).problem
    assert problem is not None and says in problem


async def test_what_is_appended_after_a_change_does_not_hide_it(seed: Seed) -> None:
    await filled(seed)
    by_hand(seed.database.path, "DELETE FROM audit_events WHERE sequence = 6")
    await seed.database.write(create_organization, CreateOrganization(name="more", actor=SYSTEM))
    assert checked(seed.database).problem == "event 6 is missing"


async def test_a_chain_made_anew_fits_and_is_found_by_a_head_that_was_kept(seed: Seed) -> None:
    await filled(seed)
    kept = Head(sequence=4, hash=checked_hash(seed.database, 4))
    later = Head(sequence=9, hash="f" * 64)
    assert checked(seed.database, PLATFORM, kept).problem is None
    assert checked(seed.database, PLATFORM, later).problem == "events 7 to 9 are missing"
    by_hand(seed.database.path, "UPDATE audit_events SET actor_name = 'eve' WHERE sequence = 3", *made_anew(seed))
    assert checked(seed.database).problem is None, "nobody but who kept a head can tell"
    problem = checked(seed.database, PLATFORM, kept).problem
    assert problem is not None and "event 4 has another hash than the one that was kept elsewhere" in problem


def checked_hash(database: Database, sequence: int) -> str:
    with database.read() as tx:
        [event] = tx.all(AuditEvent, sequence=sequence)
    return event.hash


def made_anew(seed: Seed) -> list[str]:
    """Statements that give every event the hashes that it would have with `eve` in event 3."""
    statements, hashes = [], {PLATFORM: ""}
    with seed.database.read() as tx:
        for event in tx.all(AuditEvent, order=("sequence",)):
            fields = content(event)
            if event.sequence == 3:
                fields["actor_name"] = "eve"
            own = event.organization_guid or ""
            hashes[PLATFORM] = link(hashes[PLATFORM], event.sequence, digest(fields))
            hashes[own] = link(hashes.get(own, ""), event.organization_sequence, digest(fields))
            statements.append(
                f"UPDATE audit_events SET hash = '{hashes[PLATFORM]}', organization_hash = '{hashes[own]}'"
                f" WHERE sequence = {event.sequence}"
            )
    return statements + [f"UPDATE audit_chains SET hash = '{hash}' WHERE scope = '{s}'" for s, hash in hashes.items()]


async def test_old_events_go_and_the_rest_still_fits(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paasd.state.portions.ROWS", 4)
    [first, *_] = await filled(seed)
    never, ever = "2001-01-01T00:00:00Z", "9999-01-01T00:00:00Z"
    assert await seed.database.write(expire_records, ExpireRecords(jobs_before=never, events_before=never)) == 0
    assert await seed.database.write(expire_records, ExpireRecords(jobs_before=never, events_before=ever)) == 4
    found = checked(seed.database)
    assert (found.problem, found.first, found.events, found.sequence) == (None, 5, 3, 7)
    own = checked(seed.database, first.guid)
    assert (own.problem, own.first) == (None, 3)
    by_hand(seed.database.path, "DELETE FROM audit_events WHERE sequence = 5")
    assert checked(seed.database).problem == "event 5 is missing"


async def test_the_chain_of_an_organization_goes_with_its_last_event(seed: Seed) -> None:
    [first, *_] = await filled(seed, 1)
    await seed.database.write(deletion_of(first.guid), UpdateOrganization(organization_guid=first.guid, actor=SYSTEM))
    times = ExpireRecords(jobs_before="2001-01-01T00:00:00Z", events_before="9999-01-01T00:00:00Z")
    await seed.database.write(expire_records, times)
    with seed.database.read() as tx:
        assert [chain.scope for chain in tx.all(AuditChain)] == [PLATFORM]
    assert checked(seed.database).problem is None
    assert checked(seed.database, first.guid).events == 0


def deletion_of(guid: str) -> Operation[UpdateOrganization, None]:
    def gone(tx: Tx, args: UpdateOrganization) -> None:
        tx.delete(tx.need(Organization, args.organization_guid))

    return Operation("test.gone", 1, gone)


async def test_events_from_before_the_chain_are_counted(tmp_path: Path) -> None:
    options = {"runner": InlineRunner(), "sync": False}
    async with open_database(tmp_path, allowed_schema=lambda _: 6, **options) as database:
        await filled(Seed(database), 2)
        with database.read() as tx:
            assert {event.sequence for event in tx.all(AuditEvent)} == {0}, "a former release cannot chain them"
            assert {event.address for event in tx.all(AuditEvent)} == {""}
    async with open_database(tmp_path, **options) as database:
        await database.write(create_organization, CreateOrganization(name="more", actor=SYSTEM))
        found = checked(database)
        assert (found.problem, found.former, found.events) == (None, 4, 1)
        by_hand(database.path, "DELETE FROM audit_events WHERE rowid = 1")
        problem = checked(database).problem
        assert problem is not None and problem.startswith("3 events have no number")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda lines: lines, None),
        (lambda lines: lines[:-1], None),
        (lambda lines: [lines[0], lines[1].replace(b"org-0", b"org-9"), *lines[2:]], "event 1 does not fit"),
        (lambda lines: [*lines[:2], *lines[3:]], "event 2 is missing"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "event 1 is missing"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], "event 2 stands in the chain more than once"),
        (lambda lines: [*lines[:-2], lines[-1]], "event 6 is missing"),
        (lambda lines: [*lines, lines[1]], "line 9 comes after the last line"),
        (lambda lines: [lines[0], b"{}\n", *lines[1:]], "line 2 is no event"),
        (lambda lines: [lines[0], b"\xff{\n", *lines[1:]], "line 2 is no event"),
        (lambda lines: lines[1:], "the first line is not that of an export"),
        (lambda lines: [], "the file is empty"),
    ],
)
async def test_an_exported_file_is_checked_without_the_platform(
    harm: Callable[[list[bytes]], list[bytes]], says: str | None, seed: Seed
) -> None:

    await filled(seed)
    found = checked(seed.database)
    with seed.database.read() as tx:
        events = tx.all(AuditEvent, order=("sequence",))
    head = Head(sequence=found.sequence, hash=found.hash)
    lines = [encode_first(PLATFORM, "", Follower(0, "")), *(encode_event(event, PLATFORM) for event in events)]
    lines.append(encode_last(len(events), head))
    assert json.loads(lines[1])["target_name"] == "org-0"
    harmed = harm(lines)
    result = check_lines(harmed, (head,))
    if says is None:
        assert (result.problem, result.events, result.whole) == (None, 6, harmed == lines)
    else:
        assert result.problem is not None and says in result.problem
