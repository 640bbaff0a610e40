"""This node's seat: its member of etcd, and the log that it reads and appends there.

The seat opens before the database, from what it kept, because the database needs the log to catch up; from then on the
rows decide (`voting.py`). DATA/etcd/seat.json says which member it is, DATA/etcd/authority.* lets it certify itself
after it was off for longer than a certificate lives.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
import trio
from cryptography import x509

from paasd.errors import PaasdError
from paasd.etcd import Address, Client, Member, MemberSpec, open_client
from paasd.etcd.client import ATTEMPT_S
from paasd.model import Authority
from paasd.model.rotation import shows, trusts
from paasd.pki import KeyPair, ends_at_s, issued_by, write_private
from paasd.state.log.etcd import EtcdLog
from paasd.voting.authority import LIFE, LOOPBACK, issue

_ANY: Final = ("0.0.0.0", "::", "")


class SeatRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The content of seat.json. `others` are the clients' addresses of the other members, by node guid."""

    version: int = 1
    spec: MemberSpec
    member_id: int = 0  # etcd's; 0: of the first member, whoever it may be
    others: dict[str, Address] = {}


class Seat:
    """Made by `open_seat`."""

    def __init__(
        self,
        folder: Path,
        guid: str,
        nursery: trio.Nursery,
        *,
        cgroups: Sequence[Path],
        outlive: bool,
        clock: Callable[[], float],
    ) -> None:
        self.guid = guid
        self.member = Member(folder, cgroups, outlive=outlive)
        self.others: dict[str, Address] = {}
        self._folder = folder
        self._nursery = nursery
        self._clock = clock
        self._log = structlog.get_logger(__name__)
        self._runs: MemberSpec | None = None
        self._supervision = trio.CancelScope()
        self._client: Client | None = None
        self._logs: dict[str, EtcdLog] = {}
        self._context: tuple[int, ssl.SSLContext] | None = None

    @property
    def runs(self) -> MemberSpec | None:
        """The member that runs here."""
        return self._runs

    def endpoints(self) -> list[Address]:
        """Where to ask: the member of this node first."""
        own = [] if self._runs is None else [own_address(self._runs)]
        return [*own, *(self.others[guid] for guid in sorted(self.others))]

    def context(self) -> ssl.SSLContext:
        """TLS with the present certificate."""
        if self._context is None or self._context[0] != self.member.certified:
            self._context = self.member.certified, self.member.client_context()
        return self._context[1]

    async def resume(self) -> None:
        """Start what was here when the daemon ended, or take it over; a start that fails is tried again later."""
        record = self.record
        if record is None:
            return
        self.others = dict(record.others)
        try:
            self._certify_alone(record.spec)
        except OSError as error:
            self._log.warning("etcd's certificate cannot be renewed before the rows are read", reason=str(error))
        if self.member.has_data:
            try:
                await self.start(record.spec, record.member_id)
            except PaasdError as error:
                self._log.error("etcd.not_started", reason=error.detail)

    def certify(self, authority: KeyPair, trusted: bytes, spec: MemberSpec) -> bool:
        """A fresh certificate, unless the present one is of this authority and has half of its life left; and believe
        those that are trusted (PEM). Whether anything is new.
        """
        present = self.member.certificate()
        if (
            present is not None
            and self.member.authorities() == trusted
            and self.shows(authority.certificate)
            and ends_at_s(present) - self._clock() > LIFE.total_seconds() / 2
        ):
            return False
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        write_private(self._authority("key"), authority.key)
        write_private(self._authority("pem"), authority.certificate)
        addresses = [spec.address, *([] if spec.listen in _ANY else [spec.listen])]
        self.member.write_certificate(issue(authority, self.guid, addresses, self._clock()), trusted)
        return True

    def shows(self, authority: bytes) -> bool:
        """Whether the member's certificate is of this authority (PEM)."""
        present = self.member.certificate()
        if present is None:
            return False
        leaf, issuer = (x509.load_pem_x509_certificate(one) for one in (present, authority))
        return issued_by(leaf, issuer)

    def holds(self, rows: Sequence[Authority]) -> tuple[str, ...]:
        """What the other voters may rely on: which of these authorities the member believes, which one it shows."""
        if self._runs is None:
            return ()
        content = self.member.authorities().decode() if self.member.believes_all else ""
        believes = [trusts(row.guid) for row in rows if row.certificate in content]
        return (*believes, *(shows(row.guid) for row in rows if self.shows(row.certificate.encode())))

    def _certify_alone(self, spec: MemberSpec) -> None:
        """As `certify`, by what was kept here. Raises OSError when nothing was."""
        authority = KeyPair(self._authority("pem").read_bytes(), self._authority("key").read_bytes())
        self.certify(authority, self.member.authorities() or authority.certificate, spec)

    async def start(self, spec: MemberSpec, member_id: int) -> None:
        """Run this member from now on, also after the daemon has ended. Raises PaasdError when it cannot be started."""
        self._write(SeatRecord(spec=spec, member_id=member_id, others=self.others))
        await self.member.start(spec)
        self._runs = spec
        self._supervision = trio.CancelScope()
        self._nursery.start_soon(self._supervise, spec, self._supervision)

    async def _supervise(self, spec: MemberSpec, scope: trio.CancelScope) -> None:
        with scope:
            await self.member.supervise(spec)

    async def restart(self, spec: MemberSpec) -> None:
        """As `start`, but the process that runs is ended first: it is to be told something else."""
        record = self.record
        self._supervision.cancel()
        await self.member.stop()
        await self.start(spec, 0 if record is None else record.member_id)

    async def alone(self, identity: str) -> EtcdLog | None:
        """What the member of this node has of the log, without the others and for good; None if it has nothing. Only
        when they are lost, and before `leave`.
        """
        record = self.record
        if record is None or not self.member.has_data:
            return None
        await self.member.stop()
        self._certify_alone(record.spec)
        await self.start(msgspec.structs.replace(record.spec, alone=True), record.member_id)
        return await self.log(identity)

    async def leave(self) -> None:
        """End the member and forget its data."""
        self._runs = None
        self._supervision.cancel()
        await self.member.stop()
        self.member.wipe()
        (self._folder / "seat.json").unlink(missing_ok=True)

    def note_others(self, others: dict[str, Address]) -> None:
        """Where the other members are, also for the next start."""
        record = self.record
        if others != self.others and record is not None:
            self._write(msgspec.structs.replace(record, others=others))
        self.others = others

    async def client(self) -> Client:
        """For questions about members; calls of the log go another way."""
        if self._client is None:
            self._client = await self._nursery.start(self._keep_client)
        return self._client

    async def log(self, identity: str) -> EtcdLog:
        """The log with this identity, followed from the first call on."""
        if identity not in self._logs:
            client: Client = await self._nursery.start(self._keep_client)
            self._logs[identity] = log = EtcdLog(client, identity)
            self._nursery.start_soon(log.follow)
        return self._logs[identity]

    async def start_log(self, identity: str, index: int, data: bytes) -> None:
        """Begin that log with this entry unless it has begun. Raises LogUnavailable, NoAnswer; may be repeated."""
        await (await self.log(identity)).start_at(index, data)

    async def _keep_client(self, task_status: "trio.TaskStatus[Client]") -> None:
        async with open_client(self.endpoints, self.context, ATTEMPT_S) as client:
            task_status.started(client)
            await trio.sleep_forever()

    @property
    def record(self) -> SeatRecord | None:
        """Which member this node is, if it is one."""
        try:
            return msgspec.json.decode((self._folder / "seat.json").read_bytes(), type=SeatRecord)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise PaasdError(
                f"{self._folder / 'seat.json'} cannot be read ({error}); remove {self._folder} if other nodes vote"
            ) from error

    def _write(self, record: SeatRecord) -> None:
        write_private(self._folder / "seat.json", msgspec.json.encode(record))

    def _authority(self, suffix: str) -> Path:
        return self._folder / f"authority.{suffix}"


def client_address(member: Any) -> Address:
    """Where a member, as etcd lists it, answers clients."""
    host, _, port = member.clientURLs[0].removeprefix("https://").rpartition(":")
    return host.strip("[]"), int(port)


def own_address(spec: MemberSpec) -> Address:
    """Where this node reaches its own member, also behind address translation."""
    return (LOOPBACK if spec.listen in _ANY else spec.listen), spec.client_port


@asynccontextmanager
async def open_seat(
    folder: Path,
    guid: str,
    *,
    cgroups: Sequence[Path] = (),
    outlive: bool = True,
    clock: Callable[[], float],
) -> AsyncIterator[Seat]:
    """The seat until the block ends; with `outlive` etcd goes on after it. Open it before the database."""
    async with trio.open_nursery() as nursery:
        seat = Seat(folder, guid, nursery, cgroups=cgroups, outlive=outlive, clock=clock)
        try:
            yield seat
        finally:
            nursery.cancel_scope.cancel()
            if not outlive:
                with trio.CancelScope(shield=True):
                    await seat.member.stop()
            seat.member.close()
