"""The container of one build: what it is given, one phase of the lifecycle after the other, its lines into the log."""

import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trio

import paasd.buildpacks
from paasd.blobs import Blob, Blobs
from paasd.buildpacks.catalogue import ROOT
from paasd.config import StagingConfig
from paasd.errors import PaasdError
from paasd.logs import Line, Logs, SpoolTail
from paasd.logs.line import Stream
from paasd.model import App, Space
from paasd.model.quotas.blobs import check_new
from paasd.model.quotas.places import QuotaExceeded
from paasd.model.security_groups import group_name
from paasd.packing import UNREADABLE
from paasd.sandbox import (
    AnyContainer,
    AnySandbox,
    Bind,
    ContainerSpec,
    Exit,
    Limits,
    Policies,
    ProcessSpec,
    squashfs_options,
)
from paasd.stager.caches import Caches
from paasd.stager.inputs import Inputs
from paasd.stager.outcome import FailureFile, StagingError, failure_text
from paasd.stager.sources import Reach, Sources, certificate_environment, resolve
from paasd.stager.toolchains import Toolchains
from paasd.state import Database

T = TypeVar("T")
_MB = 1024 * 1024
# Places inside; the container's root goes before them.
_LIFECYCLE = "/opt/paasd"
_HANDED = "/opt/paasd/build"
_PACKAGE = "/opt/paasd/package"
_CUSTOM = "/opt/paasd/custom"
_HOME = "/home/vcap"
_ENTRY = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from buildpacks.__main__ import main; "
    "sys.exit(main(sys.argv[1:]))"
)
_OUTPUTS = {"detect": "plan", "build": "result", "unpack": "result", "pack": "packed"}
# A disk this full made the step fail, whatever its programs said.
_FULL = 0.97


class Tools(msgspec.Struct, frozen=True):
    """The parts of the node that staging uses."""

    config: StagingConfig
    database: Database
    sandbox: AnySandbox
    blobs: Blobs
    logs: Logs
    toolchains: Toolchains
    caches: Caches
    directory: Path
    clock: Callable[[], float]

    async def adopt(self, fd: int, app_guid: str) -> Blob:
        """Make an image of the app's a blob, if quotas have room. Raises TooLarge, DiskFull, StagingError."""

        def admit(blob: Blob) -> None:
            with self.database.read() as tx:
                space = tx.need(Space, tx.need(App, app_guid).space_guid)
                check_new(tx, space, blob.sha256, blob.size_bytes, self.blobs.spend)

        try:
            return await self.blobs.adopt_fd(fd, self.config.image_limit_bytes, admit)
        except QuotaExceeded as error:
            raise StagingError(f"StagingError - {error.detail}") from error


class Chamber:
    """Made by `open_chamber`; `request` is what the lifecycle is told, written anew before each phase that needs it."""

    def __init__(self, tools: Tools, inputs: Inputs, container: AnyContainer, handed: Path) -> None:
        self._tools = tools
        self._build = inputs.build
        self._container = container
        self._handed = handed
        self.request: dict[str, Any] = {}

    async def run(self, phase: str, layers: tuple[Path, ...], kind: type[T]) -> T:
        """One phase over these layers; gives its output file. Raises StagingError with the build's error text."""
        await trio.to_thread.run_sync(self._write_request)
        container = self._container
        root, home = container.root, container.root + _HOME
        program = ("/usr/bin/python3", "-I", "-B", "-c", _ENTRY, root + _LIFECYCLE)
        argv = (*program, phase, f"{root}{_HANDED}/request.json")
        kills, refused = container.oom_kills, container.forks_refused
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": home, "LANG": "C.UTF-8"}
        await container.start(ProcessSpec(argv=argv, env=environment, cwd=home), layers)
        exit_ = await container.wait()
        if exit_.reason == "exited" and exit_.code == 0:
            return self._read(_OUTPUTS[phase], kind)
        limits, usage = container.spec.limits, container.usage()
        raise StagingError(
            failure_text(
                phase,
                exit_,
                self._read_failure(exit_),
                out_of_memory=container.oom_kills > kills,
                disk_full=usage.disk_bytes >= _FULL * limits.disk_bytes,
                pids_full=container.forks_refused > refused,
                memory_mb=self._build.staging_memory_mb,
                disk_mb=self._build.staging_disk_mb,
                pids=limits.pids,
            )
        )

    def open_image(self, name: str, limit_bytes: int) -> int:
        """An fd on an image that the pack phase wrote; the caller closes it. Raises Unprocessable, TooLarge."""
        return self._container.open_output(f"home/vcap/staging/out/{name}.sqfs", limit_bytes)

    def _write_request(self) -> None:
        path = self._handed / "request.json"
        path.write_text(json.dumps(self.request))
        path.chmod(0o644)

    def _read(self, name: str, kind: type[T]) -> T:
        """A file that the tenant may have written: bounded, of a fixed shape. Raises StagingError."""
        limit_bytes = self._tools.config.result_limit_bytes
        try:
            fd = self._container.open_output(f"home/vcap/staging/{name}.json", limit_bytes)
            with os.fdopen(fd, "rb") as file:
                return msgspec.json.decode(file.read(limit_bytes + 1), type=kind)
        except (PaasdError, *UNREADABLE) as error:
            raise StagingError(
                f"StagingError - Staging error: {name}.json of the build cannot be used: {error}"
            ) from error

    def _read_failure(self, exit_: Exit) -> FailureFile | None:
        try:
            return self._read("failure", FailureFile) if exit_.reason == "exited" else None
        except StagingError:
            return None


@asynccontextmanager
async def open_chamber(
    tools: Tools, sources: Sources, inputs: Inputs, stack_digest: str, today: str, say: Callable[[str], None]
) -> AsyncIterator[Chamber]:
    """A container with the build's limits and reach. It goes at the end, whatever happened."""
    handed = tools.directory / "builds" / inputs.build.guid
    reach = await resolve(sources)
    if reach.unresolved:
        say(f"       Not reachable from here: {', '.join(reach.unresolved)}")
    for sha256 in (inputs.package_sha256, *(sha256 for _name, sha256 in inputs.packs)):
        await tools.blobs.ensure(sha256, whole=True)
    try:
        await trio.to_thread.run_sync(_hand_over, tools, sources, inputs, handed)
        container = await tools.sandbox.create(_spec(tools, inputs, handed, reach))
        try:
            async with _logging(tools, inputs.app_guid, container):
                chamber = Chamber(tools, inputs, container, handed)
                chamber.request = _request(tools, sources, inputs, container.root, stack_digest, today)
                yield chamber
        finally:
            with trio.CancelScope(shield=True):
                await container.destroy()
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(shutil.rmtree, handed, True)


def _hand_over(tools: Tools, sources: Sources, inputs: Inputs, handed: Path) -> None:
    shutil.rmtree(handed, ignore_errors=True)
    handed.mkdir(parents=True)
    # The tenant reads this and the package through bind mounts; on the host their directories are root's alone.
    handed.chmod(0o755)
    for sha256 in (inputs.package_sha256, *(sha256 for _name, sha256 in inputs.packs)):
        tools.blobs.path(sha256).chmod(0o644)
    if sources.certificates is not None:
        shutil.copyfile(sources.certificates, handed / "certificates.pem")
        (handed / "certificates.pem").chmod(0o644)


def _spec(tools: Tools, inputs: Inputs, handed: Path, reach: Reach) -> ContainerSpec:
    build, config = inputs.build, tools.config
    packs = enumerate(_further_buildpacks(tools, inputs).values())
    return ContainerSpec(
        guid=f"stg-{build.guid}-{secrets.token_hex(3)}",
        kind="build",
        stack=build.stack,
        limits=Limits(
            memory_bytes=build.staging_memory_mb * _MB,
            cpu_weight=config.cpu_weight,
            cpu_cores=config.cores_limit or None,
            pids=config.pids,
            disk_bytes=build.staging_disk_mb * _MB,
            inodes=config.inodes,
            open_files=config.open_files,
        ),
        egress=reach.egress,
        policies=Policies(group=group_name("staging", inputs.space_guid) if inputs.space_guid else ""),
        hosts=reach.hosts,
        binds=(
            Bind(source=Path(paasd.buildpacks.__file__).parent, target=f"{_LIFECYCLE}/buildpacks"),
            Bind(source=handed, target=_HANDED),
            Bind(source=tools.blobs.path(inputs.package_sha256), target=_PACKAGE),
            *(Bind(source=source, target=f"{_CUSTOM}/{number}") for number, source in packs),
        ),
        labels={"build": build.guid, "epoch": str(build.epoch)},
    )


def _further_buildpacks(tools: Tools, inputs: Inputs) -> dict[str, Path]:
    """Those of the operator by name: of this node's configuration, and uploaded ones, which win."""
    configured = {name: Path(source) for name, source in tools.config.buildpacks.items()}
    return configured | {name: tools.blobs.path(sha256) for name, sha256 in inputs.packs}


def _request(
    tools: Tools, sources: Sources, inputs: Inputs, root: str, stack_digest: str, today: str
) -> dict[str, Any]:
    config = tools.config
    certificates = certificate_environment(f"{root}{_HANDED}/certificates.pem") if sources.certificates else {}
    places = {"HOME": root + _HOME, "TMPDIR": f"{root}{_HOME}/tmp"}
    return {
        "root": root or "/",
        "home": root + _HOME,
        "temporary": f"{root}/tmp",
        "toolchains": root + ROOT,
        "package": root + _PACKAGE,
        "limits": {"entries": config.entries_limit, "total_bytes": config.unpacked_limit_bytes},
        "buildpacks": inputs.build.buildpacks,
        "custom": {name: f"{root}{_CUSTOM}/{number}" for number, name in enumerate(_further_buildpacks(tools, inputs))},
        "order": list(config.buildpack_order or inputs.order) or None,
        "env": {**sources.environment, **certificates, **inputs.environment, **places},
        "stack_identity": stack_digest,
        "arch": tools.toolchains.arch,
        "today": today,
        "catalogue": tools.toolchains.catalogue.to_json(),
        "granted": [],
        "images": "all",
        # Equal dependencies give equal images; the times of an app's files are what its web server tells of them.
        "squashfs": {"timeless": squashfs_options(keep_times=False), "timed": squashfs_options(keep_times=True)},
    }


@asynccontextmanager
async def _logging(tools: Tools, app_guid: str, container: AnyContainer) -> AsyncIterator[None]:
    def make_line(stream: Stream, at_ns: int, payload: bytes) -> Line:
        return Line(
            source_id=app_guid,
            instance_id="0",
            source_type="STG",
            stream=stream,
            timestamp_ns=at_ns,
            payload=payload,
        )

    limit = tools.config.log_limit_bytes_per_s
    tail = SpoolTail(tools.logs, container.spool, container.guid, make_line, limit_bytes_per_s=limit)
    container.spool.mkdir(mode=0o700, exist_ok=True)
    failed: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tail.run)
        try:
            yield
        except Exception as error:  # noqa: BLE001 (raised again outside the nursery, which would wrap it into a group)
            failed = error
        finally:
            with trio.CancelScope(shield=True):
                await container.kill()
            tail.finish()
    await tools.logs.forget_cursor(container.guid)
    if failed is not None:
        raise failed
