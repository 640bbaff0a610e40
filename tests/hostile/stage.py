"""Where attacks happen: one whole node in a thread of its own, an app that serves meanwhile, two tenants' containers.

The node lives as long as the package's tests, so that each attack costs its own time only. Tests are plain functions;
`run` carries a coroutine function over to the node's loop.
"""

import copy
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyseccomp
import trio
from msgspec.structs import replace

from paasd.config import DnsConfig, LogsConfig, NetworkConfig, StagingConfig, SupervisorConfig
from paasd.logs import Line
from paasd.sandbox import PUBLIC_EGRESS, Container, ContainerSpec, EgressRule, Exit, Limits, ProcessSpec
from tests.dns.upstream import Upstream, open_upstream
from tests.node.daemon import Load
from tests.node.harness import HELLO, SPACE, Driver, archive, running_node
from tests.sandbox.network.world import Outside
from tests.sandbox.place import output

T = TypeVar("T")
MIB = 1024 * 1024
SMALL = Limits(memory_bytes=96 * MIB, cpu_cores=0.7, pids=64, disk_bytes=48 * MIB, inodes=3000, open_files=256)
CANARY_WEIGHT = 25
CANARY = """applications:
- name: canary
  memory: 256M
"""
TIMEOUT_S = 60.0
SECRET = "the neighbour's secret"
NEIGHBOUR_PORT = 8080
_PROBE = Path(__file__).with_name("probe.py").read_text()
_NEIGHBOUR = f"""
import http.server, os
os.makedirs("/home/vcap/app", exist_ok=True)
open("/home/vcap/app/secret", "w").write({SECRET!r})
http.server.ThreadingHTTPServer(("0.0.0.0", {NEIGHBOUR_PORT}), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def system_calls() -> dict[str, int]:
    """Numbers of this machine's system calls by name."""
    numbers = {}
    for number in range(600):
        try:
            name = pyseccomp.resolve_syscall(pyseccomp.system_arch(), number)
        except (OSError, ValueError):
            continue
        if name:
            numbers[name.decode() if isinstance(name, bytes) else name] = number
    return numbers


_NUMBERS = system_calls()


def program(code: str, given: dict[str, Any]) -> tuple[str, ...]:
    """The arguments of a probe; `given` become its variables."""
    names = "".join(f"{name} = {value!r}\n" for name, value in given.items())
    end = "print(json.dumps(found), flush=True)\n"
    text = f"{_PROBE}\nNUMBERS.update({_NUMBERS!r})\n{names}{code}\n{end}"
    return ("/usr/bin/python3", "-I", "-c", text)


def last_object(said: str) -> dict[str, Any]:
    """What a probe found: its last line."""
    lines = said.strip().splitlines()
    try:
        found: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise AssertionError(f"the probe broke: {said}") from error
    return found


def on_host(code: str, *wrapper: str, **given: Any) -> dict[str, Any]:
    """The same probe as root on the host: it must work there, or its failure inside means nothing.

    It takes what everybody else leaves of the processor: how fast it is says nothing, and no tenant pays for it.
    """
    words = [*wrapper, *program(code, given)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, start_new_session=True, **pipes) as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, 19)
        # Where the kernel shares the processor out to sessions first, those have a priority too.
        if (session := Path(f"/proc/{process.pid}/autogroup")).exists():
            session.write_text("19")
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return last_object(out + ("" if process.returncode == 0 else err))


def in_new_namespaces(code: str, **given: Any) -> dict[str, Any]:
    """As root with namespaces of its own, for what would change the host."""
    return on_host(code, "unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", **given)


class Stage:
    """Made by `open_stage`."""

    def __init__(self, data: Path, outside: Outside, app_cores: float = 0.0) -> None:
        self.data = data
        self._app_cores = app_cores
        self.outside = outside
        self.space = SPACE
        """Where this tenant's apps are."""
        self.cores: float | None = None
        """The most that any one container of this tenant's may have; None leaves it to each attempt."""
        self.node: Driver
        self.attacker: Container
        self.neighbour: Container
        self.canary: Load
        self.upstream: Upstream
        self._names = (f"hostile-{number}" for number in range(1_000_000))
        self._token: trio.lowlevel.TrioToken
        self._leave: trio.Event

    def run(self, work: Callable[..., Awaitable[T]], *arguments: Any, timeout_s: float = TIMEOUT_S, **named: Any) -> T:
        """Await `work(...)` in the node's loop, with a deadline."""

        async def bounded() -> T:
            with trio.fail_after(timeout_s):
                return await work(*arguments, **named)

        return trio.from_thread.run(bounded, trio_token=self._token)

    def probe(self, code: str, container: Container | None = None, **given: Any) -> dict[str, Any]:
        """Run an attack in a container (the attacker's); what it found."""
        status, said = self.execute(program(code, given), container)
        assert status == 0, said
        return last_object(said)

    def execute(
        self, argv: tuple[str, ...], container: Container | None = None, env: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """Run a program in a container; exit code and output."""
        return self.run(_execute, container or self.attacker, argv, env or {})

    @contextmanager
    def container(self, **changes: Any) -> Iterator[Container]:
        """One more container, not started, gone after the block."""
        limits = self._bounded(changes.pop("limits", SMALL))
        given = {"guid": next(self._names), "kind": "task", "limits": limits, "egress": PUBLIC_EGRESS, **changes}
        spec = ContainerSpec(**given)
        container = self.run(self.node.node.sandbox.create, spec)
        try:
            yield container
        finally:
            self.run(container.destroy)

    def start(self, container: Container, code: str, **given: Any) -> None:
        """Start a probe as a container's own program."""
        self.run(container.start, ProcessSpec(argv=program(code, given), cwd="/"))

    def attack(self, container: Container, code: str, **given: Any) -> tuple[Exit, str]:
        """The same, to its end."""
        self.start(container, code, **given)
        ended = self.run(container.wait)
        return ended, output(container.spool)

    def said(self, container: Container, text: str) -> str:
        """The container's output, as soon as `text` is in it."""
        return self.until(lambda: output(container.spool), lambda found: text in found)

    def until(self, look: Callable[[], T], good: Callable[[T], bool], timeout_s: float = TIMEOUT_S) -> T:
        """Look again and again until it is as it should be."""

        async def waiting() -> T:
            while not good(found := await trio.to_thread.run_sync(look)):
                await trio.sleep(0.05)
            return found

        return self.run(waiting, timeout_s=timeout_s)

    def lines(self, app_guid: str, good: Callable[[list[Line]], bool] = bool, **query: Any) -> list[Line]:
        """Stored lines of an app, once they are as they should be; read in the node's loop, whose the store is."""

        async def read() -> list[Line]:
            return self.node.node.context.logs.read(app_guid, **query)

        return self.until(lambda: self.run(read), good)

    def push(self, name: str, bits: dict[str, str | bytes] | bytes, manifest: str | None = None) -> dict[str, Any]:
        """The last event of a push, with the staging lines in `log`."""
        return self.run(self._push, name, bits if isinstance(bits, bytes) else archive(bits), manifest, timeout_s=120)

    async def _push(self, name: str, bits: bytes, manifest: str | None) -> dict[str, Any]:
        parts: dict[str, Any] = {"bits": ("bits", bits, "application/octet-stream")}
        if manifest is not None:
            parts["manifest"] = ("manifest.yml", manifest.encode(), "application/x-yaml")
        params, headers = {"name": name, "wait": "true"}, {"Accept": "application/x-ndjson"}
        answer = await self.node.api.post(self.space + "/push", params=params, headers=headers, files=parts)
        if answer.is_error:
            return {"type": "error", "status": answer.status_code, **answer.json()["errors"][0], "log": []}
        events = [json.loads(line) for line in answer.text.splitlines() if line.strip()]
        return {**events[-1], "log": [event["line"] for event in events if event["type"] == "log"]}

    def delete(self, name: str) -> None:
        """Delete an app, and wait until nothing of it runs."""
        path = f"{self.space}/apps/{name}"
        guid = self.run(self.node.api.get, path).json()["guid"]
        self.run(self.node.api.delete, path).raise_for_status()
        self.until(lambda: self.containers(guid), lambda found: not found)

    async def stats(self, app_guid: str) -> list[dict[str, Any]]:
        """What the instances of an app do."""
        answer = await self.node.api.get(f"/v3/apps/{app_guid}/processes/web/stats")
        return list(answer.raise_for_status().json()["resources"])

    def containers(self, app_guid: str) -> list[Container]:
        """Those of an app's instances."""
        containers = list(self.node.node.sandbox.containers.values())
        return [one for one in containers if app_guid in str(one.spec.labels)]

    def instance(self, app_guid: str) -> Container:
        """The container of an app's only instance."""
        return next(one for one in self.containers(app_guid) if one.running)

    def another(self, name: str, cores: float | None = None) -> "Stage":
        """One more tenant of the same node: an organization and a space, an attacker and a neighbour of its own."""
        tenant = copy.copy(self)
        tenant._names = (f"{name}-{number}" for number in range(1_000_000))
        tenant.cores = cores
        self.run(tenant._settle, name)
        return tenant

    async def _settle(self, name: str) -> None:
        api = self.node.api
        made = await api.post("/v3/organizations", json={"name": name})
        organization = {"organization": {"data": {"guid": made.raise_for_status().json()["guid"]}}}
        (await api.post("/v3/spaces", json={"name": "dev", "relationships": organization})).raise_for_status()
        self.space = f"/paasd/v1/spaces/{name}/dev"
        await self._people(name)

    async def _people(self, name: str) -> None:
        self.attacker = await self._tenant(f"{name}attacker", ("/bin/sleep", "infinity"))
        self.neighbour = await self._tenant(f"{name}neighbour", ("/usr/bin/python3", "-c", _NEIGHBOUR))

    async def _live(self, ready: "queue.Queue[BaseException | None]") -> None:
        self._token, self._leave = trio.lowlevel.current_trio_token(), trio.Event()
        sections: dict[str, Any] = {
            "network": NetworkConfig(uplinks=(self.outside.interface,), flows_limit=64, resolver_flows_limit=32),
            "supervisor": SupervisorConfig(
                stop_grace_s=1.0, drain_s=0.1, pids=64, open_files=256, inodes=5000, cores_limit=self._app_cores
            ),
            "staging": StagingConfig(
                timeout_s=30,
                cores_limit=self._app_cores,
                pids=128,
                inodes=20_000,
                entries_limit=5000,
                unpacked_limit_bytes=128 * MIB,
                buildpacks={"runner_buildpack": str(make_runner(self.data.with_name("runner")))},
            ),
            "logs": LogsConfig(write_delay_s=0.005, line_limit_bytes=16 * 1024),
        }
        async with (
            open_upstream() as self.upstream,
            running_node(self.data, dns=DnsConfig(upstreams=(self.upstream.server,)), **sections) as self.node,
        ):
            result = await self.node.push("canary", HELLO, CANARY)
            assert result["type"] == "result", result
            node = self.node.node
            self.canary = Load(
                node.router.https_port, "canary.apps.localhost", node.certificates.authority_path, rate_per_s=8
            )
            await self._people("")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.canary.run)
                ready.put(None)
                await self._leave.wait()
                nursery.cancel_scope.cancel()

    def _bounded(self, limits: Limits) -> Limits:
        if self.cores is None:
            return limits
        return replace(limits, cpu_cores=min(limits.cpu_cores or self.cores, self.cores), cpu_weight=CANARY_WEIGHT)

    async def _tenant(self, name: str, argv: tuple[str, ...]) -> Container:
        # All that an operator can open: what is refused is refused in spite of it.
        egress = (*PUBLIC_EGRESS, EgressRule("0.0.0.0/0"))
        spec = ContainerSpec(guid=name, kind="task", limits=self._bounded(SMALL), egress=egress)
        container = await self.node.node.sandbox.create(spec)
        await container.start(ProcessSpec(argv=argv, env={"TENANT_SECRET": SECRET}, cwd="/home/vcap/app"))
        return container

    def leave(self) -> None:
        self._token.run_sync_soon(self._leave.set)


async def _execute(container: Container, argv: tuple[str, ...], env: dict[str, str]) -> tuple[int, str]:
    reader, writer = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    said = bytearray()
    async with trio.lowlevel.FdStream(reader) as stream:
        try:
            handle = await container.exec(argv, env, "/", (null, writer, writer))
        finally:
            os.close(writer)
            os.close(null)

        async def collect() -> None:
            while chunk := await stream.receive_some(65536):
                said.extend(chunk)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect)
            try:
                status = await handle.wait()
            finally:
                handle.close()
            # What the program left behind may hold the pipe open; what it has written is in there by now.
            with trio.move_on_after(0.3):
                while nursery.child_tasks:
                    await trio.sleep(0.005)
            nursery.cancel_scope.cancel()
    return status, said.decode(errors="replace")


def make_runner(directory: Path) -> Path:
    """A buildpack that runs the tenant's build.sh and nothing else, so that no toolchain has to be fetched."""
    programs = {
        "detect": "echo runner",
        "compile": 'cd "$1" && sh ./build.sh',
        "release": 'echo "---"; echo "default_process_types:"; echo "  web: python3 server.py"',
    }
    (directory / "bin").mkdir(parents=True)
    for name, text in programs.items():
        path = directory / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return directory


@contextmanager
def open_stage(data: Path, outside: Outside, app_cores: float = 0.0) -> Iterator[Stage]:
    """The node and all on it, until the block ends; an error of the node comes out of here."""
    stage = Stage(data, outside, app_cores)
    ready: queue.Queue[BaseException | None] = queue.Queue()

    def live() -> None:
        try:
            trio.run(partial(stage._live, ready))
        except BaseException as error:  # noqa: BLE001, ASYNC103 (handed to the thread of the tests)
            ready.put(error)
        else:
            ready.put(None)

    thread = threading.Thread(target=live, name="node")
    thread.start()
    if (failure := ready.get(timeout=120)) is not None:
        raise failure
    try:
        yield stage
    finally:
        # Whatever else went wrong went wrong after it.
        with suppress(trio.RunFinishedError):
            stage.leave()
        thread.join()
        if (failure := ready.get_nowait()) is not None:
            raise failure
