"""One member of etcd as a child that outlives the daemon: started, recorded, found again, stopped, wiped."""

import os
import re
import shutil
import ssl
import subprocess
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
import structlog
import trio

from paasd.errors import PaasdError
from paasd.etcd.channel import client_context
from paasd.lasting import LastingProcess, boot_id, start_time

HEARTBEAT_MS: Final = 100
ELECTION_MS: Final = 1000
QUOTA_BYTES: Final = 2 * 1024 * 1024 * 1024
REQUEST_BYTES: Final = 2 * 1024 * 1024
UID: Final = 61171
"""User id of etcd when the daemon is root; it needs no account and no right."""

STOP_GRACE_S: Final = 5.0
PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_BAD: Final = "etcd {found} has known faults; install 3.4.23 or later, or 3.5.16 or later (Debian's etcd-server)"


class MemberSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What one member is told. `cluster` maps names (node guids) to peer URLs; `log_id` keeps clusters apart."""

    name: str
    log_id: str
    address: str
    listen: str
    client_port: int
    peer_port: int
    cluster: dict[str, str]
    state: Literal["new", "existing"]

    @property
    def peer_url(self) -> str:
        """Where other members reach it."""
        return peer_url(self.address, self.peer_port)


class MemberRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The file that lets the next daemon find the process."""

    version: int = 1
    pid: int
    start_time: int
    boot_id: str
    spec: MemberSpec


def peer_url(address: str, port: int) -> str:
    return f"https://{address}:{port}"


def election_ms(round_trip_s: float) -> tuple[int, int]:
    """(heartbeat, election) for voters whose slowest mean round trip this is, as etcd's guide has it. Pure."""
    heartbeat = max(HEARTBEAT_MS, min(1000, round(round_trip_s * 1000 * 1.5)))
    return heartbeat, max(ELECTION_MS, min(50_000, heartbeat * 10))


def check_version(text: str) -> str:
    """The version in the output of `etcd --version`. Raises PaasdError for one that loses data. Pure."""
    match = re.search(r"etcd Version: (\d+)\.(\d+)\.(\d+)", text)
    if match is None:
        raise PaasdError(f"this etcd does not say its version: {text[:80]!r}; install Debian's etcd-server")
    version = tuple(int(part) for part in match.groups())
    good = (3, 4, 22) <= version < (3, 5, 0) or version >= (3, 5, 16)
    if not good:
        raise PaasdError(_BAD.format(found=".".join(match.groups())))
    return ".".join(match.groups())


def find_etcd() -> Path:
    """The binary. Raises PaasdError naming the package."""
    found = shutil.which("etcd", path="/usr/bin:/usr/local/bin:/usr/sbin:/opt/etcd")
    if found is None:
        raise PaasdError("etcd is not installed on this node, which is to vote; apt-get install etcd-server")
    check_version(subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20).stdout)
    return Path(found)


class Member:
    """The member of this node; `folder` holds certificates, data, the record and the log."""

    def __init__(self, folder: Path, cgroups: Sequence[Path] = (), *, outlive: bool = True) -> None:
        self._folder = folder
        self._cgroups = cgroups
        self._outlive = outlive
        self._uid = UID if os.geteuid() == 0 else os.geteuid()
        self._process: LastingProcess | None = None
        self._log = structlog.get_logger(__name__)
        self._stopping = False
        self.times_ms = (HEARTBEAT_MS, ELECTION_MS)
        self.adopted = False

    @property
    def data(self) -> Path:
        return self._folder / "data"

    @property
    def has_data(self) -> bool:
        """Whether it has been a member before."""
        return (self.data / "member").exists()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def write_certificates(self, certificate: bytes, key: bytes, authority: bytes) -> None:
        """etcd reads them anew at each handshake, so they are replaced while it runs."""
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        for name, content in (("ca.pem", authority), ("etcd.key", key), ("etcd.pem", certificate)):
            part = self._folder / f"{name}.part"
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chown(part, self._uid, -1)
            part.replace(self._folder / name)

    def client_context(self) -> ssl.SSLContext:
        """TLS towards any member, with this node's certificate."""
        names = (str(self._folder / name) for name in ("etcd.pem", "etcd.key", "ca.pem"))
        return client_context(*names)

    async def start(self, spec: MemberSpec) -> None:
        """Take over the process that runs already with this name, or start one. Raises PaasdError."""
        self._stopping = False
        record = self._read_record()
        if record is not None and record.spec.log_id == spec.log_id:
            process = LastingProcess.adopt(record.pid, record.start_time)
            if process is not None:
                self._process, self.adopted = process, True
                self._log.info("etcd.adopted", pid=process.pid)
                return
        self._start(spec)

    def _start(self, spec: MemberSpec) -> None:
        binary = find_etcd()
        self.data.mkdir(mode=0o700, exist_ok=True)
        os.chown(self.data, self._uid, -1)
        self._process = LastingProcess.start(
            binary,
            arguments(spec, self._folder, self.times_ms),
            uid=self._uid,
            cgroups=self._cgroups,
            log=self._folder / "etcd.log",
            outlive=self._outlive,
        )
        self.adopted = False
        record = MemberRecord(
            pid=self._process.pid, start_time=start_time(self._process.pid) or 0, boot_id=boot_id(), spec=spec
        )
        part = self._record.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(record))
        part.replace(self._record)
        self._log.info("etcd.started", pid=self._process.pid, state=spec.state)

    async def supervise(self, spec: MemberSpec) -> None:
        """Start it again whenever it ends, with growing pauses. Returns when it was stopped."""
        failures = 0
        while True:
            began = trio.current_time()
            if self._process is not None:
                await self._process.wait()
                if self._stopping:
                    return
                self._log.error("etcd.died", last_words=self.last_words())
                self._process.close()
                self._process = None
            failures = 0 if trio.current_time() - began > 60 else failures + 1
            await trio.sleep(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
            if self._stopping:
                return
            try:
                self._start(spec)
            except (PaasdError, OSError) as error:
                self._log.error("etcd.start_failed", reason=str(error))

    async def stop(self) -> None:
        """End the process; its data stay."""
        self._stopping = True
        record = self._read_record()
        if self._process is None and record is not None:
            self._process = LastingProcess.adopt(record.pid, record.start_time)
        if self._process is not None:
            await self._process.stop(STOP_GRACE_S)
            self._process.close()
            self._process = None
        self._record.unlink(missing_ok=True)

    def wipe(self) -> None:
        """Remove its data: it is no member any more, and must not come back with them."""
        shutil.rmtree(self.data, ignore_errors=True)

    def close(self) -> None:
        """Let go; it goes on running."""
        if self._process is not None:
            self._process.close()

    def last_words(self) -> str:
        """The end of its output."""
        try:
            with (self._folder / "etcd.log").open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
                return "\n".join(deque(file.read().decode(errors="replace").splitlines(), maxlen=5))
        except FileNotFoundError:
            return "(no output)"

    @property
    def _record(self) -> Path:
        return self._folder / "etcd.json"

    def _read_record(self) -> MemberRecord | None:
        try:
            record = msgspec.json.decode(self._record.read_bytes(), type=MemberRecord)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return record if record.boot_id == boot_id() else None


def arguments(spec: MemberSpec, folder: Path, times_ms: tuple[int, int]) -> list[str]:
    """etcd's command line. Pure."""
    certificate, key, authority = (str(folder / name) for name in ("etcd.pem", "etcd.key", "ca.pem"))
    flags = {
        "name": spec.name,
        "data-dir": str(folder / "data"),
        "listen-client-urls": f"https://{spec.listen}:{spec.client_port}",
        "advertise-client-urls": f"https://{spec.address}:{spec.client_port}",
        "listen-peer-urls": f"https://{spec.listen}:{spec.peer_port}",
        "initial-advertise-peer-urls": spec.peer_url,
        "initial-cluster": ",".join(f"{name}={url}" for name, url in sorted(spec.cluster.items())),
        "initial-cluster-state": spec.state,
        "initial-cluster-token": spec.log_id,
        "client-cert-auth": "true",
        "trusted-ca-file": authority,
        "cert-file": certificate,
        "key-file": key,
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": authority,
        "peer-cert-file": certificate,
        "peer-key-file": key,
        "pre-vote": "true",
        "snapshot-count": "10000",
        "max-wals": "2",
        "max-snapshots": "2",
        "enable-grpc-gateway": "false",
        "quota-backend-bytes": str(QUOTA_BYTES),
        "max-request-bytes": str(REQUEST_BYTES),
        "heartbeat-interval": str(times_ms[0]),
        "election-timeout": str(times_ms[1]),
        "logger": "zap",
        "log-level": "warn",
    }
    return [f"--{name}={value}" for name, value in flags.items()]
