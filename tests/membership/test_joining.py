"""Nodes join by a token over TLS; whatever is wrong is told in words of its own, and changes nothing."""

import socket
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from paasd import pki
from paasd.errors import PaasdError, Unavailable, Unprocessable
from paasd.membership import Ports
from paasd.membership import joining as joining_module
from paasd.membership.messages import JOIN, KEYS
from paasd.membership.tokens import Token, parse_token
from paasd.model import AuditEvent, JoinToken, Node
from paasd.model.arguments import SYSTEM
from paasd.model.membership import DeleteToken, RemoveNode, delete_token, remove_node
from paasd.model.nodes import SetNodeState, set_node_state
from paasd.peer import PeerRefused
from paasd.state.sealing import load_root_key
from tests.membership.world import Person, World, until


def nodes(seen_by: Person) -> dict[str, Node]:
    with seen_by.database.read() as tx:
        return {node.name: node for node in tx.all(Node)}


async def refused(person: Person, token: Token | str, **changes: Any) -> str:
    """What a join is told; nothing of it is left that would make the machine a node."""
    with pytest.raises(PaasdError) as caught:
        await person.join(token, **changes)
    assert not person.files.exists
    assert not (person.directory / "root-key").exists()
    return caught.value.detail


def changed(token: str, **fields: Any) -> Token:
    return msgspec.structs.replace(parse_token(token), **fields)


async def test_control_nodes_join_and_have_what_the_first_one_has(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one, zone="dc/b")
    assert nodes(two)["two"].state == "READY"
    assert (nodes(one)["two"].zone, nodes(one)["two"].role, nodes(one)["two"].address) == (
        "dc/b",
        "control",
        "127.0.0.1",
    )
    assert load_root_key(two.directory / "root-key").id == load_root_key(one.directory / "root-key").id
    assert two.sealer.open(one.sealer.seal(b"shared", "x"), "x") == b"shared"
    assert (two.directory / "certificates" / "ca.pem").read_bytes() == one.public.certificate
    assert await two.membership.gossip_keys() == await one.membership.gossip_keys()
    three = await town.joined("three", two)
    assert {node.state for node in nodes(three).values()} == {"READY"}
    assert await three.peers.call(one.guid, KEYS) == await one.peers.call(three.guid, KEYS)


async def test_a_worker_gets_no_key_whatever_it_asks(town: World) -> None:
    one = await town.first()
    worker = await town.joined("worker", one, "worker")
    assert nodes(one)["worker"].role == "worker"
    assert not (worker.directory / "root-key").exists()
    assert not (worker.directory / "certificates" / "ca.key").exists()
    with pytest.raises(PeerRefused, match="a worker may not ask"):
        await worker.peers.call(one.guid, KEYS)
    assert await worker.membership.gossip_keys() == await one.membership.gossip_keys()
    pair = await worker.membership.domain_certificate("apps.localhost")
    assert pki.issued_by(*map(load, (pair.certificate, one.public.certificate)))
    with pytest.raises(Unprocessable, match=r"evil\.example is no domain of this platform"):
        await worker.membership.domain_certificate("evil.example")
    with pytest.raises(Unavailable, match="this node is a worker and makes no tokens; one can"):
        await worker.token()


def load(certificate: bytes) -> Any:
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate)


async def test_a_token_is_used_up_by_as_many_nodes_as_it_says(town: World) -> None:
    one = await town.first()
    token = await one.token(uses=2)
    await town.person("two").join(token)
    await town.person("three").join(token)
    assert "the join token is used up" in await refused(town.person("four"), token)
    assert set(nodes(one)) == {"one", "two", "three"}


async def test_two_nodes_at_once_cannot_share_one_use(town: World) -> None:
    one = await town.first()
    token = await one.token()
    outcomes: list[str] = []

    async def attempt(person: Person) -> None:
        try:
            await person.join(token)
            outcomes.append("in")
        except Unprocessable as error:
            outcomes.append(error.detail[:26])

    async with trio.open_nursery() as nursery:
        for name in ("two", "three", "four"):
            nursery.start_soon(attempt, town.person(name))
    assert sorted(outcomes) == ["in", "the join token is used up;", "the join token is used up;"]
    assert len(nodes(one)) == 2


async def test_tokens_that_are_no_good_are_refused_each_in_its_own_words(town: World) -> None:
    one = await town.first()
    good = await one.token()
    two = town.person("two")
    assert "is not known here" in await refused(two, changed(good, id="a" * 10))
    assert "is not known here" in await refused(two, changed(good, secret="a" * 26))
    deleted = await one.token()
    await one.database.write(delete_token, DeleteToken(id=parse_token(deleted).id, actor=SYSTEM))
    assert "is not known here" in await refused(two, deleted)
    other_zone = await one.token(zone="dc/elsewhere")
    assert "is for zone dc/elsewhere, this node says dc/a" in await refused(two, other_zone)
    assert "another node is called one" in await refused(two, good, name="one")
    assert len(town.refusals) == 5 and all(address == "127.0.0.1" for address, _, _ in town.refusals)
    assert town.refusals[0][1] == "a" * 10
    with one.database.read() as tx:
        assert tx.need(JoinToken, parse_token(good).id).uses_left == 1, "a refusal costs nothing"
    assert (await two.join(good)).zone == "dc/a"


async def test_a_token_ends_when_it_said_so(town: World) -> None:
    one = await town.first()
    token = await one.token(ttl_s=60)
    two = town.person("two")
    one.ahead_s = two.ahead_s = 61
    one.database._clock = one.clock
    assert "has expired" in await refused(two, token)
    one.ahead_s = two.ahead_s = 0
    assert await two.join(token)


async def test_the_role_of_a_token_is_not_the_bearers_choice(town: World) -> None:
    one = await town.first()
    worker_token = changed(await one.token("worker"), role="control")
    person = town.person("two")
    member = await person.join(worker_token)
    assert member.role == "worker" and nodes(one)["two"].role == "worker"
    assert not (person.directory / "root-key").exists()


async def test_the_secret_is_not_shown_to_who_is_not_the_platform(town: World, tmp_path: Path) -> None:
    one = await town.first()
    good = await one.token()
    imposter = World(tmp_path / "imposter", town._nursery)
    imposter.directory.mkdir()
    evil = await imposter.first("evil")
    elsewhere = parse_token(await evil.token()).endpoints
    asked: list[bytes] = []
    evil.peers.serve_strangers(JOIN, lambda _address, body: asked.append(body))  # type: ignore[arg-type,return-value]
    two = town.person("two")
    said = await refused(two, changed(good, endpoints=elsewhere))
    assert "is not the platform that made the token" in said and "nothing was sent" in said
    authority = one.membership.vault.authority.signing().certificate  # type: ignore[union-attr]
    evil.membership.vault.authority.trusted = lambda: [authority]  # type: ignore[union-attr,method-assign]
    said = await refused(two, changed(good, endpoints=elsewhere))
    assert "cannot prove to belong to the platform" in said, "who only shows the right authority has not its key"
    assert asked == [], "the secret never left"
    assert await two.join(changed(good, endpoints=(*elsewhere, *parse_token(good).endpoints))), "the next one is asked"


async def test_a_worker_cannot_pose_as_the_platform(town: World) -> None:
    one = await town.first()
    worker = await town.joined("worker", one, "worker")
    good = await one.token()

    async def lure(address: str, body: bytes) -> bytes:
        answer = {"cluster_id": worker.files.read().cluster_id, "authorities": [worker.files.authorities()]}
        return msgspec.msgpack.encode(answer)

    worker.peers.serve_strangers("join.authority", lure)
    there = changed(good, endpoints=(("127.0.0.1", worker.files.read().ports.peer),))
    assert "not as a control node; nothing was sent" in await refused(town.person("two"), there)


async def test_clocks_far_apart_keep_a_node_out_and_a_little_apart_warn(town: World) -> None:
    one = await town.first()
    token = await one.token()
    two = town.person("two")
    for ahead_s, word in ((45.0, "ahead"), (-45.0, "behind")):
        two.ahead_s = ahead_s
        assert f"the clock of this machine is 45 s {word}" in await refused(two, token)
        assert f"warning: the clock of this machine is 45 s {word}" in two.said
    two.ahead_s = 86_400 * 3
    assert "not valid at" in await refused(two, token)
    two.ahead_s, two.said = 5.0, []
    assert await two.join(token)
    assert "warning: the clock of this machine is 5 s ahead" in two.said
    three = town.person("three")
    assert await three.join(await one.token())
    assert not [line for line in three.said if "clock" in line]


async def test_an_older_paasd_is_told_which_one_to_install(town: World) -> None:
    one = await town.first()
    token = await one.token()
    two = town.person("two")
    said = await refused(two, token, schema_limit=one.database.schema - 1, version="0.0.1")
    assert said.startswith("paasd 0.0.1 on this machine is too old") and "install paasd" in said
    assert await two.join(token, schema_limit=one.database.schema + 5, version="9.9"), "a newer one may join"


async def test_a_node_that_cannot_be_reached_is_told_which_port_is_shut(town: World) -> None:
    one = await town.first()
    token = await one.token()
    two = town.person("two")
    said = await refused(two, token, address="127.0.0.9", listen="127.0.0.8")
    assert "cannot reach the new node at 127.0.0.9" in said and "behind NAT a node cannot join" in said
    assert nodes(one).keys() == {"one"}, "and nothing is left of the attempt"
    said = await refused(two, token, address="no-such-host.invalid")
    assert "cannot reach the new node at no-such-host.invalid" in said


async def test_single_shut_ports_are_named(town: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from paasd.membership import knocking

    one = await town.first()
    token = await one.token()
    two = town.person("two")
    ports = two.machine().ports
    real = knocking.doors_of
    for closed in (("UDP", ports.peer), ("TCP", ports.tunnel), ("TCP", ports.etcd_peer)):

        def without(ports: Ports, role: Any, closed: Any = closed) -> Any:
            return [door for door in real(ports, role) if door != closed]

        monkeypatch.setattr("paasd.membership.knocking.doors_of", without)
        async with knocking.answering("127.0.0.1", ports, "control") as nonce:
            monkeypatch.setattr("paasd.membership.knocking.doors_of", real)
            says = f"reaches the new node at 127.0.0.1, but not {closed[0]} {closed[1]}"
            with pytest.raises(Unprocessable, match=says):
                await knocking.knock("127.0.0.1", ports, "control", nonce)
    async with knocking.answering("127.0.0.1", ports, "control") as nonce:
        await knocking.knock("127.0.0.1", ports, "control", nonce)
        with pytest.raises(Unprocessable, match="another program than the new node answers"):
            await knocking.knock("127.0.0.1", ports, "control", bytes(16))
    assert await two.join(token)


async def test_who_has_no_token_cannot_make_a_node_connect_anywhere(town: World) -> None:
    one = await town.first()
    token = await one.token()
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    ports = Ports(peer=port, tunnel=port, etcd_client=port, etcd_peer=port)
    knocks: list[int] = []

    async def count(stream: trio.SocketStream) -> None:
        knocks.append(1)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, count, [listener])
        two = town.person("two")
        here = {"address": "127.0.0.1", "listen": "127.0.0.2", "ports": ports}
        assert "not known here" in await refused(two, changed(token, secret="a" * 26), **here)
        assert knocks == []
        assert "another program" in await refused(two, token, **here)
        assert knocks != []
        nursery.cancel_scope.cancel()


async def test_a_port_that_is_taken_on_the_new_machine_is_named(town: World) -> None:
    one = await town.first()
    token = await one.token()
    two = town.person("two")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = msgspec.structs.replace(two.machine().ports, tunnel=port)
        assert f"TCP port {port} is taken on this machine" in await refused(two, token, ports=ports)
    assert await two.join(token)


@pytest.mark.parametrize("moment", ["write_pair", "_fetch_keys", "write"])
async def test_a_join_that_is_interrupted_is_finished_by_the_same_token(
    town: World, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    one = await town.first()
    token = await one.token()
    two = town.person("two")

    owner: Any = joining_module.Joining if moment == "_fetch_keys" else joining_module.MemberFiles
    real = getattr(owner, moment)

    def crash(self: Any, *arguments: Any) -> Any:
        if two.directory in (getattr(self, "_directory", None), getattr(self, "folder", two.directory).parent):
            raise KeyboardInterrupt
        return real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, moment, crash)
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            await two.join(token)
    assert nodes(one)["two"].state == "JOINING" and not two.files.exists, "a half one is no member"
    await two.join(token)
    assert not (two.files.folder / "joining.key").exists()
    await town.start(two)
    assert nodes(one)["two"].state == "READY"
    with one.database.read() as tx:
        assert tx.need(JoinToken, parse_token(token).id).uses_left == 0
    with pytest.raises(Unprocessable, match="has joined already"):
        await two.join(token)


async def test_a_removed_node_does_not_come_back_and_its_name_is_free_again(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one)
    await one.database.write(remove_node, RemoveNode(guid=two.guid, force=True, actor=SYSTEM))
    await until(two.membership.removed.is_set)
    with pytest.raises(Unprocessable, match="was removed from the platform; join with a new data directory"):
        await two.join(await one.token())
    again = town.person("again")
    assert await again.join(await one.token(), name="two")


async def test_joins_and_tokens_are_in_the_audit(town: World) -> None:
    one = await town.first()
    two = await town.joined("two", one)
    with one.database.read() as tx:
        events = {event.type: event for event in tx.all(AuditEvent)}
    assert events["audit.join_token.create"].data["uses"] == 1
    joined = events["audit.node.join"]
    assert (joined.target_guid, joined.data["zone"], joined.data["address"]) == (two.guid, "dc/a", "127.0.0.1")
    assert joined.data["token"] == events["audit.join_token.create"].target_guid


async def test_the_last_control_node_and_ones_in_use_are_not_removed(town: World) -> None:
    one = await town.first()
    worker = await town.joined("worker", one, "worker")
    two = await town.joined("two", one)

    async def remove(person: Person, *, force: bool = False) -> None:
        await one.database.write(remove_node, RemoveNode(guid=person.guid, force=force, actor=SYSTEM))

    with pytest.raises(Unprocessable, match="worker is READY; `paasd node drain worker` first"):
        await remove(worker)
    with pytest.raises(Unprocessable, match="one votes; `paasd node drain one`"):
        await remove(one)
    await one.database.write(set_node_state, SetNodeState(guid=two.guid, incarnation=1, state="DEAD"))
    await remove(two)
    with pytest.raises(Unprocessable, match="the last control node"):
        await remove(one, force=True)
    await remove(worker, force=True)
    assert {name: node.state for name, node in nodes(one).items()} == {
        "one": "READY",
        "two": "REMOVED",
        "worker": "REMOVED",
    }


async def test_a_second_opening_of_the_cluster_changes_nothing(town: World) -> None:
    one = await town.first()
    await one.token()
    before = one.files.read(), one.files.authorities()
    await one.token()
    assert (one.files.read(), one.files.authorities()) == before
    assert time.time() < load(one.files.certificate()).not_valid_after_utc.timestamp() < time.time() + 86_401


async def test_a_node_that_listens_everywhere_is_reached_at_any_of_its_addresses(town: World) -> None:
    one = await town.first()
    two = town.person("two")
    assert await two.join(await one.token(), listen="0.0.0.0", address="127.0.0.77"), "its answer has another source"
