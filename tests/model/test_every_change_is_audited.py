"""Every operation leaves an audit event of what it did, or stands here with the reason why it does not."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from msgspec.inspect import DictType, Field, ListType, StructType, Type, UnionType, type_info

import paasd.model
from paasd.model import AuditChain, AuditEvent
from paasd.model.signing import AddSigningKey, DropSigningKeys, add_signing_key, drop_signing_keys
from paasd.state import InlineRunner, Record, registered_operations, secret_columns
from tests.fresh import open_fresh
from tests.model.cases import CASES
from tests.model.seeding import Seed

INTERNAL: dict[str, str] = {
    "build.prolong": "a build that waits for its turn; its own events say what comes of it",
    "droplet.prolong_uploads": "an upload that waits for its turn; its own events say what comes of it",
    "build.assign": "which node stages; the build's own events say what comes of it",
    "deploy_token.note_use": "when a token was last used; what it did has events",
    "deletion.chunk": "carries out what a delete-request event said",
    "instances.place": "where instances run; what is wanted is in the events of the app",
    "instances.record_failures": "why some are not placed yet, shown with the instances",
    "instances.remove": "where instances run",
    "instances.remove_lost": "where instances run; the node's death has an event",
    "instances.retire": "where instances run",
    "invitation.note_sent": "that a mail server took it; the invitation itself has an event",
    "job.fail_overdue": "a job is how a client waits, and no thing of its own",
    "job.finish": "a job is how a client waits",
    "job.open": "a job is how a client waits",
    "job.open_finished": "a job is how a client waits",
    "layer.forget": "carries out what an event said that build caches are cleared",
    "layer.expire": "what builds found again and do no more; the next one makes its own",
    "lease.drop": "leases come and go by the second",
    "lease.expire": "leases come and go by the second",
    "lease.release": "leases come and go by the second",
    "lease.renew": "leases come and go by the second",
    "lease.running": "leases come and go by the second",
    "manifest.fail": "nothing was changed; the job says why",
    "network_policy.clean": "what was said of apps that are gone, each with an event",
    "node.advertise": "where a node is reached, said by itself at each start, which has an event",
    "node.change_vote": "a step on the way; its last one has an event",
    "node.offer_vote": "what a node could do, said by itself",
    "ssh.create_code": "a code is nothing before it is used, which has an event",
    "passcode.create": "a code is nothing before it is used, which has an event",
    "task.assign": "where a task runs; the task's own events say what comes of it",
    "task.expire": "ended tasks go when they are old; their events stay",
    "usage.expire": "usage events go when they are old",
    "usage.reseed": "usage events begun anew; that they were purged has an event",
    "work.take_over": "who goes on with what a lost node was doing; the node's death has an event",
}
"""Operations that change nothing that a person could have wanted, or that only carry out what an event said before."""


WITHOUT_CASE: dict[str, str] = {
    "signing_key.add": "seen below",
    "signing_key.drop": "seen below",
    "state.add_data_key": "the engine knows no events; who asks for it adds key.note_rotation",
    "state.reseal_data_keys": "as above",
    "state.change_root_key": "as above",
    "state.forget_requests": "answers for clients that ask twice",
}


@pytest.mark.parametrize("name", sorted(CASES))
async def test_it_records_what_it_did(name: str, tmp_path: Path) -> None:
    operation, prepare = CASES[name]
    async with open_fresh(tmp_path, runner=InlineRunner()) as database:
        arguments = await prepare(Seed(database))
        with database.read() as tx:
            before = {event.guid for event in tx.all(AuditEvent)}
        await database.write(operation, arguments)
        with database.read() as tx:
            made = [event for event in tx.all(AuditEvent) if event.guid not in before]
    assert bool(made) is (name not in INTERNAL), "record an event, or give the reason why there is none"
    for event in made:
        assert event.sequence > 0 and event.hash
        assert re.fullmatch(r"(audit|platform|app)\.[a-z_.-]+", event.type), event.type


async def test_signing_keys_are_audited(seed: Seed) -> None:
    key = AddSigningKey(kid="k", sealed_private="sealed", public_jwk={}, active_from=1, expires_at=2, after_kid=None)
    await seed.database.write(add_signing_key, key)
    await seed.database.write(drop_signing_keys, DropSigningKeys(expired_at=3))
    with seed.database.read() as tx:
        events = tx.all(AuditEvent, order=("sequence",))
    assert [event.type for event in events] == ["platform.signing_key.add", "platform.signing_key.drop"]
    assert "sealed" not in repr([event.data for event in events])


def test_there_is_no_other_operation() -> None:
    for module in pkgutil.walk_packages(paasd.__path__, "paasd."):
        if not module.name.startswith(("paasd.__main__", "paasd.buildpacks", "paasd.sandbox")):
            importlib.import_module(module.name)
    mine = {
        name
        for (name, _), operation in registered_operations().items()
        if operation.function.__module__.startswith("paasd.")
    }
    assert mine == set(CASES) | set(WITHOUT_CASE)
    assert set(INTERNAL) <= set(CASES)


LOOKS: Final = re.compile(r"secret|sealed|password|private|credential|command|_hash|environment|recovery")
COMMANDS: Final = {"Droplet.process_types"}
"""Columns that hold commands without looking so."""


def test_columns_that_look_secret_are_declared_so() -> None:
    records = [getattr(paasd.model, name) for name in paasd.model.__all__]
    rows = [one for one in records if issubclass(one, Record) and one not in (AuditEvent, AuditChain)]
    columns = {
        f"{one.__name__}.{field.name}": (field.name in secret_columns(one), {field.name, *named_within(field.type)})
        for one in rows
        for field in fields_of(one)
    }
    assert columns.keys() >= COMMANDS
    found = {
        name
        for name, (declared, names) in columns.items()
        if not declared and (name in COMMANDS or any(LOOKS.search(one) for one in names))
    }
    assert found == set(), "declare them: class X(Resource, table=..., secret=(...))"


def fields_of(record: type[Record]) -> tuple[Field, ...]:
    kind = type_info(record)
    assert isinstance(kind, StructType)
    return kind.fields


def named_within(kind: Type) -> Iterator[str]:
    """The names of all fields of the structs that a value of this type holds."""
    match kind:
        case StructType():
            for field in kind.fields:
                yield field.name
                yield from named_within(field.type)
        case ListType():
            yield from named_within(kind.item_type)
        case DictType():
            yield from named_within(kind.value_type)
        case UnionType():
            for one in kind.types:
                yield from named_within(one)
