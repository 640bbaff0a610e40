"""Turns uploaded droplets of this node into layers, in a container, like a build without buildpacks.

One task per row of `droplet_uploads`; a daemon that comes back begins those anew that the last one left.
"""

import os
from functools import partial
from typing import TypeVar

import structlog
import trio

from paasd.containment import contained
from paasd.errors import OutcomeUnknown, PaasdError, Unavailable
from paasd.model import App, Build, Droplet, DropletLayer, DropletUpload, Process, Space
from paasd.model.arguments import Arguments
from paasd.model.builds import organization_of
from paasd.model.uploads import (
    FailDropletUpload,
    FinishDropletUpload,
    ProlongDropletUploads,
    fail_droplet_upload,
    finish_droplet_upload,
    prolong_droplet_uploads,
)
from paasd.stager.chamber import Chamber, Tools, open_chamber
from paasd.stager.inputs import Inputs, day
from paasd.stager.outcome import Packed, ResultFile, StagingError, sidecars_of
from paasd.stager.sources import Sources
from paasd.stager.turns import PROMPT_S, Turns, put_off
from paasd.state import Operation, ReadTx

T = TypeVar("T", bound=Arguments)
# Nothing of a droplet runs while it is unpacked, so nothing needs to be reached.
_NOTHING = Sources(environment={}, hosts=(), certificates=None)
_RECONCILE_S = 10.0


class Uploads:
    """Shares `turns` with the builds: both use a node's memory and cores alike."""

    def __init__(self, tools: Tools, node_guid: str, turns: Turns) -> None:
        self._tools = tools
        self._node_guid = node_guid
        self._turns = turns
        self._scopes: dict[str, trio.CancelScope] = {}
        self._begun: set[str] = set()
        self._log = structlog.get_logger()

    async def run(self) -> None:
        async with self._tools.database.watch("droplet_uploads") as changes, trio.open_nursery() as nursery:
            nursery.start_soon(put_off, self._tools.config.timeout_s, self._waiting, self._prolong)
            while True:
                changes.take()
                self._reconcile(nursery)
                with trio.move_on_after(_RECONCILE_S):
                    await changes.wait()

    def _reconcile(self, nursery: trio.Nursery) -> None:
        with self._tools.database.read() as tx:
            rows = tx.all(DropletUpload, node_guid=self._node_guid, order=("created_at",))
        wanted = {upload.droplet_guid: upload for upload in rows}
        for guid, scope in self._scopes.items():
            if guid not in wanted:
                scope.cancel()
        for guid, upload in wanted.items():
            if guid not in self._scopes:
                scope = self._scopes[guid] = trio.CancelScope()
                nursery.start_soon(self._task, upload, scope)

    async def _task(self, upload: DropletUpload, scope: trio.CancelScope) -> None:
        try:
            with scope:
                ids = {"droplet": upload.droplet_guid, "app": upload.app_guid}
                if not await contained("uploaded droplet", partial(self._in_turn, upload), **ids):
                    await contained("report of an uploaded droplet", partial(self._give_up, upload), **ids)
        finally:
            self._begun.discard(upload.droplet_guid)
            del self._scopes[upload.droplet_guid]

    async def _in_turn(self, upload: DropletUpload) -> None:
        with self._tools.database.read() as tx:
            organization_guid = organization_of(tx, upload.app_guid)
        asked = trio.current_time()
        async with self._turns.turn(organization_guid):
            self._begun.add(upload.droplet_guid)
            if trio.current_time() - asked > PROMPT_S:
                await self._prolong([upload.droplet_guid])
            await self._take_in(upload)

    async def _give_up(self, upload: DropletUpload) -> None:
        """What went wrong in a way that nobody thought of would do so again: it is not begun anew."""
        with self._tools.database.read() as tx:
            still_open = tx.exists(DropletUpload, droplet_guid=upload.droplet_guid)
        if still_open:
            await self._fail(upload, "StagingError - Staging error: the node failed; upload the droplet again")

    def _waiting(self) -> list[str]:
        return [guid for guid in self._scopes if guid not in self._begun]

    async def _prolong(self, guids: list[str]) -> None:
        arguments = ProlongDropletUploads(
            node_guid=self._node_guid, droplet_guids=guids, timeout_s=self._tools.config.timeout_s
        )
        try:
            await self._tools.database.write(prolong_droplet_uploads, arguments)
        except PaasdError as error:
            self._log.warning("the time of uploaded droplets is not put off", reason=error.detail)

    async def _take_in(self, upload: DropletUpload) -> None:
        limit_s = self._tools.config.timeout_s
        error = f"StagingTimeExpired - Staging time expired: the droplet was not unpacked within {limit_s:g} s"
        try:
            finish = None
            with trio.move_on_after(limit_s):
                finish = await self._unpack(upload)
            if finish is not None:
                await self._report(finish_droplet_upload, finish)
                return
        except StagingError as failed:
            error = failed.detail
        except PaasdError as failed:
            error = f"StagingError - Staging error: {failed.detail}"
        except OSError as failed:
            error = f"StagingError - Staging error: the node failed ({failed.strerror}); upload the droplet again"
        await self._fail(upload, error)

    async def _fail(self, upload: DropletUpload, error: str) -> None:
        self._say(upload, f" !     {error}")
        self._log.info("uploaded droplet failed", droplet=upload.droplet_guid, app=upload.app_guid, error=error)
        failure = FailDropletUpload(droplet_guid=upload.droplet_guid, node_guid=self._node_guid, error=error)
        await self._report(fail_droplet_upload, failure)

    async def _report(self, write: Operation[T, bool], arguments: T) -> None:
        try:
            await self._tools.database.write(write, arguments)
        except (Unavailable, OutcomeUnknown) as error:
            # The row is still there or not: the next look at them begins anew, or has nothing to do.
            self._log.warning("an uploaded droplet is not reported yet", reason=error.detail)

    async def _unpack(self, upload: DropletUpload) -> FinishDropletUpload:
        tools = self._tools
        with tools.database.read() as tx:
            inputs = read_upload(tx, upload)
        stack = await tools.sandbox.stacks.prepare(upload.stack)
        today = day(tools.clock())
        async with open_chamber(tools, _NOTHING, inputs, stack.digest, today, self._no_word) as chamber:
            result = await chamber.run("unpack", (), ResultFile)
            if not result.process_types and not inputs.has_command:
                raise StagingError(
                    "StagingError - Staging error: nothing in the droplet says how to start it; "
                    "put a Procfile into its app/, or give process_types or the app a command"
                )
            layers = await self._toolchains(upload, result)
            await chamber.run("pack", (), Packed)
            layers.append(await self._store(chamber, upload.app_guid))
        self._say(upload, f"-----> Droplet ready: {layers[-1].size_bytes / 1024**2:.1f} MB packed")
        await tools.logs.flush()
        return FinishDropletUpload(
            droplet_guid=upload.droplet_guid,
            node_guid=self._node_guid,
            layers=layers,
            process_types=result.process_types,
            sidecars=sidecars_of(result),
        )

    async def _toolchains(self, upload: DropletUpload, result: ResultFile) -> list[DropletLayer]:
        """A droplet names its toolchains; they are taken from this platform's catalogue, never from an upload."""
        layers = []
        for name, version in dict.fromkeys(result.toolchains):
            tool = self._tools.toolchains.catalogue.get(name, version)
            if tool is None:
                raise StagingError(
                    f"StagingError - Staging error: the droplet needs {name[:60]!r} {version[:60]!r}, which this "
                    "platform does not have; push the app's source instead"
                )
            image = await self._tools.toolchains.ensure(tool, lambda text: self._say(upload, text))
            layers.append(DropletLayer(role="toolchain", sha256=image.sha256, size_bytes=image.size_bytes))
        return layers

    async def _store(self, chamber: Chamber, app_guid: str) -> DropletLayer:
        limit_bytes = self._tools.config.image_limit_bytes
        fd = await trio.to_thread.run_sync(chamber.open_image, "app", limit_bytes)
        try:
            blob = await self._tools.adopt(fd, app_guid)
        finally:
            os.close(fd)
        return DropletLayer(role="app", sha256=blob.sha256, size_bytes=blob.size_bytes)

    def _say(self, upload: DropletUpload, text: str) -> None:
        self._tools.logs.say(upload.app_guid, "STG", text, instance_id="0")

    def _no_word(self, text: str) -> None:
        """Nothing is reached, so nothing is missed."""


def read_upload(tx: ReadTx, upload: DropletUpload) -> Inputs:
    """What a chamber needs of an upload, in the form of a build that no row has. Raises NotFound."""
    app = tx.need(App, upload.app_guid)
    given = tx.need(Droplet, upload.droplet_guid).process_types
    build = Build(
        guid=upload.droplet_guid,
        app_guid=app.guid,
        package_guid="",
        deadline_at=upload.deadline_at,
        stack=upload.stack,
        staging_memory_mb=upload.memory_mb,
        staging_disk_mb=upload.disk_mb,
    )
    return Inputs(
        build=build,
        app_guid=app.guid,
        app_name=app.name,
        space_guid="",
        organization_guid=tx.need(Space, app.space_guid).organization_guid,
        package_sha256=upload.blob_sha256,
        environment={},
        has_command=bool(given) or any(process.command for process in tx.all(Process, app_guid=app.guid)),
        disk_mb=upload.disk_mb,
    )
