"""Authorities and keys are changed under nodes that go on talking; who was away finds its way back."""

from functools import partial

import pytest
import trio
from cryptography import x509

from paasd import pki
from paasd.errors import Unavailable, Unprocessable
from paasd.membership.messages import ROOT_KEY
from paasd.membership.rotation import Waiting
from paasd.membership.tokens import parse_token
from paasd.model import AuditEvent, Authority
from paasd.model.arguments import SYSTEM
from paasd.model.nodes import SetNodeState, set_node_state
from paasd.model.rotation import NODES, believed
from paasd.model.voting import ETCD_AUTHORITY
from paasd.peer import PeerRefused, PeerUnreachable
from paasd.state.sealing import DataKey, RootKeys, SealingError, load_root_key
from tests.membership.world import Person, World, until

YEAR_S = 365 * 86400.0


def authorities(seen_by: Person) -> list[str]:
    with seen_by.database.read() as tx:
        rows = tx.all(Authority, purpose="nodes", order=("created_at", "guid"))
    return sorted(row.state for row in rows)


def issuer_key(person: Person) -> bytes:
    certificate = x509.load_pem_x509_certificate(person.files.certificate())
    found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert found is not None
    return found


async def test_the_authority_is_changed_while_nodes_go_on_talking(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one)
    worker = await town.joined("worker", one, "worker")
    token = await one.token()
    before = {issuer_key(person) for person in town.people}
    failures: list[str] = []
    calls = [0]

    async def talk() -> None:
        while True:
            for source in town.people:
                for target in town.people:
                    try:
                        source.peers.close_idle()
                        await source.peers.call(target.guid, "echo")
                        calls[0] += 1
                    except (PeerUnreachable, PeerRefused) as error:
                        failures.append(f"{source.name} -> {target.name}: {error.detail}")
            await trio.sleep(0.005)

    async def echo(peer: object, body: bytes) -> bytes:
        return body

    for person in town.people:
        person.peers.serve("echo", echo)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk)
        assert two.membership.rotation is not None
        await two.membership.rotation.change_authority(NODES, SYSTEM)
        with pytest.raises(Unprocessable, match="is being changed already"):
            await two.membership.rotation.change_authority(NODES, SYSTEM)
        await until(lambda: authorities(one) == ["RETIRED", "SIGNING"], 15)
        await until(lambda: all(person.files.authorities().count(b"BEGIN CERT") == 1 for person in town.people))
        done = calls[0]
        await until(lambda: calls[0] > done + 20)
        nursery.cancel_scope.cancel()
    assert failures == [] and done > 20
    after = {issuer_key(person) for person in town.people}
    assert len(before) == len(after) == 1 and before != after
    with one.database.read() as tx:
        assert tx.find(Authority, state="RETIRED").sealed_key == "", "its key is gone"  # type: ignore[union-attr]
        assert [event.data["before"]["state"] for event in tx.all(AuditEvent, type="platform.authority.advance")] == [
            "TRUSTED",
            "FORMER",
        ]
    three = town.person("three")
    with pytest.raises(Unprocessable, match="is not the platform that made the token"):
        await three.join(token)
    assert await three.join(await two.token())
    assert worker.membership.certificate_left_s()


async def test_a_certificate_of_a_retired_authority_is_worth_nothing(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one, "worker")
    old = two.files.pair(), two.files.authorities()
    assert one.membership.rotation is not None
    await one.membership.rotation.change_authority(NODES, SYSTEM)
    await until(lambda: authorities(one) == ["RETIRED", "SIGNING"])
    await until(lambda: one.files.authorities() != old[1] and one.files.authorities().count(b"BEGIN") == 1)
    assert await two.peers.call(one.guid, "member.gossip_keys")
    two.files.write_pair(old[0].key, two.files.certificate(), b"", [old[1]])
    (two.files.folder / "node.pem").write_bytes(old[0].key + old[0].certificate)
    two.peers.identify(two.files.identity())
    two.peers.close_idle()
    with pytest.raises(PeerUnreachable):
        await two.peers.call(one.guid, "member.gossip_keys")


async def test_a_change_waits_for_a_node_that_is_away_and_says_so(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one)
    rotation = one.membership.rotation
    assert rotation is not None
    await town.stop(two)
    await one.database.write(set_node_state, SetNodeState(guid=two.guid, incarnation=1, state="DEAD"))
    await rotation.change_authority(NODES, SYSTEM)
    await until(lambda: rotation.steps() != [])
    with trio.move_on_after(0.3):
        await until(lambda: authorities(one) != ["SIGNING", "TRUSTED"])
    (step,) = rotation.steps()
    assert isinstance(step, Waiting) and [node.name for node in step.nodes] == ["two"]
    await town.start(two)
    await until(lambda: authorities(one) == ["RETIRED", "SIGNING"])


async def test_alone_there_is_nothing_to_change(town: World) -> None:
    one = await town.first()
    assert one.membership.rotation is not None
    rotation = one.membership.rotation
    for begin in (partial(rotation.change_authority, NODES), rotation.change_gossip_key):
        with pytest.raises(Unprocessable, match="there is one node only"):
            await begin(SYSTEM)
    with pytest.raises(Unprocessable, match="with the second vote"):
        await rotation.change_authority(ETCD_AUTHORITY, SYSTEM)


async def test_the_root_key_is_changed_on_all_control_nodes_and_no_secret_is_lost(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one)
    three = await town.joined("three", one)
    sealed = one.sealer.seal(b"secret", "x")
    before = load_root_key(one.directory / "root-key").id
    assert two.membership.rotation is not None
    new = await two.membership.rotation.change_root_key(SYSTEM)
    assert new != before
    for person in (one, two, three):
        await until(lambda person=person: load_root_key(person.directory / "root-key").id == new)  # type: ignore[misc]
        await until(lambda person=person: not (person.directory / "root-keys").exists())  # type: ignore[misc]
        assert person.sealer.open(sealed, "x") == b"secret"
        assert person.sealer.open(person.sealer.seal(b"more", "y"), "y") == b"more"
    assert await three.membership.rotation.change_data_key(SYSTEM)  # type: ignore[union-attr]
    assert one.sealer.open(two.sealer.seal(b"after", "z"), "z") == b"after"
    four = await town.joined("four", two)
    assert four.sealer.open(sealed, "x") == b"secret"
    worker = await town.joined("worker", two, "worker")
    with pytest.raises(PeerRefused):
        await worker.peers.call(one.guid, ROOT_KEY, b"")
    with one.database.read() as tx:
        assert {event.type for event in tx.all(AuditEvent)} >= {"audit.root_key.change", "audit.data_key.change"}


async def test_the_root_key_stays_when_a_live_control_node_does_not_take_the_next(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one)
    before = load_root_key(one.directory / "root-key").id
    await town.stop(two)
    rotation = one.membership.rotation
    assert rotation is not None
    with pytest.raises(Unavailable, match=r"was not changed, because not every control node took .* two \("):
        await rotation.change_root_key(SYSTEM)
    with one.database.read() as tx:
        assert {row.root_id for row in tx.all(DataKey)} == {before}
    assert one.sealer.open(one.sealer.seal(b"still", "x"), "x") == b"still"
    await one.database.write(set_node_state, SetNodeState(guid=two.guid, incarnation=1, state="DEAD"))
    new = await rotation.change_root_key(SYSTEM)
    await town.start(two)
    await until(lambda: load_root_key(two.directory / "root-key").id == new)
    assert two.sealer.open(one.sealer.seal(b"back", "x"), "x") == b"back"


async def test_a_root_key_that_nobody_has_is_said(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one)
    keys = RootKeys(two.directory)
    from paasd.membership.rotation import find_root_key

    with pytest.raises(SealingError, match="sealed by root key feed"):
        await find_root_key(keys, "feed", two.peers, two.membership.book)


async def test_tokens_name_the_authority_that_signs(town: World) -> None:
    one = await town.first()
    pin = parse_token(await one.token()).pin
    assert pin == pki.spki_sha256(one.files.authorities())
    assert one.membership.rotation is not None
    await one.membership.rotation.change_authority(NODES, SYSTEM)
    await until(lambda: authorities(one) == ["RETIRED", "SIGNING"])
    assert parse_token(await one.token()).pin != pin


async def test_an_authority_that_comes_to_its_end_is_followed_by_itself_while_nodes_talk(town: World) -> None:
    town.rotates = False
    one = await town.first()
    one.ahead_s = -9.5 * YEAR_S
    await one.membership.open_cluster()
    old = one.files.authorities()
    one.ahead_s = 0.0
    await one.membership.renew()
    two = town.person("two")
    await two.join(await one.token())
    town.rotates = True
    await town.start(two)
    await until(lambda: authorities(one) == ["RETIRED", "SIGNING"], 15)
    await until(lambda: all(old not in person.files.authorities() for person in town.people))
    two.peers.close_idle()
    assert await two.peers.call(one.guid, "member.gossip_keys")
    with one.database.read() as tx:
        signing = tx.need(Authority, next(row.guid for row in believed(tx, NODES)))
        (begun,) = tx.all(AuditEvent, type="platform.authority.begin", target_guid=signing.guid)
    assert begun.actor_guid == SYSTEM.guid and begun.data == {"purpose": "nodes"}
    assert pki.ends_at_s(signing.certificate.encode()) - one.clock() > 9.9 * YEAR_S
    assert one.membership.rotation is not None and one.membership.rotation.due() == []
