"""Keeps one Envoy running for as long as the node lives, across restarts of the daemon.

At start it adopts the Envoy that the record names if that one runs with the configuration wanted now, and otherwise
replaces it. From then on it starts Envoy again whenever it dies, with a growing pause while it keeps dying.
"""

import errno
import hashlib
import os
import shutil
import socket
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog
import trio

from paasd.config import RouterConfig
from paasd.errors import PaasdError
from paasd.lasting import LastingProcess, boot_id, start_time
from paasd.router.engine.binary import find_binary
from paasd.router.engine.bootstrap import bootstrap
from paasd.router.engine.record import Record

_LOG_LIMIT_BYTES = 8 * 1024 * 1024
_STOP_GRACE_S = 2.0
_IP_FREEBIND = 15


class PortTaken(PaasdError):
    """Another program has the port; the detail names the knob that moves ours."""


class EngineFailed(PaasdError):
    """Envoy did not come up; the detail holds its last words."""


class Engine:
    """The running Envoy, as others may see it."""

    def __init__(
        self, config: RouterConfig, directory: Path, uid: int, cgroups: Sequence[Path], *, outlive: bool = True
    ) -> None:
        self._config = config
        self._directory = directory
        self._uid = uid
        self._cgroups = cgroups
        self._outlive = outlive
        self._process: LastingProcess | None = None
        self._log = structlog.get_logger(__name__)
        self.http_port = config.http_port
        self.https_port = config.https_port
        self.tunnel: tuple[str, int] | None = None
        self.doorway = 0
        self.restarts = 0
        self.adopted = False
        self.stopping = False

    @property
    def admin(self) -> Path:
        """Envoy's own administration socket; root and Envoy's user only."""
        return self._directory / "envoy" / "admin.sock"

    @property
    def control(self) -> Path:
        """The daemon's socket, which Envoy connects to."""
        return self._directory / "control.sock"

    @property
    def pid(self) -> int | None:
        """Envoy's process id, None between two lives."""
        return None if self._process is None else self._process.pid

    @property
    def _record(self) -> Path:
        return self._directory / "envoy.json"

    @property
    def _output(self) -> Path:
        return self._directory / "envoy.log"

    def _configuration(self) -> bytes:
        content = bootstrap(
            self._config,
            control=self.control,
            admin=self.admin,
            http_port=self.http_port,
            https_port=self.https_port,
        )
        return msgspec.json.encode(content)

    async def open(self) -> None:
        """Adopt or start. Raises EnvoyMissing, PortTaken, EngineFailed."""
        self._binary = find_binary(override=self._config.binary)
        record = self._read_record()
        if record is not None:
            # Ports picked freely stay what they were, for as long as someone may know them.
            self.http_port = self._config.http_port or record.http_port
            self.https_port = self._config.https_port or record.https_port
            process = LastingProcess.adopt(record.pid, record.start_time)
            if process is not None:
                if record.configuration == self._digest():
                    self._process, self.adopted = process, True
                    self.tunnel, self.doorway = record.tunnel, record.doorway
                    self._log.info("router.adopted", pid=process.pid)
                    return
                self._process = process
                await self.replace()
                return
        await self._claim_and_start()

    async def replace(self) -> None:
        """End the Envoy that was found, and start one on the same ports."""
        if self._process is not None:
            self._log.info("router.replacing", pid=self._process.pid)
            await self._process.stop(_STOP_GRACE_S)
            self._process.close()
        self._process, self.adopted = None, False
        await self._claim_and_start()

    async def _claim_and_start(self) -> None:
        self.http_port = claim_port(self._config.host, self.http_port, "[router] http_port")
        self.https_port = claim_port(self._config.host, self.https_port, "[router] https_port")
        await self._start()

    def _digest(self) -> str:
        # With the time of the binary, so that an upgraded package replaces the Envoy that ran the old one.
        binary = f"{self._binary} {self._binary.stat().st_mtime_ns} "
        return hashlib.sha256(binary.encode() + self._configuration()).hexdigest()

    def _read_record(self) -> Record | None:
        try:
            record = msgspec.json.decode(self._record.read_bytes(), type=Record)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return record if record.boot_id == boot_id() else None

    async def _start(self) -> None:
        self.trim_output()
        path = self._directory / "bootstrap.json"
        path.write_bytes(self._configuration())
        path.chmod(0o644)
        arguments = ["--config-path", str(path), "--disable-hot-restart", "--log-level", "warning"]
        # Else it writes two lines a second for as long as the daemon is away; refusals reach the daemon by themselves.
        arguments += ["--component-log-level", "config:error"]
        if self._config.workers:
            arguments += ["--concurrency", str(self._config.workers)]
        self._process = LastingProcess.start(
            self._binary,
            arguments,
            uid=self._uid,
            cgroups=self._cgroups,
            log=self._output,
            outlive=self._outlive,
        )
        self._write_record(self._process.pid)
        self._log.info("router.started", pid=self._process.pid, http=self.http_port, https=self.https_port)

    def _write_record(self, pid: int) -> None:
        record = Record(
            pid=pid,
            start_time=start_time(pid) or 0,
            boot_id=boot_id(),
            configuration=self._digest(),
            http_port=self.http_port,
            https_port=self.https_port,
            tunnel=self.tunnel,
            doorway=self.doorway,
        )
        temporary = self._record.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(record))
        temporary.replace(self._record)

    def claim_tunnel(self, host: str, port: int) -> int:
        """The port for other nodes' routers: that of the Envoy which runs, else `port`, or a free one for 0.

        Raises PortTaken.
        """
        if self.tunnel is None or self.tunnel[0] != host or port not in (0, self.tunnel[1]):
            self.tunnel = host, claim_port(host, port, "[cluster] tunnel_port")
            if self._process is not None:
                self._write_record(self._process.pid)
        return self.tunnel[1]

    def claim_doorway(self, host: str) -> int:
        """The port for calls between apps: that of the Envoy which runs, else a free one. Raises PortTaken."""
        if not self.doorway:
            self.doorway = claim_port(host, 0, "[network] link address", freebind=True)
            if self._process is not None:
                self._write_record(self._process.pid)
        return self.doorway

    def trim_output(self) -> None:
        """Empty Envoy's log when it has grown large. Envoy appends, so it goes on at the new end."""
        if self._output.exists() and self._output.stat().st_size > _LOG_LIMIT_BYTES:
            os.truncate(self._output, 0)

    def last_words(self) -> str:
        """The end of Envoy's output."""
        try:
            with self._output.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
                return "\n".join(deque(file.read().decode(errors="replace").splitlines(), maxlen=6))
        except FileNotFoundError:
            return "(no output)"

    async def died(self) -> EngineFailed:
        """Wait until Envoy ends; the error to raise if it was not meant to."""
        assert self._process is not None
        code = await self._process.wait()
        return EngineFailed(f"Envoy ended with code {code}; its last words: {self.last_words()}")

    async def supervise(self) -> None:
        """Start Envoy again each time it ends. Returns when it was stopped."""
        pause_s = self._config.restart_pause_min_s
        while True:
            began = trio.current_time()
            if self._process is not None:
                failure = await self.died()
                if self.stopping:
                    return
                self._log.error("router.engine_died", reason=failure.detail)
                self._process.close()
                self._process = None
                if trio.current_time() - began > self._config.restart_calm_s:
                    pause_s = self._config.restart_pause_min_s
                else:
                    await trio.sleep(pause_s)
                    pause_s = min(pause_s * 2, self._config.restart_pause_max_s)
            if self.stopping:
                return
            self.restarts += 1
            try:
                await self._start()
            except OSError as error:
                self._log.error("router.start_failed", reason=str(error))
                await trio.sleep(pause_s)

    async def stop(self) -> None:
        """End Envoy for good, and remove what it left: the node stops serving."""
        self.stopping = True
        if self._process is not None:
            await self._process.stop(_STOP_GRACE_S)
        shutil.rmtree(self._directory, ignore_errors=True)

    async def stop_recorded(self) -> bool:
        """End the Envoy that an earlier daemon left at work; whether there was one."""
        record = self._read_record()
        self._process = None if record is None else LastingProcess.adopt(record.pid, record.start_time)
        found = self._process is not None
        await self.stop()
        self.close()
        return found

    def close(self) -> None:
        """Let go of Envoy; it goes on serving."""
        if self._process is not None:
            self._process.close()


def claim_port(host: str, port: int, knob: str, *, freebind: bool = False) -> int:
    """`port`, or a free one for 0. Raises PortTaken if Envoy could not have it to itself.

    With `freebind` the address need not be there yet.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Address reuse steps over connections in TIME_WAIT, but not over another listener, as port reuse would.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if freebind:
            probe.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            reason = {
                errno.EADDRINUSE: "another program listens there",
                errno.EACCES: "ports below 1024 need root",
                errno.EADDRNOTAVAIL: "this machine has no such address",
            }.get(error.errno or 0, error.strerror)
            raise PortTaken(
                f"the router cannot listen on {host}:{port}: {reason}; free it (`ss -ltnp` shows who has it) or set "
                f"another {knob}"
            ) from error
        taken: int = probe.getsockname()[1]
        return taken
