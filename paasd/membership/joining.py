"""The new node's side of joining: check whom the token names, then show the secret, then keep what is given.

Every step may be repeated: a join that was interrupted is finished by the same command with the same token.
"""

import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import trio
from cryptography import x509

from paasd import pki
from paasd.config import PeerConfig
from paasd.errors import PaasdError, Unavailable, Unprocessable
from paasd.membership.files import MemberFile, MemberFiles, Ports
from paasd.membership.messages import (
    AUTHORITY,
    DIAL_BACK_BYTES,
    JOIN,
    KEYS,
    AuthorityAnswer,
    ControlKeys,
    JoinAnswer,
    JoinRequest,
)
from paasd.membership.tokens import BadToken, Token
from paasd.peer import PeerUnreachable, open_peers
from paasd.peer.connection import Connection
from paasd.peer.identity import node_of_uri, stranger_context
from paasd.peer.peers import greet, open_connection
from paasd.peer.wire import Answer, Ask, Failure, Garbage, error_of

JOIN_TIMEOUT_S = 20.0
Say = Callable[[str], None]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the new node says about itself. An empty address takes the one of the route to the platform."""

    guid: str
    name: str
    zone: str
    memory_mb: int
    disk_mb: int
    cpus: int
    listen: str
    address: str
    ports: Ports
    version: str
    schema_limit: int


async def join(
    token: Token,
    machine: Machine,
    directory: Path,
    config: PeerConfig,
    say: Say,
    clock: Callable[[], float] = time.time,
) -> MemberFile:
    """Make this machine a member. Raises PaasdError with what to do; then nothing is lost and it can be tried again."""
    files = MemberFiles(directory)
    files.folder.mkdir(mode=0o700, exist_ok=True)
    if not (files.folder / "node.key").exists():
        files.write_key(pki.new_key())
    failures: list[str] = []
    for host, port in token.endpoints:
        say(f"asking {host}:{port} ...")
        try:
            return await _join_at((host, port), token, machine, files, config, say, clock)
        except (PeerUnreachable, Unavailable) as error:
            failures.append(error.detail)
    raise Unavailable(
        "no node of the platform could be reached: " + "; ".join(failures) + ". Open TCP 7400 towards it, or make a "
        "token on a node that this machine reaches"
    )


async def _join_at(
    endpoint: tuple[str, int],
    token: Token,
    machine: Machine,
    files: MemberFiles,
    config: PeerConfig,
    say: Say,
    clock: Callable[[], float],
) -> MemberFile:
    address = machine.address or _own_address(endpoint)
    connection = await _open(endpoint, config)
    try:
        offset_s = await greet(connection, "", clock)
        if abs(offset_s) > 2:
            say(f"warning: the clock of this machine is {abs(offset_s):.0f} s {'behind' if offset_s > 0 else 'ahead'}")
        guid = await _check(connection, token)
        say(f"it belongs to the platform that the token names; joining as {machine.name} in zone {machine.zone} ...")
        async with _dial_back(machine) as nonce:
            answer = await _ask(connection, JOIN, _request(token, machine, address, nonce, files, clock()), JoinAnswer)
    finally:
        await connection.close()
    files.write_certificate(answer.certificate, answer.issuer, answer.trusted)
    member = MemberFile(
        guid=machine.guid,
        cluster_id=answer.cluster_id,
        role=answer.role,
        zone=answer.zone,
        address=address,
        ports=machine.ports,
        places=[place for place in answer.places if place.guid != machine.guid],
    )
    await _fetch_keys(guid, endpoint, answer, member, files, config, clock)
    files.write(member)
    return member


async def _open(endpoint: tuple[str, int], config: PeerConfig) -> Connection:
    with trio.move_on_after(config.connect_timeout_s):
        return await open_connection(endpoint, stranger_context(), config, "the platform")
    raise PeerUnreachable(f"{endpoint[0]}:{endpoint[1]} did not answer in time")


async def _check(connection: Connection, token: Token) -> str:
    """The guid of the node that answers, once it has proved to be certified by the authority that the token names."""
    answer = await _ask(connection, AUTHORITY, None, AuthorityAnswer)
    pinned = [one for one in answer.authorities if pki.spki_sha256(one) == token.pin]
    shown = connection.stream.getpeercert(binary_form=True)
    if not pinned or shown is None:
        raise BadToken(
            "who answers there is not the platform that made the token (its authority is another); nothing was sent to "
            "it. Make a new token, and check the address if that does not help"
        )
    leaf = x509.load_der_x509_certificate(shown)
    if not pki.issued_by(leaf, x509.load_pem_x509_certificate(pinned[0])):
        raise BadToken("who answers there cannot prove to belong to the platform of the token; nothing was sent to it")
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
        found = node_of_uri(uri)
        if found is not None and found[0] == answer.cluster_id:
            return found[1].guid
    raise BadToken("who answers there is certified, but not as a node; nothing was sent to it")


def _request(
    token: Token, machine: Machine, address: str, nonce: bytes, files: MemberFiles, now_s: float
) -> JoinRequest:
    return JoinRequest(
        token_id=token.id,
        secret=token.secret,
        at=now_s,
        dial_back=nonce,
        signing_request=pki.request(files.key()),
        guid=machine.guid,
        name=machine.name,
        zone=machine.zone,
        memory_mb=machine.memory_mb,
        disk_mb=machine.disk_mb,
        cpus=machine.cpus,
        address=address,
        peer_port=machine.ports.peer,
        tunnel_port=machine.ports.tunnel,
        etcd_client_port=machine.ports.etcd_client,
        etcd_peer_port=machine.ports.etcd_peer,
        version=machine.version,
        schema_limit=machine.schema_limit,
    )


async def _fetch_keys(
    guid: str,
    endpoint: tuple[str, int],
    answer: JoinAnswer,
    member: MemberFile,
    files: MemberFiles,
    config: PeerConfig,
    clock: Callable[[], float],
) -> None:
    """Over the new certificate: for control nodes the root key and the domains' authority, for all its certificate."""
    directory = files.folder.parent
    certificates = directory / "certificates"
    certificates.mkdir(mode=0o700, exist_ok=True)
    if answer.role == "control":
        files.write(msgspec.structs.replace(member, version=0))  # the identity's fields; not yet a member
        try:
            async with open_peers(config, member.guid, lambda _: endpoint, clock=clock) as peers:
                peers.identify(files.identity())
                keys = msgspec.msgpack.decode(await peers.call(guid, KEYS, timeout_s=10), type=ControlKeys)
        finally:
            (files.folder / "member.json").unlink()
        pki.write_private(directory / "root-key", keys.root_key.encode())
        pki.write_private(certificates / "ca.key", keys.public_key)
        pki.write_private(certificates / "ca.pem", keys.public_certificate)
    elif answer.public_authority:
        pki.write_private(certificates / "ca.pem", answer.public_authority)
    (certificates / "ca.pem").chmod(0o644)


async def _ask(connection: Connection, kind: str, body: Any, answer_type: type[Any]) -> Any:
    await connection.send(Ask(kind, b"" if body is None else msgspec.msgpack.encode(body)))
    with trio.move_on_after(JOIN_TIMEOUT_S):
        try:
            answer = await connection.receive()
        except Garbage as error:
            raise PeerUnreachable(f"who answers there does not speak paasd: {error}") from error
        if isinstance(answer, Failure):
            raise error_of(answer)
        if isinstance(answer, Answer):
            return msgspec.msgpack.decode(answer.body, type=answer_type)
    raise PeerUnreachable(f"the platform did not answer within {JOIN_TIMEOUT_S:.0f} s; try again")


def _own_address(endpoint: tuple[str, int]) -> str:
    """The address of this machine on the way to the platform; asking the kernel's routes sends nothing."""
    family = socket.AF_INET6 if ":" in endpoint[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(endpoint)
        except OSError as error:
            raise PaasdError(f"there is no route to {endpoint[0]}: {error.strerror}") from error
        return str(probe.getsockname()[0])


@asynccontextmanager
async def _dial_back(machine: Machine) -> AsyncIterator[bytes]:
    """Answer whoever connects to the peer port with the nonce, while the node asks to join."""
    nonce = secrets.token_bytes(DIAL_BACK_BYTES)

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            with trio.move_on_after(2), suppress(trio.BrokenResourceError):
                await stream.send_all(nonce)

    try:
        listeners = await trio.open_tcp_listeners(machine.ports.peer, host=machine.listen)
    except OSError as error:
        raise Unprocessable(
            f"port {machine.ports.peer} is taken on this machine ({error.strerror}); is paasd running? Stop it, or set "
            "another [cluster] peer_port"
        ) from error
    failed: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        try:
            yield nonce
        except Exception as error:  # noqa: BLE001 (raised again outside the nursery, which would wrap it into a group)
            failed = error
        finally:
            nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed
