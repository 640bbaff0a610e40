"""However long what somebody asked for, its audit event is short: it is kept for a year on every control node."""

import msgspec

from paasd.model import AuditEvent
from paasd.model.arguments import SYSTEM, Metadata
from paasd.model.auditing.bounding import DATA_LIMIT_BYTES, bounded
from paasd.model.events import record_event
from paasd.model.organizations import UpdateOrganization, update_organization
from paasd.state import Tx, operation
from tests.model.seeding import Seed


class Noted(msgspec.Struct):
    data: dict[str, dict[str, list[str]]]


@operation("test.note", version=1)
def note(tx: Tx, args: Noted) -> int:
    event = record_event(
        tx, "audit.test", SYSTEM, target_type="test", target_guid="t", target_name="t", data=dict(args.data)
    )
    return len(msgspec.json.encode(event.data))


async def test_long_annotations_are_cut_and_say_so(seed: Seed) -> None:
    organization, _, _ = await seed.place()
    asked = Metadata(annotations={f"key-{number}": "v" * 2000 for number in range(12)}, labels={"team": "a"})
    await seed.database.write(
        update_organization, UpdateOrganization(organization_guid=organization.guid, metadata=asked, actor=SYSTEM)
    )
    with seed.database.read() as tx:
        [event] = tx.all(AuditEvent, type="audit.organization.update")
    assert len(msgspec.json.encode(event.data)) <= DATA_LIMIT_BYTES
    assert event.data["shortened_from_bytes"] > 24_000
    assert event.data["metadata"]["labels"] == {"team": "a"}
    assert event.data["metadata"]["annotations"]["key-0"] == "v" * 120 + "..."


async def test_no_nesting_of_anything_gets_above_the_limit(seed: Seed) -> None:
    deep = {f"{a:0>300}": {f"{b:0>300}": ["x" * 300] * 50 for b in range(30)} for a in range(5)}
    assert await seed.database.write(note, Noted(deep)) <= DATA_LIMIT_BYTES


def test_what_is_short_stays_as_it_is_and_names_are_counted() -> None:
    short = {"before": {"name": "a"}, "after": {"name": "b" * 3000}}
    assert bounded(short) is short
    names = bounded({"environment_variables": [f"NAME_{number}" for number in range(40_000)]})
    assert names["environment_variables"][-1] == "... and 39960 more"
