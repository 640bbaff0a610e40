"""Makes the build rows of this node true: one task per build in STAGING, ended when its row says something else."""

import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
import trio

from paasd.blobs import Blobs
from paasd.buildpacks.catalogue import CatalogueError, load_catalogue
from paasd.config import Config
from paasd.containment import contained
from paasd.errors import ConfigError, OutcomeUnknown, PaasdError, Unavailable
from paasd.logs import Logs
from paasd.model import App, Build
from paasd.model.arguments import Arguments
from paasd.model.build_caches import generations
from paasd.model.builds import (
    CurrentBuild,
    FailBuild,
    ProlongBuilds,
    fail_build,
    finish_build,
    organization_of,
    prolong_builds,
)
from paasd.model.layers import find_layer
from paasd.model.variable_groups import has_secrets
from paasd.sandbox import AnySandbox
from paasd.stager.caches import Caches
from paasd.stager.chamber import Tools
from paasd.stager.inputs import read_inputs
from paasd.stager.outcome import StagingError
from paasd.stager.sources import Sources, read_sources
from paasd.stager.staging import Staging
from paasd.stager.toolchains import Image, Toolchains
from paasd.stager.turns import PROMPT_S, Turns, put_off
from paasd.stager.uploads import Uploads
from paasd.state import Database, Operation
from paasd.unsealing import Unsealed, Unsealing

T = TypeVar("T", bound=Arguments)
_Key = tuple[str, int]  # build guid, epoch
# Rows are looked at this often even when nobody said that they changed.
_RECONCILE_S = 10.0
_FORGET_S = 600.0
_RETRY_S = 2.0
_REPORT_TRIES = 15


class Stager:
    """Made by `open_stager`."""

    def __init__(self, tools: Tools, node_guid: str, unsealing: Unsealing, api_url: str, nursery: trio.Nursery) -> None:
        self._tools = tools
        self._sources: Sources
        self._node_guid = node_guid
        self._unsealing = unsealing
        self._api_url = api_url
        self._nursery = nursery
        self.turns = Turns(tools.config.parallel)
        self._scopes: dict[_Key, trio.CancelScope] = {}
        self._begun: set[_Key] = set()
        self._reported: set[_Key] = set()
        self._log = structlog.get_logger()

    @property
    def building(self) -> list[str]:
        """Guids of the builds that have a task, waiting ones included."""
        return [guid for guid, _ in self._scopes]

    def referenced_blobs(self) -> list[str]:
        """What this node keeps for staging without a row that says so."""
        return self._tools.toolchains.images()

    async def run(self) -> None:
        await self._sweep()
        self._nursery.start_soon(Uploads(self._tools, self._node_guid, self.turns).run)
        self._nursery.start_soon(put_off, self._tools.config.timeout_s, self._waiting, self._prolong)
        self._nursery.start_soon(self._keep_clearing)
        # Takes pip's start, half a second, for which neither the API nor the running apps need to wait.
        self._sources = await trio.to_thread.run_sync(read_sources, self._tools.config)
        async with self._tools.database.watch("builds") as changes:
            while True:
                with trio.move_on_after(_RECONCILE_S):
                    await changes.wait()
                changes.take()
                self._reconcile()

    async def _sweep(self) -> None:
        """A former daemon's builds begin anew under the same epoch; half a build helps nobody."""
        for container in list(self._tools.sandbox.containers.values()):
            if container.spec.kind == "build":
                try:
                    await container.destroy()
                except (PaasdError, OSError) as error:
                    # The next start tries again; the node can do without it.
                    self._log.error("container not removed", container=container.guid, error=str(error))
                await self._tools.logs.forget_cursor(container.guid)
        await trio.to_thread.run_sync(self._tools.caches.forget_unfinished)
        await contained("clearing of caches", self._forget_caches)
        for left in (self._tools.directory / "builds").iterdir():
            await trio.to_thread.run_sync(shutil.rmtree, left, True)

    async def _forget_caches(self) -> None:
        with self._tools.database.read() as tx:
            found = generations(tx)
        await trio.to_thread.run_sync(self._tools.caches.forget_others, found)

    async def _keep_clearing(self) -> None:
        """Free the room of caches that somebody has cleared."""
        async with self._tools.database.watch("settings") as changes:
            while True:
                with trio.move_on_after(_FORGET_S):
                    await changes.wait()
                changes.take()
                await contained("clearing of caches", self._forget_caches)
                await trio.sleep(_RECONCILE_S)

    def _reconcile(self) -> None:
        with self._tools.database.read() as tx:
            wanted = {
                (build.guid, build.epoch): build
                for build in tx.all(Build, node_guid=self._node_guid, state="STAGING", order=("created_at",))
            }
        for key, scope in self._scopes.items():
            if key not in wanted and key not in self._reported:
                scope.cancel()
        for key, build in wanted.items():
            if key not in self._scopes and key not in self._reported:
                scope = self._scopes[key] = trio.CancelScope()
                self._nursery.start_soon(self._task, key, build, scope)

    async def _task(self, key: _Key, build: Build, scope: trio.CancelScope) -> None:
        try:
            with scope:
                ids = {"build": build.guid, "app": build.app_guid}
                if not await contained("build", partial(self._in_turn, key, build), **ids):
                    await contained("report of a build", partial(self._give_up, key, build), **ids)
        finally:
            self._scopes.pop(key, None)
            self._begun.discard(key)
            self._reported.discard(key)

    async def _in_turn(self, key: _Key, build: Build) -> None:
        with self._tools.database.read() as tx:
            organization_guid = organization_of(tx, build.app_guid)
        asked = trio.current_time()
        async with self.turns.turn(organization_guid):
            self._begun.add(key)
            if trio.current_time() - asked > PROMPT_S:
                await self._prolong([key])
            await self._stage(key, build)

    async def _give_up(self, key: _Key, build: Build) -> None:
        """What went wrong in a way that nobody thought of would do so again: it is not begun anew."""
        with self._tools.database.read() as tx:
            row = tx.get(Build, build.guid)
        if row is not None and (row.state, row.epoch) == ("STAGING", build.epoch):
            await self._fail(key, build, "StagingError - Staging error: the node failed; push again", None)

    def _waiting(self) -> list[_Key]:
        return [key for key in self._scopes if key not in self._begun]

    async def _prolong(self, keys: list[_Key]) -> None:
        builds = [CurrentBuild(build_guid=guid, epoch=epoch) for guid, epoch in keys]
        arguments = ProlongBuilds(node_guid=self._node_guid, builds=builds, timeout_s=self._tools.config.timeout_s)
        try:
            await self._tools.database.write(prolong_builds, arguments)
        except PaasdError as error:
            self._log.warning("the time of builds is not put off", reason=error.detail)

    async def _stage(self, key: _Key, build: Build) -> None:
        limit_s = self._tools.config.timeout_s
        staging: Staging | None = None
        error: str | None = None
        stored = False
        try:
            with trio.move_on_after(limit_s) as timer:
                unsealed = await self._unsealed(build)
                with self._tools.database.read() as tx:
                    inputs = read_inputs(tx, build, unsealed=unsealed, api_url=self._api_url)
                staging = Staging(self._tools, self._sources, inputs)
                async with staging.run() as finish:
                    # From here on the row changes by our own hand, and what follows is tidying.
                    self._reported.add(key)
                    await self._tools.logs.flush()
                    stored = await self._report(finish_build, finish)
            if timer.cancelled_caught:
                error = (
                    f"StagingTimeExpired - Staging time expired: the build did not end within {limit_s:g} s; "
                    "its last lines in the log show where it was"
                )
        except StagingError as failed:
            error = failed.detail
        except PaasdError as failed:
            error = f"StagingError - Staging error: {failed.detail}"
        except OSError as failed:
            error = f"StagingError - Staging error: the node failed ({failed.strerror}); push again"
        if error is not None and not stored:
            await self._fail(key, build, error, staging)
        elif error is not None:
            self._log.warning("build not tidied up", build=build.guid, reason=error)

    async def _unsealed(self, build: Build) -> Unsealed:
        """The app's secrets; waits for a node that has the keys, for as long as the build may take."""
        with self._tools.database.read() as tx:
            if not has_secrets(tx, tx.need(App, build.app_guid), "staging"):
                return Unsealed()
        told = False
        while True:
            try:
                return await self._unsealing.build(build.guid, build.epoch)
            except Unavailable as error:
                if not told:
                    self._tools.logs.say(build.app_guid, "STG", f"       Waiting: {error.detail}", instance_id="0")
                told = True
                await trio.sleep(_RETRY_S)

    async def _fail(self, key: _Key, build: Build, error: str, staging: Staging | None) -> None:
        self._tools.logs.say(build.app_guid, "STG", f" !     {error}", instance_id="0")
        self._log.info("build failed", build=build.guid, app=build.app_guid, error=error)
        self._reported.add(key)
        await self._tools.logs.flush()
        arguments = FailBuild(
            build_guid=build.guid,
            node_guid=self._node_guid,
            epoch=build.epoch,
            error=error,
            timings=staging.timings if staging is not None else [],
        )
        await self._report(fail_build, arguments)

    async def _report(self, write: Operation[T, bool], arguments: T) -> bool:
        """Whether it is written. If not, the build is still STAGING or it is not: the next look begins it anew.

        A build is minutes of work, so a cluster without a majority for a moment is waited for. The operations change
        nothing when the first try did it after all.
        """
        for _ in range(_REPORT_TRIES):
            try:
                await self._tools.database.write(write, arguments)
            except (Unavailable, OutcomeUnknown) as error:
                self._log.warning("a build is not reported yet", reason=error.detail)
                await trio.sleep(_RETRY_S)
            else:
                return True
        return False


@asynccontextmanager
async def open_stager(
    config: Config,
    node_guid: str,
    database: Database,
    sandbox: AnySandbox,
    blobs: Blobs,
    logs: Logs,
    unsealing: Unsealing,
    directory: Path,
    *,
    api_url: str = "",
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Stager]:
    """Stage the builds that are given to this node until the block ends; those that run then begin anew later.

    `directory` is the node's data directory. Raises ConfigError for a catalogue entry that cannot be read.
    """
    try:
        catalogue = load_catalogue(config.staging.toolchains)
    except CatalogueError as error:
        raise ConfigError(f"[[staging.toolchains]]: {error}") from error

    def registered(key: str) -> Image | None:
        with database.read() as tx:
            layer = find_layer(tx, key, None)
        return None if layer is None else Image(key, layer.sha256, layer.size_bytes)

    folder = directory / "staging"
    for path in (folder, folder / "builds"):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    tools = Tools(
        config=config.staging,
        database=database,
        sandbox=sandbox,
        blobs=blobs,
        logs=logs,
        toolchains=Toolchains(directory / "toolchains", blobs, catalogue, registered),
        caches=Caches(folder / "caches", blobs.need_room),
        directory=folder,
        clock=clock,
    )
    async with trio.open_nursery() as nursery:
        url = api_url or f"https://api.{config.domains.system}"
        stager = Stager(tools, node_guid, unsealing, url, nursery)
        nursery.start_soon(stager.run)
        try:
            yield stager
        finally:
            nursery.cancel_scope.cancel()
