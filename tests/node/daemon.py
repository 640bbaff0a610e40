"""The daemon as a process of its own, for tests that kill it, and load that counts every answer."""

import signal
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import trio

from tests.node.harness import free_port

START_LIMIT_S = 60.0


class Daemon:
    """`paasd serve` on a data directory; start, kill, start again."""

    def __init__(self, data: Path, sections: str = "", *, node: str = "") -> None:
        self.data = data
        self.http_port, self.https_port, self.api_port, self.ssh_port = (free_port() for _ in range(4))
        self.config = data / "paasd.toml"
        self.process: subprocess.Popen[bytes] | None = None
        data.mkdir(mode=0o700, exist_ok=True)
        self.config.write_text(
            f'data = "{data}"\n[node]\nmemory_mb = 8192\ndisk_mb = 20480\n{node}[api]\nport = {self.api_port}\n'
            f"[ssh]\nport = {self.ssh_port}\n"
            f"[router]\nhttp_port = {self.http_port}\nhttps_port = {self.https_port}\n{sections}"
        )

    @property
    def socket(self) -> Path:
        """The API's socket for root."""
        return self.data / "run" / "api.sock"

    @property
    def log(self) -> str:
        """What the daemon wrote, all lives together."""
        return (self.data / "serve.log").read_text()

    def command(self, *words: str) -> list[str]:
        """The command line of `paasd`, meant for this daemon."""
        return [sys.executable, "-m", "paasd", "--data", str(self.data), *words]

    async def start(self) -> float:
        """Start and wait until the API answers; the seconds it took."""
        began = trio.current_time()
        with (self.data / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                self.command("serve", "--config", str(self.config)), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        with trio.fail_after(START_LIMIT_S):
            while not await self.answers():
                assert self.process.poll() is None, f"the daemon ended: {self.log[-2000:]}"
                await trio.sleep(0.02)
        return trio.current_time() - began

    async def answers(self) -> bool:
        """Whether the API is up."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            try:
                return (await client.get("/v3")).status_code == 200
            except httpx.TransportError:
                return False

    async def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        await trio.to_thread.run_sync(self.process.wait)

    async def terminate(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await trio.to_thread.run_sync(self.process.wait)


@asynccontextmanager
async def running_daemon(data: Path, sections: str = "", *, node: str = "") -> AsyncIterator[Daemon]:
    """A started daemon, configured by further TOML, also in its section [node]; everything of it is gone afterwards."""
    daemon = Daemon(data, sections, node=node)
    try:
        await daemon.start()
        yield daemon
    finally:
        with trio.CancelScope(shield=True):
            if daemon.process is not None and daemon.process.poll() is None:
                await daemon.terminate()
            await trio.to_thread.run_sync(end_all, daemon)


def end_all(daemon: Daemon) -> None:
    """`paasd stop --all`."""
    command = daemon.command("stop", "--all", "--config", str(daemon.config))
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


class Load:
    """Requests at a steady rate over HTTPS; `answers` counts them by status or error."""

    def __init__(self, port: int, host: str, ca: Path, rate_per_s: float) -> None:
        self.answers: Counter[str] = Counter()
        self.bodies: Counter[str] = Counter()
        self._url = f"https://127.0.0.1:{port}/"
        self._host = host
        self._context = ssl.create_default_context(cafile=str(ca))
        self._period_s = 1 / rate_per_s

    @property
    def failed(self) -> dict[str, int]:
        """Everything that was not a 200."""
        return {answer: count for answer, count in self.answers.items() if answer != "200"}

    async def run(self) -> None:
        """Until cancelled; a slow answer does not slow the others."""
        limits = httpx.Limits(max_connections=50, max_keepalive_connections=50)
        async with (
            httpx.AsyncClient(verify=self._context, timeout=20, limits=limits) as client,
            trio.open_nursery() as nursery,
        ):
            due = trio.current_time()
            while True:
                nursery.start_soon(self._ask, client)
                due += self._period_s
                await trio.sleep_until(due)

    async def _ask(self, client: httpx.AsyncClient) -> None:
        try:
            answer = await client.get(self._url, headers={"Host": self._host}, extensions={"sni_hostname": self._host})
        except httpx.HTTPError as error:
            self.answers[type(error).__name__] += 1
            return
        self.answers[str(answer.status_code)] += 1
        self.bodies[answer.text] += 1
