"""One build, step by step: find it done already, or run detect, build and pack in a container and keep what comes out."""

import json
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trio

import paasd.buildpacks
from paasd.blobs import Blobs
from paasd.config import StagingConfig
from paasd.errors import PaasdError
from paasd.logs import Line, Logs, SpoolTail
from paasd.logs.line import Stream
from paasd.model import Droplet, DropletLayer, Timing
from paasd.model.builds import FinishBuild
from paasd.model.layers import NewLayer, find_layer
from paasd.sandbox import Bind, Container, ContainerSpec, Exit, Limits, ProcessSpec, Sandbox
from paasd.stager import inputs as keys
from paasd.stager.caches import Caches
from paasd.stager.inputs import Inputs
from paasd.stager.outcome import (
    FailureFile,
    PlanFile,
    ResultFile,
    StagingError,
    buildpacks_of,
    failure_text,
    sidecars_of,
)
from paasd.stager.sources import Sources, certificate_environment, resolve
from paasd.stager.toolchains import Image, Toolchains
from paasd.state import Database

T = TypeVar("T")
_MB = 1024 * 1024
_HANDED = "/opt/paasd/build"
_ENTRY = (
    'import sys; sys.path.insert(0, "/opt/paasd"); from buildpacks.__main__ import main; sys.exit(main(sys.argv[1:]))'
)
# A disk this full made the step fail, whatever its programs said.
_FULL = 0.97


class Tools(msgspec.Struct, frozen=True):
    """The parts of the node that staging uses."""

    config: StagingConfig
    database: Database
    sandbox: Sandbox
    blobs: Blobs
    logs: Logs
    toolchains: Toolchains
    caches: Caches
    sources: Sources
    directory: Path
    clock: Callable[[], float]


class Staging:
    """Carries one build; `run` gives the arguments that finish it. Destroys its container whatever happens."""

    def __init__(self, tools: Tools, inputs: Inputs) -> None:
        self._tools = tools
        self._inputs = inputs
        self._config = tools.config
        self._timings: list[Timing] = []
        self._request: dict[str, Any] = {}
        self._handed = tools.directory / "builds" / inputs.build.guid

    @property
    def timings(self) -> list[Timing]:
        """Steps so far, also of a build that failed."""
        return self._timings

    @asynccontextmanager
    async def run(self) -> AsyncIterator[FinishBuild]:
        """Gives what `finish_build` takes. After the block the package cache is kept and the container goes.

        Raises StagingError with the build's error text.
        """
        tools, inputs = self._tools, self._inputs
        today = keys.day(tools.clock())
        stack = await tools.sandbox.stacks.prepare(inputs.build.stack)
        settings = keys.settings_key(
            inputs,
            stack_digest=stack.digest,
            catalogue=tools.toolchains.catalogue.to_json(),
            tools=tools.sources.environment,
            packs=[sorted(self._config.buildpacks.items()), self._config.buildpack_order],
        )
        with tools.database.read() as tx:
            known = keys.same_package(tx, inputs, settings, today)
        if known is not None and self._complete(known):
            yield self._reuse(known)
            return
        async with self._container() as container:
            self._prepare_request(stack.digest, today)
            async with self._step("detect"):
                plan = await self._phase(container, "detect", (), PlanFile)
            external = any(chosen.external for chosen in plan.buildpacks)
            key = "" if external else keys.reuse_key(settings, plan.fingerprint, moving=plan.moving, today=today)
            with tools.database.read() as tx:
                known = keys.same_files(tx, inputs.app_guid, key) if key else None
            if known is not None and self._complete(known):
                yield self._reuse(known)
                return
            finish, layers, changed = await self._build(container, plan, key)
            yield finish
            if changed:
                await self._keep_cache(container, layers)

    async def _build(
        self, container: Container, plan: PlanFile, key: str
    ) -> tuple[FinishBuild, tuple[Path, ...], bool]:
        tools = self._tools
        async with self._step("toolchains"):
            images = await self._toolchains(plan.toolchains)
        found = self._found_layers(plan)
        self._write_request(granted=sorted(found), images="all")
        cache = tools.caches.find(self._inputs.organization_guid, self._inputs.app_guid)
        layers = (
            *(tools.blobs.path(image.sha256) for image in images.values()),
            *(tools.blobs.path(layer.sha256) for layer in found.values()),
            *((cache,) if cache is not None else ()),
        )
        async with self._step("build"):
            result = await self._phase(container, "build", layers, ResultFile)
        if "web" not in result.process_types and not self._inputs.has_command:
            self._refuse_without_command(result)
        async with self._step("pack"):
            packed = await self._phase(container, "pack", layers, dict[str, int])
        async with self._step("store"):
            finish = await self._adopt(container, result, packed, images, found, key)
        return finish, layers, any(layer.key not in found for layer in plan.layers) or not plan.layers

    def _refuse_without_command(self, result: ResultFile) -> None:
        """Better now than at a start that cannot work."""
        hint = (
            f"try a Procfile with the line: web: {result.suggestion}"
            if result.suggestion
            else "add a Procfile, or a command"
        )
        if result.process_types:
            # Workers only: the web process then runs at nought instances.
            self._say(f"       No web process; {hint} if the app answers requests")
            return
        raise StagingError(f"StagingError - Staging error: nothing says how to start the app; {hint}")

    async def _toolchains(self, wanted: list[tuple[str, str]]) -> dict[tuple[str, str], Image]:
        images: dict[tuple[str, str], Image] = {}
        for name, version in dict.fromkeys(wanted):
            tool = self._tools.toolchains.catalogue.get(name, version)
            if tool is None:
                raise StagingError(f"StagingError - Staging error: there is no toolchain {name[:60]} {version[:60]}")
            images[name, version] = await self._tools.toolchains.ensure(tool, self._say)
        return images

    def _found_layers(self, plan: PlanFile) -> dict[str, DropletLayer]:
        found: dict[str, DropletLayer] = {}
        with self._tools.database.read() as tx:
            for layer in plan.layers:
                row = find_layer(tx, f"dependencies/{layer.key}", self._inputs.organization_guid)
                if row is not None and self._tools.blobs.has(row.sha256):
                    found[layer.key] = DropletLayer(role="dependencies", sha256=row.sha256, size_bytes=row.size_bytes)
        return found

    async def _adopt(
        self,
        container: Container,
        result: ResultFile,
        packed: dict[str, int],
        images: dict[tuple[str, str], Image],
        found: dict[str, DropletLayer],
        key: str,
    ) -> FinishBuild:
        """Copy the images into blobs, through fds that cannot lead anywhere else."""
        layers, register = [], []
        for name in dict.fromkeys(result.toolchains):
            image = images.get(name)
            if image is None:
                raise StagingError("StagingError - Staging error: the result names a toolchain that the plan did not")
            layers.append(DropletLayer(role="toolchain", sha256=image.sha256, size_bytes=image.size_bytes))
        for image in images.values():
            register.append(
                NewLayer(key=image.key, role="toolchain", sha256=image.sha256, size_bytes=image.size_bytes, shared=True)
            )
        for number, layer in enumerate(result.layers):
            kept = found.get(layer.key)
            if kept is None:
                kept = await self._adopt_image(container, f"layer-{number}", "dependencies")
                register.append(
                    NewLayer(
                        key=f"dependencies/{layer.key}",
                        role="dependencies",
                        sha256=kept.sha256,
                        size_bytes=kept.size_bytes,
                    )
                )
            if layer.launch:
                layers.append(kept)
        layers.append(await self._adopt_image(container, "app", "app"))
        megabytes = sum(packed.values()) / _MB
        self._say(
            f"-----> Droplet ready: {megabytes:.1f} MB packed in {len(packed)} new layer{'s' if len(packed) > 1 else ''}"
        )
        build = self._inputs.build
        return FinishBuild(
            build_guid=build.guid,
            node_guid=build.node_guid or "",
            epoch=build.epoch,
            layers=layers,
            process_types=result.process_types,
            sidecars=sidecars_of(result),
            buildpacks=buildpacks_of(result),
            reuse_key=key,
            timings=self._timings,
            register=register,
        )

    async def _adopt_image(self, container: Container, name: str, role: str) -> DropletLayer:
        limit_bytes = self._config.image_limit_bytes
        fd = await trio.to_thread.run_sync(container.open_output, f"home/vcap/staging/out/{name}.sqfs", limit_bytes)
        try:
            blob = await self._tools.blobs.adopt_fd(fd, limit_bytes)
        finally:
            os.close(fd)
        return DropletLayer(role=role, sha256=blob.sha256, size_bytes=blob.size_bytes)

    def _complete(self, droplet: Droplet) -> bool:
        return all(self._tools.blobs.has(layer.sha256) for layer in droplet.layers)

    def _reuse(self, droplet: Droplet) -> FinishBuild:
        self._say(f"-----> Nothing changed since the droplet of {droplet.created_at}: using it again")
        build = self._inputs.build
        return FinishBuild(
            build_guid=build.guid,
            node_guid=build.node_guid or "",
            epoch=build.epoch,
            layers=droplet.layers,
            process_types=droplet.process_types,
            sidecars=droplet.sidecars,
            buildpacks=droplet.buildpacks,
            reuse_key=droplet.reuse_key,
            timings=self._timings,
        )

    async def _keep_cache(self, container: Container, layers: tuple[Path, ...]) -> None:
        """After the build is reported: the next one of this app finds its packages here. Never worth a failure."""
        if not self._config.cache_limit_bytes:
            return
        self._write_request(granted=[], images="cache")
        try:
            await self._phase(container, "pack", layers, dict[str, int])
            fd = container.open_output("home/vcap/staging/out/cache.sqfs", self._config.cache_limit_bytes)
        except PaasdError:
            return
        try:
            await trio.to_thread.run_sync(
                self._tools.caches.keep, self._inputs.organization_guid, self._inputs.app_guid, fd
            )
        finally:
            os.close(fd)

    @asynccontextmanager
    async def _container(self) -> AsyncIterator[Container]:
        """A container with the build's limits and reach, its output in the app's log."""
        tools, build, config = self._tools, self._inputs.build, self._config
        async with self._step("sandbox"):
            reach = await resolve(tools.sources)
            if reach.unresolved:
                self._say(f"       Not reachable from here: {', '.join(reach.unresolved)}")
            await trio.to_thread.run_sync(self._make_handed)
            limits = Limits(
                memory_bytes=build.staging_memory_mb * _MB,
                cpu_weight=config.cpu_weight,
                pids=config.pids,
                disk_bytes=build.staging_disk_mb * _MB,
                inodes=config.inodes,
                open_files=config.open_files,
            )
            spec = ContainerSpec(
                guid=f"stg-{build.guid}-{secrets.token_hex(3)}",
                kind="build",
                stack=build.stack,
                limits=limits,
                egress=reach.egress,
                hosts=reach.hosts,
                binds=self._binds(),
                labels={"build": build.guid, "epoch": str(build.epoch)},
            )
            try:
                container = await tools.sandbox.create(spec)
            except BaseException:
                await trio.to_thread.run_sync(shutil.rmtree, self._handed, True)
                raise
        try:
            async with self._logging(container):
                yield container
        finally:
            with trio.CancelScope(shield=True):
                await container.destroy()
                await trio.to_thread.run_sync(shutil.rmtree, self._handed, True)

    def _make_handed(self) -> None:
        shutil.rmtree(self._handed, ignore_errors=True)
        self._handed.mkdir(parents=True)
        # Its parent is root's alone; inside the container the tenant reads it.
        self._handed.chmod(0o755)
        # The tenant reads the package through a bind mount; on the host its directory stays root's alone.
        self._tools.blobs.path(self._inputs.package_sha256).chmod(0o644)
        if self._tools.sources.certificates is not None:
            shutil.copyfile(self._tools.sources.certificates, self._handed / "certificates.pem")

    def _binds(self) -> tuple[Bind, ...]:
        packs = tuple(
            Bind(source=Path(source), target=f"/opt/paasd/custom/{number}")
            for number, source in enumerate(self._config.buildpacks.values())
        )
        return (
            Bind(source=Path(paasd.buildpacks.__file__).parent, target="/opt/paasd/buildpacks"),
            Bind(source=self._handed, target=_HANDED),
            Bind(source=self._tools.blobs.path(self._inputs.package_sha256), target="/opt/paasd/package"),
            *packs,
        )

    def _prepare_request(self, stack_digest: str, today: str) -> None:
        tools, inputs = self._tools, self._inputs
        certificates = certificate_environment(f"{_HANDED}/certificates.pem") if tools.sources.certificates else {}
        custom = {name: f"/opt/paasd/custom/{number}" for number, name in enumerate(self._config.buildpacks)}
        self._request = {
            "package": "/opt/paasd/package",
            "limits": {"entries": self._config.entries_limit, "total_bytes": self._config.unpacked_limit_bytes},
            "buildpacks": inputs.build.buildpacks,
            "custom": custom,
            "order": list(self._config.buildpack_order) or None,
            "env": {**tools.sources.environment, **certificates, **inputs.environment},
            "stack_identity": stack_digest,
            "arch": tools.toolchains.arch,
            "today": today,
            "catalogue": tools.toolchains.catalogue.to_json(),
        }
        self._write_request(granted=[], images="all")

    def _write_request(self, *, granted: list[str], images: str) -> None:
        path = self._handed / "request.json"
        path.write_text(json.dumps({**self._request, "granted": granted, "images": images}))
        path.chmod(0o644)

    async def _phase(self, container: Container, phase: str, layers: tuple[Path, ...], kind: type[T]) -> T:
        """Run one phase of the lifecycle; gives its output file. Raises StagingError."""
        argv = ("/usr/bin/python3", "-I", "-B", "-c", _ENTRY, phase, f"{_HANDED}/request.json")
        kills = container.oom_kills
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/home/vcap", "LANG": "C.UTF-8"}
        await container.start(ProcessSpec(argv=argv, env=environment, cwd="/home/vcap"), layers)
        exit_ = await container.wait()
        if exit_.reason == "exited" and exit_.code == 0:
            name = {"detect": "plan", "build": "result", "pack": "packed"}[phase]
            return self._read(container, name, kind)
        usage = container.usage()
        raise StagingError(
            failure_text(
                phase,
                exit_,
                self._read_failure(container, exit_),
                out_of_memory=container.oom_kills > kills,
                disk_full=usage.disk_bytes >= _FULL * container.spec.limits.disk_bytes,
                memory_mb=self._inputs.build.staging_memory_mb,
                disk_mb=self._inputs.build.staging_disk_mb,
            )
        )

    def _read(self, container: Container, name: str, kind: type[T]) -> T:
        """A file that the tenant may have written: bounded, of a fixed shape. Raises StagingError."""
        try:
            fd = container.open_output(f"home/vcap/staging/{name}.json", self._config.result_limit_bytes)
            with os.fdopen(fd, "rb") as file:
                return msgspec.json.decode(file.read(self._config.result_limit_bytes + 1), type=kind)
        except (PaasdError, msgspec.MsgspecError, RecursionError) as error:
            raise StagingError(
                f"StagingError - Staging error: {name}.json of the build cannot be used: {error}"
            ) from error

    def _read_failure(self, container: Container, exit_: Exit) -> FailureFile | None:
        try:
            return self._read(container, "failure", FailureFile) if exit_.reason == "exited" else None
        except StagingError:
            return None

    @asynccontextmanager
    async def _logging(self, container: Container) -> AsyncIterator[None]:
        def make_line(stream: Stream, at_ns: int, payload: bytes) -> Line:
            return Line(
                source_id=self._inputs.app_guid,
                instance_id="0",
                source_type="STG",
                stream=stream,
                timestamp_ns=at_ns,
                payload=payload,
            )

        tail = SpoolTail(
            self._tools.logs,
            container.spool,
            container.guid,
            make_line,
            limit_bytes_per_s=self._config.log_limit_bytes_per_s,
        )
        container.spool.mkdir(mode=0o700, exist_ok=True)
        failed: PaasdError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tail.run)
            try:
                yield
            except PaasdError as error:
                # Raised again outside the nursery, which would wrap it into a group.
                failed = error
            finally:
                with trio.CancelScope(shield=True):
                    await container.kill()
                tail.finish()
        await self._tools.logs.forget_cursor(container.guid)
        if failed is not None:
            raise failed

    @asynccontextmanager
    async def _step(self, name: str) -> AsyncIterator[None]:
        started_at, began = self._tools.clock(), time.monotonic()
        try:
            yield
        finally:
            self._timings.append(Timing(step=name, started_at=started_at, duration_s=time.monotonic() - began))

    def _say(self, text: str) -> None:
        self._tools.logs.say(self._inputs.app_guid, "STG", text, instance_id="0")
