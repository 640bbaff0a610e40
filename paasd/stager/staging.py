"""One build, step by step: find it done already, or run it in a container and keep what comes out."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
import trio

from paasd.blobs import DiskFull
from paasd.buildpacks.builtin import resolve
from paasd.errors import NotFound, PaasdError, Unavailable
from paasd.model import Droplet, DropletLayer, Timing
from paasd.model.builds import FinishBuild
from paasd.model.layers import NewLayer, find_layer
from paasd.sandbox import MountError
from paasd.stager import inputs as keys
from paasd.stager.chamber import Chamber, Tools, open_chamber
from paasd.stager.inputs import Inputs
from paasd.stager.outcome import Packed, PlanFile, ResultFile, StagingError, buildpacks_of, sidecars_of
from paasd.stager.sources import Sources
from paasd.stager.toolchains import Image

_KB = 1024
_MB = 1024 * 1024


class Staging:
    """Carries one build; `run` gives the arguments that finish it. Destroys its container whatever happens."""

    def __init__(self, tools: Tools, sources: Sources, inputs: Inputs) -> None:
        self._tools = tools
        self._sources = sources
        self._inputs = inputs
        self._config = tools.config
        self._timings: list[Timing] = []

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
            tools=self._sources.environment,
            packs=[sorted(self._config.buildpacks.items()), self._config.buildpack_order],
        )
        with tools.database.read() as tx:
            known = keys.same_package(tx, inputs, settings, today)
        if known is not None and await self._complete(known):
            yield self._reuse(known)
            return
        async with AsyncExitStack() as exits:
            async with self._step("sandbox"):
                chamber = await exits.enter_async_context(
                    open_chamber(tools, self._sources, inputs, stack.digest, today, self._say)
                )
            async with self._step("detect"):
                plan = await chamber.run("detect", (), PlanFile)
            # The plan is written where programs of a third party may have run; what was asked for is known for sure.
            named = any(resolve(name) is None for name in inputs.build.buildpacks)
            external = named or any(chosen.external for chosen in plan.buildpacks)
            key = "" if external else keys.reuse_key(settings, plan.fingerprint, moving=plan.moving, today=today)
            with tools.database.read() as tx:
                known = keys.same_files(tx, inputs.app_guid, key) if key else None
            if known is not None and await self._complete(known):
                yield self._reuse(known)
                return
            # Such programs decide what their layers hold, so those serve this droplet and no other.
            reusable = frozenset() if external else frozenset(layer.key for layer in plan.layers)
            finish, layers, cached = await self._build(chamber, plan, key, reusable)
            yield finish
            if cached and (external or any(layer.key not in chamber.request["granted"] for layer in plan.layers)):
                await self._keep_cache(chamber, layers)

    async def _build(
        self, chamber: Chamber, plan: PlanFile, key: str, reusable: frozenset[str]
    ) -> tuple[FinishBuild, tuple[Path, ...], bool]:
        tools = self._tools
        async with self._step("toolchains"):
            images = await self._toolchains(plan.toolchains)
        found = await self._found_layers(plan)
        chamber.request["granted"] = sorted(found)
        inputs = self._inputs
        cache = tools.caches.find(inputs.organization_guid, inputs.app_guid, inputs.caches)
        layers = (
            *(tools.blobs.path(image.sha256) for image in images.values()),
            *(tools.blobs.path(layer.sha256) for layer in found.values()),
        )
        async with self._step("build"):
            result, layers = await self._run_over(chamber, layers, cache)
        if "web" not in result.process_types and not self._inputs.has_command:
            self._refuse_without_command(result)
        async with self._step("pack"):
            packed = await chamber.run("pack", layers, Packed)
        async with self._step("store"):
            finish = await self._adopt(chamber, result, packed, images, found, key, reusable)
        return finish, layers, result.cached

    async def _run_over(
        self, chamber: Chamber, layers: tuple[Path, ...], cache: Path | None
    ) -> tuple[ResultFile, tuple[Path, ...]]:
        """The build phase, with the package cache if that can be mounted; and what it ran over."""
        if cache is not None:
            try:
                return await chamber.run("build", (*layers, cache), ResultFile), (*layers, cache)
            except MountError as error:
                # Damaged, or replaced by a build that ended just now. That costs time, unless something else is wrong.
                structlog.get_logger().warning("package cache not used", app=self._inputs.app_guid, reason=error.detail)
        result = await chamber.run("build", layers, ResultFile)
        if cache is not None:
            await trio.to_thread.run_sync(cache.unlink, True)
        return result, layers

    def _refuse_without_command(self, result: ResultFile) -> None:
        """Better now than at a start that cannot work."""
        guess = f"try a Procfile with the line: web: {result.suggestion}" if result.suggestion else ""
        hint = guess or "add a Procfile, or a command"
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

    async def _found_layers(self, plan: PlanFile) -> dict[str, DropletLayer]:
        found: dict[str, DropletLayer] = {}
        with self._tools.database.read() as tx:
            rows = [
                (layer.key, find_layer(tx, keys.dependencies_key(self._inputs, layer.key), self._inputs.space_guid))
                for layer in plan.layers
            ]
        for key, row in rows:
            if row is None:
                continue
            try:
                await self._tools.blobs.ensure(row.sha256)
            except (NotFound, Unavailable):
                continue  # installed anew
            found[key] = DropletLayer(role="dependencies", sha256=row.sha256, size_bytes=row.size_bytes)
        return found

    async def _adopt(
        self,
        chamber: Chamber,
        result: ResultFile,
        packed: Packed,
        images: dict[tuple[str, str], Image],
        found: dict[str, DropletLayer],
        key: str,
        reusable: frozenset[str],
    ) -> FinishBuild:
        """Copy the images into blobs, through fds that cannot lead anywhere else; remember those of `reusable` keys."""
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
                kept = await self._adopt_image(chamber, f"layer-{number}", "dependencies")
                if layer.key in reusable:
                    register.append(
                        NewLayer(
                            key=keys.dependencies_key(self._inputs, layer.key),
                            role="dependencies",
                            sha256=kept.sha256,
                            size_bytes=kept.size_bytes,
                        )
                    )
            if layer.launch:
                layers.append(kept)
        layers.append(await self._adopt_image(chamber, "app", "app"))
        plural = "s" if len(packed) > 1 else ""
        self._say(f"-----> Droplet ready: {_amount(sum(packed.values()))} packed in {len(packed)} new layer{plural}")
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

    async def _adopt_image(self, chamber: Chamber, name: str, role: str) -> DropletLayer:
        limit_bytes = self._config.image_limit_bytes
        fd = await trio.to_thread.run_sync(chamber.open_image, name, limit_bytes)
        try:
            blob = await self._tools.adopt(fd, self._inputs.app_guid)
        finally:
            os.close(fd)
        return DropletLayer(role=role, sha256=blob.sha256, size_bytes=blob.size_bytes)

    async def _complete(self, droplet: Droplet) -> bool:
        """Whether its layers are still there, on whichever node."""
        for layer in droplet.layers:
            if not await self._tools.blobs.exists(layer.sha256):
                return False
        return True

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

    async def _keep_cache(self, chamber: Chamber, layers: tuple[Path, ...]) -> None:
        """After the build is reported: the next one of this app finds its packages here. Never worth a failure."""
        inputs = self._inputs
        if not self._config.cache_limit_bytes:
            return
        chamber.request["images"] = "cache"
        try:
            await chamber.run("pack", layers, Packed)
            fd = chamber.open_image("cache", self._config.cache_limit_bytes)
        except PaasdError:
            return
        caches, organization = self._tools.caches, inputs.organization_guid
        try:
            await trio.to_thread.run_sync(caches.keep, organization, inputs.app_guid, inputs.caches, fd)
        except (DiskFull, OSError) as error:
            structlog.get_logger().warning("package cache not kept", app=inputs.app_guid, reason=str(error))
        finally:
            os.close(fd)
        await trio.to_thread.run_sync(caches.fit, organization, self._config.caches_limit_bytes)

    @asynccontextmanager
    async def _step(self, name: str) -> AsyncIterator[None]:
        started_at, began = self._tools.clock(), time.monotonic()
        try:
            yield
        finally:
            self._timings.append(Timing(step=name, started_at=started_at, duration_s=time.monotonic() - began))

    def _say(self, text: str) -> None:
        self._tools.logs.say(self._inputs.app_guid, "STG", text, instance_id="0")


def _amount(size_bytes: int) -> str:
    return f"{size_bytes / _MB:.1f} MB" if size_bytes >= _MB else f"{size_bytes / _KB:.0f} KB"
