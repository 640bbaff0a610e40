"""What the benchmarks of a whole node share: a daemon of its own, processor time and memory of processes, the table."""

import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio

from paasd.config import RouterConfig
from paasd.router.router import runtime_directory
from paasd.sandbox import node_prefix

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
SPACE = "/paasd/v1/spaces/main/dev"
START_LIMIT_S = 60.0
SCALE_LIMIT_S = 180.0


class Node:
    """`paasd serve` as a process of its own on free ports, and clients of it."""

    def __init__(self, data: Path, ports: tuple[int, int, int]) -> None:
        self.data = data
        self.https_port = ports[1]
        self._config = data / "paasd.toml"
        self._process: subprocess.Popen[bytes] | None = None
        data.mkdir(mode=0o700, parents=True)
        self._config.write_text(
            f'data = "{data}"\n[node]\nmemory_mb = 16384\ndisk_mb = 65536\n[api]\nport = {ports[2]}\n'
            f"[router]\nhttp_port = {ports[0]}\nhttps_port = {ports[1]}\n"
        )
        self.api = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(data / "run/api.sock")), base_url="http://localhost", timeout=300
        )
        self.web: httpx.AsyncClient

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> float:
        """Seconds from exec to the first answer of the API."""
        began = time.perf_counter()
        with (self.data / "serve.log").open("ab") as log:
            command = [sys.executable, "-m", "paasd", "serve", "--config", str(self._config)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: ASYNC220
        with trio.fail_after(START_LIMIT_S):
            while True:
                if self._process.poll() is not None:
                    raise SystemExit((self.data / "serve.log").read_text()[-2000:])
                try:
                    if (await self.api.get("/v3")).status_code == 200:
                        break
                except httpx.TransportError:
                    await trio.sleep(0.01)
        took_s = time.perf_counter() - began
        authority = str(self.data / "certificates/ca.pem")
        self.web = httpx.AsyncClient(verify=ssl.create_default_context(cafile=authority), timeout=30)
        return took_s

    async def stop(self) -> None:
        """SIGTERM; instances and Envoy go on."""
        assert self._process is not None
        self._process.terminate()
        await trio.to_thread.run_sync(self._process.wait)

    async def end(self) -> None:
        """Everything of the node."""
        if self._process is not None and self._process.poll() is None:
            await self.stop()
        command = [sys.executable, "-m", "paasd", "--data", str(self.data), "stop", "--all"]
        await trio.run_process([*command, "--config", str(self._config)], capture_stdout=True, stdin=subprocess.DEVNULL)

    async def push(self, name: str, bits: bytes, manifest: str | None = None) -> dict[str, Any]:
        """The last event of a one-call push. Ends the program when the push fails."""
        files: dict[str, Any] = {"bits": ("bits", bits, "application/octet-stream")}
        if manifest is not None:
            files["manifest"] = ("manifest.yml", manifest.encode(), "application/x-yaml")
        last: dict[str, Any] = {}
        async with self.api.stream(
            "POST", f"{SPACE}/push", params={"name": name, "wait": "true"},
            headers={"Accept": "application/x-ndjson"}, files=files,
        ) as answer:  # fmt: skip
            async for line in answer.aiter_lines():
                last = msgspec.json.decode(line)
        if last.get("type") != "result":
            raise SystemExit(f"push of {name} failed: {last}")
        return last

    async def get(self, name: str, path: str = "/") -> httpx.Response:
        """A request of a client of the app, over HTTPS."""
        host = f"{name}.apps.localhost"
        url = f"https://127.0.0.1:{self.https_port}{path}"
        return await self.web.get(url, headers={"Host": host}, extensions={"sni_hostname": host})

    async def app_guid(self, name: str) -> str:
        answer = await self.api.get(f"{SPACE}/apps/{name}")
        answer.raise_for_status()
        return str(answer.json()["guid"])

    async def scale(self, guid: str, instances: int, others: int = 0) -> float:
        """Seconds until all instances run, or until all that are too many are gone with their processes.

        `others` is how many instances of other apps run.
        """
        path = f"/v3/apps/{guid}/processes/web"
        began = time.perf_counter()
        (await self.api.post(f"{path}/actions/scale", json={"instances": instances})).raise_for_status()
        with trio.fail_after(SCALE_LIMIT_S):
            while not await self._running(path) == instances == len(self.shims()) - others:  # noqa: ASYNC110
                await trio.sleep(0.01 if instances < 5 else 0.05)
        return time.perf_counter() - began

    async def _running(self, path: str) -> int:
        stats = (await self.api.get(f"{path}/stats")).json()["resources"]
        return [one["state"] for one in stats].count("RUNNING")

    def shims(self) -> list[int]:
        """The processes that watch over this node's containers."""
        return self._titled(f"paasd-shim {node_prefix(self.data)} ")

    def zygotes(self) -> list[int]:
        """The process that forks them."""
        return self._titled(f"paasd-zygote {node_prefix(self.data)}")

    def envoys(self) -> list[int]:
        """The router's process."""
        record = runtime_directory(self.data, RouterConfig().uid) / "envoy.json"
        return [int(msgspec.json.decode(record.read_bytes())["pid"])]

    @staticmethod
    def _titled(title: str) -> list[int]:
        return [pid for pid, line in command_lines() if line.startswith(title)]


@asynccontextmanager
async def running_node(data: Path, ports: tuple[int, int, int]) -> AsyncIterator[Node]:
    """A node that is started inside the block; nothing of it is left afterwards."""
    node = Node(data, ports)
    try:
        yield node
    finally:
        with trio.CancelScope(shield=True):
            await node.end()
            await node.api.aclose()


def command_lines() -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append((int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()))
            except OSError:
                continue
    return found


def pss_mb(pid: int) -> float:
    """Proportional share of memory: what is shared between processes counts once."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"Pss: +(\d+)", text)[1]) / 1024  # type: ignore[index]


def cpu_s(pid: int) -> float:
    """Processor time so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


class Table:
    """Lines of what, result, budget; printed as they come."""

    def __init__(self) -> None:
        self.missed: list[str] = []
        print(f"{'what':52} {'result':>10} {'budget':>10}        peer in the same run")

    def add(self, what: str, result: float, unit: str, budget: float | None = None, peer: str = "") -> None:
        """One line. `budget` in the same unit; None has none."""
        verdict = "" if budget is None else "ok" if result <= budget else "MISSED"
        if verdict == "MISSED":
            self.missed.append(what)
        shown = "" if budget is None else f"{budget:g} {unit}"
        print(f"{what:52} {f'{result:.2f} {unit}':>10} {shown:>10} {verdict:6}  {peer}", flush=True)
