"""Acts as stager and supervisor through their own operations and facts, so that pushes come to an end."""

import io
import tarfile
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from paasd.actions import Context
from paasd.model import App, Build, DropletBuildpack, DropletLayer, Instance, Timing
from paasd.model.builds import FailBuild, FinishBuild, fail_build, finish_build
from paasd.model.nodes import RegisterNode, register_node
from paasd.observed import InstanceFact
from paasd.scheduler.scheduler import Scheduler


class Hands:
    """What becomes of builds and instances: `build_error` fails builds, `state` is that of every instance."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.build_error: str | None = None
        self.state = "RUNNING"
        self.details: str | None = None
        self.scheduler = Scheduler(context.config, context.database, context.clock)

    async def work(self) -> None:
        """Carry out builds and instances as they appear."""
        await self.context.database.write(
            register_node,
            RegisterNode(
                guid=self.context.node_guid, name="node", zone="local/a", memory_mb=8192, disk_mb=100_000, cpus=2
            ),
        )
        watched = ("builds", "instances", "apps", "processes", "spaces", "domains", "organizations")
        async with self.context.database.watch(*watched) as changes:
            while True:
                await changes.wait()
                changes.take()
                await self.scheduler.reconcile()
                await self.build()
                self.run()

    async def build(self) -> None:
        with self.context.database.read() as tx:
            waiting = [build for build in tx.all(Build, state="STAGING") if build.node_guid]
        for build in waiting:
            place = {"build_guid": build.guid, "node_guid": build.node_guid or "", "epoch": build.epoch}
            self.context.logs.say(build.app_guid, "STG", "-----> Python 3.11")
            await self.context.logs.flush()
            if self.build_error is not None:
                await self.context.database.write(fail_build, FailBuild(**place, error=self.build_error))
                continue
            done = FinishBuild(
                **place,
                layers=[DropletLayer(role="app", sha256="a" * 64, size_bytes=10)],
                process_types={"web": "python app.py", "worker": "python worker.py"},
                buildpacks=[DropletBuildpack(name="python_buildpack", detect_output="python", version="1")],
                timings=[Timing(step="detect", started_at=1.0, duration_s=0.01)],
            )
            await self.context.database.write(finish_build, done)

    def run(self) -> None:
        with self.context.database.read() as tx:
            rows = tx.all(Instance)
            started = {app.guid for app in tx.all(App, state="STARTED")}
        wanted = {row.guid for row in rows if row.app_guid in started}
        for fact in self.context.observed.instances():
            if fact.instance_guid not in wanted:
                self.context.observed.drop(fact.instance_guid)
        for row in rows:
            if row.guid in wanted:
                self.context.observed.put(
                    InstanceFact(
                        instance_guid=row.guid,
                        epoch=row.epoch,
                        node_guid=row.node_guid,
                        app_guid=row.app_guid,
                        process_guid=row.process_guid,
                        process_type=row.process_type,
                        index=row.index,
                        state=self.state,  # type: ignore[arg-type]
                        since=self.context.clock(),
                        address="10.254.0.2",
                        port=8080,
                        routable=self.state == "RUNNING",
                        details=self.details,
                    )
                )


@asynccontextmanager
async def working_hands(context: Context) -> AsyncIterator[Hands]:
    """Hands that work until the block ends."""
    hands = Hands(context)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hands.work)
        yield hands
        nursery.cancel_scope.cancel()


def zip_of(files: dict[str, bytes]) -> bytes:
    """A zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tar_of(files: dict[str, bytes]) -> bytes:
    """A tar.gz of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
