"""Certificates renew themselves, also when they have expired, and not for who was removed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509

from paasd import pki
from paasd.errors import PaasdError, Unavailable, Unprocessable
from paasd.membership.authority import GRACE, LIFE
from paasd.membership.messages import RENEW, RenewRequest
from paasd.model.arguments import SYSTEM
from paasd.model.membership import RemoveNode, remove_node
from paasd.model.nodes import SetNodeState, set_node_state
from paasd.peer import NoMember, PeerUnreachable
from tests.membership.world import Person, World, until


def serial(person: Person) -> int:
    return x509.load_pem_x509_certificate(person.files.certificate()).serial_number


def ends_in(person: Person, left: timedelta) -> None:
    """Give the node a certificate that ends then, as if it had been issued long ago."""
    authority = next(iter(person.world.vaults())).authority
    key = pki.new_key()
    member = person.files.read()
    uri = f"spiffe://paasd/{member.cluster_id}/node/{member.guid}/{member.role}"
    now = datetime.now(UTC)
    certificate = pki.issue(
        authority.signing(),
        pki.request(key),
        member.guid,
        [x509.UniformResourceIdentifier(uri)],
        now - LIFE + left,
        LIFE,
        client=True,
    )
    issuer = authority.signing().certificate
    person.files.write_pair(key, certificate, issuer, authority.trusted())
    person.peers.identify(person.files.identity())


@pytest.mark.parametrize("role", ["control", "worker"])
async def test_a_certificate_is_renewed_at_half_of_its_life_while_the_node_runs(town: World, role: Any) -> None:
    one = await town.first()
    two = await town.joined("two", one, role)
    before, key = serial(two), two.files.pair().key
    renewed: list[int] = []
    two.membership.on_renewed = lambda: renewed.append(serial(two))
    ends_in(two, LIFE / 2 + timedelta(minutes=1))
    almost = serial(two)
    assert two.membership._renewal.due_in_s() == pytest.approx(60, abs=5)
    assert serial(two) == almost and renewed == []
    ends_in(two, LIFE / 2 - timedelta(seconds=1))
    draining = SetNodeState(guid=one.guid, incarnation=1, state="DRAINING")
    assert await one.database.write(set_node_state, draining), "any change makes it look"
    await until(lambda: renewed != [], 5)
    assert serial(two) not in (before, almost) and two.files.pair().key != key
    assert two.membership.certificate_left_s() == pytest.approx(LIFE.total_seconds(), abs=10)
    assert await two.peers.call(one.guid, "member.gossip_keys")


@pytest.mark.parametrize("role", ["control", "worker"])
async def test_one_that_slept_for_weeks_comes_back_by_itself(town: World, role: Any) -> None:
    one = await town.first()
    two = await town.joined("two", one, role)
    await town.stop(two)
    ends_in(two, -timedelta(days=29))
    await town.start(two)
    await until(lambda: (two.membership.certificate_left_s() or 0) > 0)
    assert await two.peers.call(one.guid, "member.gossip_keys")


async def test_one_that_slept_too_long_must_join_again(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one, "worker")
    ends_in(two, -GRACE - timedelta(hours=1))
    with pytest.raises(Unprocessable, match="ended over 30 days ago; remove this node and join again"):
        await two.membership.renew()
    ends_in(two, -GRACE + timedelta(hours=1))
    await two.membership.renew()


async def test_a_removed_node_gets_no_certificate_expired_or_not(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one, "worker")
    await town.stop(two)
    await one.database.write(remove_node, RemoveNode(guid=two.guid, force=True, actor=SYSTEM))
    await town.start(two, registers=False)
    for left in (timedelta(hours=1), -timedelta(days=1)):
        ends_in(two, left)
        with pytest.raises((NoMember, PeerUnreachable)):
            await two.membership.renew()
    assert any("was removed" in why for _, _, why in town.refusals)


async def test_renewal_needs_the_old_key_and_a_nonce_of_this_node(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one, "worker")
    ends_in(two, -timedelta(days=1))
    renewal = two.membership._renewal
    ours = two.files.pair()
    place = two.membership.book.others(role="control")[0]

    async def attempt(**changes: Any) -> str:
        """What is said to a request that was tampered with on its way out."""
        encode = msgspec.msgpack.encode

        def tampered(value: Any) -> bytes:
            if isinstance(value, RenewRequest):
                value = msgspec.structs.replace(value, **changes)
            return encode(value)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("paasd.membership.renewal.msgspec.msgpack.encode", tampered)
            with pytest.raises(PaasdError) as caught:
                await renewal._renew_expired(place, pki.request(pki.new_key()))
        return caught.value.detail

    assert "not the one that signed" in await attempt(signature=b"x" * 70)
    assert "nonce is not one of this node's" in await attempt(nonce=bytes(32))
    other = pki.make_authority("nodes", datetime.now(UTC))
    key = pki.new_key()
    names = [x509.UniformResourceIdentifier(f"spiffe://paasd/{two.files.read().cluster_id}/node/{one.guid}/control")]
    forged = pki.issue(other, pki.request(key), one.guid, names, datetime.now(UTC), LIFE)
    assert "not the one that signed" in await attempt(certificate=forged)
    assert len(town.refusals) == 3
    assert ours == two.files.pair()
    assert await renewal._renew_expired(place, pki.request(pki.new_key()))


async def test_a_nonce_serves_once(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one, "worker")
    ends_in(two, -timedelta(days=1))
    place = two.membership.book.others(role="control")[0]
    sent: list[bytes] = []
    real = one.peers._kinds.strangers[RENEW]

    async def note(address: str, body: bytes) -> bytes:
        sent.append(body)
        return await real(address, body)

    one.peers.serve_strangers(RENEW, note)
    assert await two.membership._renewal._renew_expired(place, pki.request(pki.new_key()))
    with pytest.raises(Unprocessable, match="was used before"):
        await real("127.0.0.1", sent[0])


async def test_who_renews_gives_its_proof_to_control_nodes_of_the_cluster_only(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one, "worker")
    three = await town.joined("three", one, "worker")
    ends_in(two, -timedelta(days=1))
    renewal, member = two.membership._renewal, three.files.read()
    place = two.membership.book.others(role="control")[0]
    liar = msgspec.structs.replace(place, peer_port=member.ports.peer)
    with pytest.raises(PeerUnreachable, match="is not node"):
        await renewal._renew_expired(liar, b"")
    with pytest.raises(PeerUnreachable, match="is not node"):
        await renewal._renew_expired(msgspec.structs.replace(liar, guid=three.guid), b"")


async def test_without_a_control_node_renewal_fails_in_words(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one, "worker")
    await town.stop(one)
    with pytest.raises(Unavailable, match="no control node certifies this node"):
        await two.membership.renew()


def test_a_crash_between_two_files_leaves_a_pair(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from paasd.membership import MemberFiles

    files = MemberFiles(tmp_path)
    authority = pki.make_authority("nodes", datetime.now(UTC))

    def pair() -> tuple[bytes, bytes]:
        key = pki.new_key()
        return key, pki.issue(authority, pki.request(key), "x", [x509.DNSName("x")], datetime.now(UTC), LIFE)

    key, certificate = pair()
    files.write_pair(key, certificate, authority.certificate, [authority.certificate])
    real, writes = pki.write_private, [0]

    def crash(path: Any, content: bytes) -> None:
        writes[0] += 1
        if writes[0] == 2:
            raise OSError("the power is gone")
        real(path, content)

    monkeypatch.setattr("paasd.membership.files.write_private", crash)
    with pytest.raises(OSError, match="power"):
        files.write_pair(*pair(), authority.certificate, [authority.certificate])
    found = files.pair()
    assert found.key == key and files.certificate() == certificate
    files.identity_of("g", "control", "c").server_context()
