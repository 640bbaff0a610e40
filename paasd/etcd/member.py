"""One member of etcd as a child that outlives the daemon: started, recorded, found again, stopped, wiped."""

import hashlib
import os
import shutil
import ssl
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog
import trio

from paasd.errors import PaasdError
from paasd.etcd.channel import client_context
from paasd.etcd.command import AUTHORITIES, PAIR, MemberSpec, arguments, find_etcd
from paasd.lasting import LastingProcess, boot_id, start_time
from paasd.pki import KeyPair, write_private

UID: Final = 61171
"""User id of etcd when the daemon is root; it needs no account and no right."""

STOP_GRACE_S: Final = 5.0
PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
STEADY_S: Final = 60.0
LOG_LIMIT_BYTES: Final = 8 * 1024 * 1024


class MemberRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The file that lets the next daemon find the process."""

    version: int = 1
    pid: int
    start_time: int
    boot_id: str
    spec: MemberSpec
    believes: str = ""
    """The hash of the authorities that it read at its start; empty in records of releases before."""


class Member:
    """The member of this node; `folder` holds certificates, data, the record and the log."""

    def __init__(self, folder: Path, cgroups: Sequence[Path] = (), *, outlive: bool = True) -> None:
        self._folder = folder
        self._cgroups = cgroups
        self._outlive = outlive
        self._uid = UID if os.geteuid() == 0 else os.geteuid()
        self._process: LastingProcess | None = None
        self._believes = ""
        self._log = structlog.get_logger(__name__)
        self._stopping = False
        self.adopted = False
        self.failures = 0
        """How often in a row it ended soon after its start."""
        self.certified = 0
        """Counts the certificates that were written."""

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

    def write_certificate(self, pair: KeyPair, authorities: bytes) -> None:
        """etcd reads it anew at each handshake, so it is replaced while it runs; key and certificate at once."""
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._folder.chmod(0o711)  # etcd's user passes through to its data
        write_private(self._folder / AUTHORITIES, authorities, self._uid)
        write_private(self._folder / PAIR, pair.key + pair.certificate, self._uid)
        self.certified += 1

    def certificate(self) -> bytes | None:
        """What it shows now, if it has one."""
        try:
            return (self._folder / PAIR).read_bytes()
        except FileNotFoundError:
            return None

    def authorities(self) -> bytes:
        """Whom it believes; empty before the first certificate."""
        path = self._folder / AUTHORITIES
        return path.read_bytes() if path.exists() else b""

    @property
    def believes_all(self) -> bool:
        """Whether the process believes the authorities that are on disk now: it reads them only at its start."""
        return self._believes == hashlib.sha256(self.authorities()).hexdigest()

    def client_context(self) -> ssl.SSLContext:
        """TLS towards any member, with this node's certificate."""
        return client_context(self._folder / PAIR, self._folder / AUTHORITIES)

    async def start(self, spec: MemberSpec) -> None:
        """Take over the process that runs already with this name, or start one. Raises PaasdError."""
        self._stopping = False
        record = self._read_record()
        if record is not None and record.spec.log_id == spec.log_id:
            process = LastingProcess.adopt(record.pid, record.start_time)
            if process is not None:
                self._process, self.adopted, self._believes = process, True, record.believes
                self._log.info("etcd.adopted", pid=process.pid)
                return
        await self._start(spec)

    async def _start(self, spec: MemberSpec) -> None:
        binary, _ = await trio.to_thread.run_sync(find_etcd)
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(self.data, self._uid, -1)
        self._believes = hashlib.sha256(self.authorities()).hexdigest()
        self._process = LastingProcess.start(
            binary,
            arguments(spec),
            uid=self._uid,
            cgroups=self._cgroups,
            log=self._folder / "etcd.log",
            outlive=self._outlive,
            directory=self._folder,
        )
        self.adopted = False
        record = MemberRecord(
            pid=self._process.pid,
            start_time=start_time(self._process.pid) or 0,
            boot_id=boot_id(),
            spec=spec,
            believes=self._believes,
        )
        write_private(self._record, msgspec.json.encode(record))
        self._log.info("etcd.started", pid=self._process.pid, state=spec.state)

    async def supervise(self, spec: MemberSpec) -> None:
        """Start it again whenever it ends, with growing pauses. Returns when it was stopped."""
        self.failures = 0
        while True:
            began = trio.current_time()
            if self._process is not None:
                await self._process.wait()
                if self._stopping:
                    return
                self._log.error("etcd.died", last_words=self.last_words())
                self.close()
            self.failures = 0 if trio.current_time() - began > STEADY_S else self.failures + 1
            await trio.sleep(PAUSES_S[min(self.failures, len(PAUSES_S)) - 1] if self.failures else 0.0)
            if self._stopping:
                return
            try:
                await self._start(spec)
            except (PaasdError, OSError) as error:
                self._log.error("etcd.start_failed", reason=str(error))

    async def stop(self) -> bool:
        """End the process, whichever daemon started it; its data stay. Whether there was one."""
        self._stopping = True
        record = self._read_record()
        if self._process is None and record is not None:
            self._process = LastingProcess.adopt(record.pid, record.start_time)
        there = self._process is not None
        if self._process is not None:
            await self._process.stop(STOP_GRACE_S)
            self.close()
        self._record.unlink(missing_ok=True)
        return there

    def wipe(self) -> None:
        """Remove its data: it is no member any more, and must not come back with them."""
        shutil.rmtree(self.data, ignore_errors=True)

    def close(self) -> None:
        """Let go; it goes on running."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def limit_output(self) -> None:
        """Begin its output anew when it has grown too large; it appends, so it goes on there."""
        path = self._folder / "etcd.log"
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            os.truncate(path, 0)

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
