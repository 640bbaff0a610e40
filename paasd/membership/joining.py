"""The new node's side of joining: check whom the token names, then show the secret, then keep what is given.

Every step may be repeated: a join that was interrupted is finished by the same command with the same token.
"""

import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from cryptography import x509

from paasd import pki
from paasd.config import PeerConfig
from paasd.errors import PaasdError, Unavailable
from paasd.membership.files import MemberFile, MemberFiles, Ports
from paasd.membership.knocking import answering
from paasd.membership.messages import AUTHORITY, JOIN, KEYS, AuthorityAnswer, ControlKeys, JoinAnswer, JoinRequest
from paasd.membership.tokens import BadToken, Token
from paasd.packing import UNREADABLE, unpack
from paasd.peer import PeerUnreachable, open_peers
from paasd.peer.connection import Connection
from paasd.peer.identity import node_of_certificate, stranger_context
from paasd.peer.peers import greet, open_connection
from paasd.peer.wire import Answer, Ask, Failure, Garbage, error_of

JOIN_TIMEOUT_S: Final = 20.0
SKEW_WARNING_S: Final = 2.0
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
    failures: list[PaasdError] = []
    async with answering(machine.listen, machine.ports, token.role) as nonce:
        for endpoint in token.endpoints:
            say(f"asking {endpoint[0]}:{endpoint[1]} ...")
            joining = Joining(token, machine, nonce, directory, config, say, clock)
            try:
                return await joining.at(endpoint)
            except (PeerUnreachable, Unavailable, BadToken) as error:
                failures.append(error)
    for failure in failures:
        if isinstance(failure, BadToken):
            raise failure
    reasons = "; ".join(failure.detail for failure in failures)
    raise Unavailable(
        f"no node of the platform could be reached: {reasons}. Open TCP 7400 towards it, or make a token on a node "
        "that this machine reaches"
    )


class Joining:
    """One attempt, at one of the nodes that the token names."""

    def __init__(
        self,
        token: Token,
        machine: Machine,
        nonce: bytes,
        directory: Path,
        config: PeerConfig,
        say: Say,
        clock: Callable[[], float],
    ) -> None:
        self._token = token
        self._machine = machine
        self._nonce = nonce
        self._directory = directory
        self._files = MemberFiles(directory)
        self._key = self._files.joining_key()
        self._config = config
        self._say = say
        self._clock = clock

    async def at(self, endpoint: tuple[str, int]) -> MemberFile:
        """Raises PaasdError."""
        machine, files, say = self._machine, self._files, self._say
        address = machine.address or _own_address(endpoint)
        connection = await _open(endpoint, self._config)
        try:
            offset_s = await greet(connection, "", self._clock)
            if abs(offset_s) > SKEW_WARNING_S:
                way = "behind" if offset_s > 0 else "ahead"
                say(f"warning: the clock of this machine is {abs(offset_s):.0f} s {way}")
            guid = await self._check(connection, offset_s)
            say(f"it is the platform that the token names; joining as {machine.name} in zone {machine.zone} ...")
            answer: JoinAnswer = await _ask(connection, JOIN, self._request(address), JoinAnswer)
        finally:
            connection.close()
        files.write_pair(self._key, answer.certificate, answer.issuer, answer.trusted)
        member = MemberFile(
            guid=machine.guid,
            cluster_id=answer.cluster_id,
            role=answer.role,
            zone=answer.zone,
            address=address,
            ports=machine.ports,
            places=[place for place in answer.places if place.guid != machine.guid],
        )
        await self._fetch_keys(guid, endpoint, answer)
        files.write(member)
        return member

    async def _check(self, connection: Connection, offset_s: float) -> str:
        """The guid of the node that answers, once it has proved to be of the authority that the token names."""
        answer: AuthorityAnswer = await _ask(connection, AUTHORITY, None, AuthorityAnswer)
        shown = connection.stream.getpeercert(binary_form=True)
        try:
            pinned = [one for one in answer.authorities if pki.spki_sha256(one) == self._token.pin]
        except ValueError:
            pinned = []
        if not pinned or shown is None:
            raise BadToken(
                "who answers there is not the platform that made the token (its authority is another); nothing was "
                "sent to it. Make a new token, and check the address if that does not help"
            )
        leaf = x509.load_der_x509_certificate(shown)
        if not pki.issued_by(leaf, x509.load_pem_x509_certificate(pinned[0])):
            raise BadToken(
                "who answers there cannot prove to belong to the platform of the token; nothing was sent to it. If the "
                "platform is changing its authority just now, a new token helps"
            )
        now = datetime.fromtimestamp(self._clock(), UTC)
        if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
            raise BadToken(
                f"the certificate of who answers there is not valid at {now:%Y-%m-%d %H:%M} UTC, the time here; "
                f"nothing was sent to it. Their clock is {abs(offset_s):.0f} s {'ahead' if offset_s > 0 else 'behind'}"
            )
        found = node_of_certificate(leaf)
        if found is None or found[0] != answer.cluster_id or found[1].role != "control":
            raise BadToken("who answers there is certified, but not as a control node; nothing was sent to it")
        return found[1].guid

    def _request(self, address: str) -> JoinRequest:
        machine, ports = self._machine, self._machine.ports
        return JoinRequest(
            token_id=self._token.id,
            secret=self._token.secret,
            at=self._clock(),
            dial_back=self._nonce,
            signing_request=pki.request(self._key),
            guid=machine.guid,
            name=machine.name,
            zone=machine.zone,
            memory_mb=machine.memory_mb,
            disk_mb=machine.disk_mb,
            cpus=machine.cpus,
            address=address,
            peer_port=ports.peer,
            tunnel_port=ports.tunnel,
            etcd_client_port=ports.etcd_client,
            etcd_peer_port=ports.etcd_peer,
            version=machine.version,
            schema_limit=machine.schema_limit,
        )

    async def _fetch_keys(self, guid: str, endpoint: tuple[str, int], answer: JoinAnswer) -> None:
        """Over the new certificate: for control nodes the root key and the domains' authority, for all its certificate.

        The node is a member only after this: without its keys it could not start.
        """
        certificates = self._directory / "certificates"
        certificates.mkdir(mode=0o700, exist_ok=True)
        if answer.role == "control":
            identity = self._files.identity_of(self._machine.guid, answer.role, answer.cluster_id)
            async with open_peers(self._config, identity.guid, lambda _: endpoint, clock=self._clock) as peers:
                peers.identify(identity)
                keys = unpack(await peers.call(guid, KEYS, timeout_s=10), ControlKeys)
            pki.write_private(self._directory / "root-key", keys.root_key.encode())
            pki.write_private(certificates / "ca.key", keys.public_key)
            pki.write_private(certificates / "ca.pem", keys.public_certificate)
        elif answer.public_authority:
            pki.write_private(certificates / "ca.pem", answer.public_authority)
        if (certificates / "ca.pem").exists():
            (certificates / "ca.pem").chmod(0o644)


async def _open(endpoint: tuple[str, int], config: PeerConfig) -> Connection:
    with trio.move_on_after(config.connect_timeout_s):
        return await open_connection(endpoint, stranger_context(), config, "the platform")
    raise PeerUnreachable(f"{endpoint[0]}:{endpoint[1]} did not answer in time")


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
            try:
                return msgspec.msgpack.decode(answer.body, type=answer_type)
            except UNREADABLE as error:
                raise PeerUnreachable(f"who answers there is of another release: {error}") from error
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
