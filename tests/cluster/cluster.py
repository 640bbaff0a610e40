"""A platform on several hosts: started as the documents say, driven through any node, and taken apart."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio

from tests.cluster.fabric import Fabric, Host, fabric
from tests.node.harness import SPACE, Pusher

LOAD = Path(__file__).with_name("load.py")
START_LIMIT_S = 90.0
HTTPS_PORT = 443


class Member:
    """One node of the platform and its host."""

    def __init__(self, host: Host, zone: str, sections: str, role: str = "control") -> None:
        self.host = host
        self.zone = zone
        self.role = role
        self.kept = False
        """Whether the daemon is started again whenever it ends, as its unit does it."""
        self.config = host.data.with_suffix(".toml")
        host.data.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f'data = "{host.data}"\n[node]\nname = "node{host.number}"\nzone = "{zone}"\nmemory_mb = 4096\n'
            f'disk_mb = 40960\n[cluster]\naddress = "{host.address}"\n'
            f'[router]\nhost = "0.0.0.0"\nworkers = 1\n{sections}'
        )

    @property
    def name(self) -> str:
        return f"node{self.host.number}"

    @property
    def guid(self) -> str:
        return (self.host.data / "node-guid").read_text().strip()

    @property
    def log(self) -> str:
        """What the daemon wrote."""
        return self.host.log_path.read_text() if self.host.log_path.exists() else ""

    def paasd(self, *words: str, timeout_s: float = 60) -> str:
        """A command on this node, as root; its output. Raises AssertionError with what it said."""
        command = [sys.executable, "-m", "paasd", "--data", str(self.host.data), *words]
        done = self.host.execute(*command, timeout_s=timeout_s)
        assert done.returncode == 0, f"{self.name}: paasd {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *, before: Sequence[str] = ()) -> None:
        """Start the daemon; does not wait. `before` are the first words of the command."""
        self.host.start("serve", "--config", str(self.config), keep=self.kept, before=before)

    def client(self, timeout_s: float = 120) -> httpx.AsyncClient:
        """The API through root's door; it does not cross the network."""
        # There is no TLS on it: without this every client would read all authorities of this machine, for 20 ms.
        transport = httpx.AsyncHTTPTransport(uds=str(self.host.data / "run" / "api.sock"), verify=False)
        return httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=timeout_s)

    async def answers(self) -> bool:
        """Whether the API is up."""
        async with self.client(2) as client:
            try:
                return (await client.get("/v3")).status_code == 200
            except httpx.HTTPError:
                return False

    async def until_answering(self) -> None:
        """Raises with the end of the daemon's log when it takes too long."""
        with trio.move_on_after(START_LIMIT_S):
            while not await self.answers():
                await trio.sleep(0.05)
            return
        raise AssertionError(f"{self.name} does not answer; it says: {self.log[-3000:]}")

    async def status(self) -> dict[str, Any]:
        """What `paasd status` knows."""
        async with self.client(10) as client:
            answer = await client.get("/paasd/v1/status")
            answer.raise_for_status()
            return dict(answer.json())

    async def nodes(self) -> list[dict[str, Any]]:
        """The nodes as this one sees them: state, reachability, vote."""
        async with self.client(10) as client:
            return list((await client.get("/paasd/v1/nodes")).raise_for_status().json()["nodes"])

    async def running(self, app: str) -> int:
        """How many instances of an app run, as this node knows it."""
        async with self.client(10) as client:
            answer = await client.get(f"{SPACE}/apps/{app}/stats")
        return [one["state"] for one in answer.raise_for_status().json()["resources"]].count("RUNNING")

    async def push(self, name: str, files: Any, manifest: str | None = None) -> dict[str, Any]:
        """A one-call push through this node."""
        async with self.client() as client:
            return await Pusher(client, client, HTTPS_PORT).push(name, files, manifest)

    def lose(self) -> None:
        """The whole machine is gone at once."""
        self.host.power_off()

    def kill_daemon(self) -> None:
        """kill -9 of paasd alone."""
        self.host.signal_daemon(signal.SIGKILL)


class Answer(msgspec.Struct, frozen=True):
    """One request of the load: when it began, how long it took, through which node, and what came."""

    began: float
    seconds: float
    address: str
    outcome: str
    body: str


class Load:
    """Steady requests of a client through the given nodes, in turn."""

    def __init__(self, cluster: "Cluster", app_host: str, rate_per_s: float, members: Sequence[Member]) -> None:
        ca = cluster.members[0].host.data / "certificates" / "ca.pem"
        with cluster.fabric.client_side() as enter:
            self._process = subprocess.Popen(
                [*enter, sys.executable, str(LOAD), app_host, str(ca), str(rate_per_s)]
                + [f"{member.host.address}:{HTTPS_PORT}" for member in members],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self._answers: list[Answer] = []

    async def read(self) -> None:
        """Collect until it ends; run it as a task."""
        await trio.to_thread.run_sync(self._collect)

    def _collect(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        with stdout:
            for line in stdout:
                words = line.split()
                answer = Answer(float(words[0]), float(words[1]), words[2], words[3], " ".join(words[4:]))
                self._answers.append(answer)

    def answers(self) -> list[Answer]:
        """Everything that has been answered or has failed so far, in order of its end."""
        return self._answers.copy()

    def counts(self) -> Counter[str]:
        """How many of each outcome."""
        return Counter(answer.outcome for answer in self.answers())

    async def stop(self) -> None:
        """No further requests; `read` goes on until the last answer."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._process.wait)


def failures(answers: Sequence[Answer], after: float, *, through: Sequence[Member]) -> list[Answer]:
    """What did not end in 200 of the requests begun after a moment, through these nodes."""
    addresses = {member.host.address for member in through}
    return [a for a in answers if a.began >= after and a.outcome != "200" and a.address in addresses]


async def _holds(condition: Callable[[], Any]) -> bool:
    try:
        return bool(await condition())
    except httpx.HTTPError:
        return False


class Cluster:
    """The members, in the order in which they joined; the first is as good as the others."""

    def __init__(self, fabric: Fabric, members: list[Member]) -> None:
        self.fabric = fabric
        self.members = members

    @property
    def living(self) -> list[Member]:
        """Those whose machine is on."""
        return [member for member in self.members if member.host.running]

    async def join(self, member: Member, through: Member) -> None:
        """As an operator would: a token there, a join here, the daemon started."""
        member.host.power_on()
        options = ["--role", "worker"] if member.role == "worker" else []
        made = await trio.to_thread.run_sync(lambda: through.paasd("token", "create", *options))
        token = next(word for word in made.split() if word.startswith("paasd1-"))
        await trio.to_thread.run_sync(lambda: member.paasd("join", token, "--config", str(member.config)))
        member.start()
        await member.until_answering()

    async def until(
        self, condition: Callable[[], Any], *, limit_s: float = 60.0, what: str = "", pause_s: float = 0.05
    ) -> float:
        """Wait for an async condition to be true; the seconds it took. Nodes that do not answer are asked again."""
        began = time.monotonic()
        with trio.move_on_after(limit_s):
            while not await _holds(condition):
                await trio.sleep(pause_s)
            return time.monotonic() - began
        raise AssertionError(f"not within {limit_s} s: {what or condition}")

    async def until_settled(self, limit_s: float = 60.0) -> None:
        """Every member can be reached, may have instances, and votes if it is to; nothing is wrong.

        Before that the loss of a node is one too many: with two of three votes given there is no majority without it.
        """
        through = self.living[0]
        votes = 3 if sum(member.role == "control" for member in self.living) >= 3 else 1

        async def settled() -> bool:
            nodes = await through.nodes()
            return (
                all((one["state"], one["reachability"]) == ("READY", "alive") for one in nodes)
                and sum(one["voter"] for one in nodes) == votes
                and not (await through.status())["problems"]
            )

        await self.until(settled, limit_s=limit_s, what="all nodes are there and vote")

    def dump(self) -> str:
        """The end of every daemon's log but for requests, for a failure that is not understood."""
        return "\n".join(f"--- {member.name}\n{_without_requests(member.log)}" for member in self.members)

    async def destroy(self) -> None:
        """Switch every machine off, and remove what its daemon left in this machine's cgroups."""
        for member in self.members:
            if member.host.running:
                member.host.power_off()
        for member in self.members:
            if member.host.data.exists():
                member.host.power_on()
                await trio.to_thread.run_sync(partial(member.paasd, "stop", "--all", "--config", str(member.config)))
                member.host.power_off()


def _without_requests(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if '"event": "request"' not in line)[-4000:]


@asynccontextmanager
async def cluster(
    directory: Path,
    zones: Sequence[str],
    *,
    sections: str = "",
    workers: Sequence[int] = (),
    started: int | None = None,
) -> AsyncIterator[Cluster]:
    """A running platform with a node per entry of `zones`; `workers` are the positions of those that are no control.

    Only the first `started` are there already (None: all).
    """
    async with fabric(directory, len(zones)) as made:
        members = [
            Member(host, zone, sections, "worker" if number in workers else "control")
            for number, (host, zone) in enumerate(zip(made.hosts, zones, strict=True))
        ]
        found = Cluster(made, members)
        try:
            members[0].host.power_on()
            members[0].start()
            await members[0].until_answering()
            for member in members[1:started]:
                await found.join(member, members[0])
            yield found
        except BaseException:
            print(found.dump())
            raise
        finally:
            with trio.CancelScope(shield=True):
                await found.destroy()


def as_json(text: str) -> Any:
    """The last line of a command's output, as JSON."""
    return json.loads(text.strip().splitlines()[-1])
