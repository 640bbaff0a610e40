"""The push in one call does what the single calls do, tells how it goes, and says why it failed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from paasd.actions import apps, builds, manifests, packages
from paasd.actions.push import PushEvent, find_app, open_push
from paasd.errors import Forbidden, NotFound, Unprocessable
from paasd.model import App, Build, Destination, Droplet, Instance, Package, Process, Route
from paasd.model.builds import FailBuild, fail_build
from paasd.observed import InstanceFact
from paasd.scheduler import open_scheduler
from tests.actions.world import World, archive, chunks

BITS = archive({"Procfile": b"web: run"})
MANIFEST = "applications: [{name: dora, memory: 64M, env: {A: b}, routes: [{route: dora.apps.localhost}]}]"


class Hands:
    """Acts as stager and supervisor for whatever the scheduler decides."""

    def __init__(self, world: World, build_error: str | None = None, state: str = "RUNNING") -> None:
        self.world = world
        self.build_error = build_error
        self.state = state

    async def run(self) -> None:
        context = self.world.context
        async with context.database.watch("builds", "instances") as changes:
            while True:
                await changes.wait()
                changes.take()
                with context.database.read() as tx:
                    waiting = [one for one in tx.all(Build, state="STAGING") if one.node_guid]
                    instances = tx.all(Instance)
                for build in waiting:
                    await self._stage(build)
                for instance in instances:
                    self._report(instance)

    async def _stage(self, build: Build) -> None:
        context = self.world.context
        context.logs.say(build.app_guid, "STG", "Installing things")
        await context.logs.flush()
        if self.build_error is None:
            await self.world.finish(build)
            return
        await context.database.write(
            fail_build,
            FailBuild(build_guid=build.guid, node_guid=build.node_guid, epoch=build.epoch, error=self.build_error),
        )

    def _report(self, instance: Instance) -> None:
        fact = InstanceFact(
            instance_guid=instance.guid,
            epoch=instance.epoch,
            node_guid=instance.node_guid,
            app_guid=instance.app_guid,
            process_guid=instance.process_guid,
            process_type=instance.process_type,
            index=instance.index,
            state=self.state,  # type: ignore[arg-type]
            since=self.world.context.clock(),
            details="exited with status 7" if self.state == "CRASHED" else None,
        )
        self.world.context.observed.put(fact)


@asynccontextmanager
async def working(hands: Hands) -> AsyncIterator[None]:
    context = hands.world.context
    async with open_scheduler(context.config, context.database, context.clock), trio.open_nursery() as nursery:
        nursery.start_soon(hands.run)
        yield
        nursery.cancel_scope.cancel()


async def push(world: World, **more: Any) -> list[PushEvent]:
    arguments: dict[str, Any] = {"manifest": MANIFEST, "name": None, "chunks": chunks(BITS), **more}
    caller = arguments.pop("caller", world.admin)
    with trio.fail_after(20):
        async with open_push(world.context, caller, organization="main", space="dev", **arguments) as opened:
            return [event async for event in opened.events]


async def test_the_steps_are_told_and_the_last_event_is_the_result(world: World) -> None:
    async with working(Hands(world)):
        events = await push(world)
    steps = [event.step for event in events if event.kind == "step"]
    assert steps == ["manifest", "upload", "build", "start", "healthy", "routed"]
    assert [event.text for event in events if event.kind == "log"] == ["Installing things"]
    assert events[-1].kind == "result"
    assert events[-1].data["urls"] == ["dora.apps.localhost"]


async def test_a_router_that_is_not_there_is_a_warning_and_no_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_app_guid: str) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr("paasd.actions.push.ROUTED_TIMEOUT_S", 0.05)
    context = msgspec.structs.replace(world.context, routed=never)
    async with working(Hands(world)):
        with trio.fail_after(20):
            place = {"organization": "main", "space": "dev", "manifest": MANIFEST, "name": None}
            async with open_push(context, world.admin, chunks=chunks(BITS), **place) as opened:
                events = [event async for event in opened.events]
    assert events[-1].kind == "result"
    assert [event.step for event in events if event.kind == "step"][-2:] == ["healthy", "warning"]


def outcome(world: World, name: str) -> list[Any]:
    """Everything about an app except guids and times."""
    with world.context.database.read() as tx:
        app = tx.find(App, name=name)
        assert app is not None
        rows: list[Any] = [app]
        for record in (Process, Package, Build, Droplet, Instance, Destination):
            rows += tx.all(record, app_guid=app.guid)
        rows += tx.all(Route)
        seen = [msgspec.to_builtins(row) for row in rows]
        secret = bool(app.environment)
    return [
        {key: value for key, value in row.items() if not key.endswith(("guid", "_at")) and key != "environment"}
        for row in seen
    ] + [secret]


async def test_one_call_and_many_have_the_same_outcome(world: World, tmp_path: Any) -> None:
    from tests.actions.world import open_world

    async with working(Hands(world)):
        await push(world)
    once = outcome(world, "dora")

    async with open_world(tmp_path / "other") as second:
        context, admin = second.context, second.admin
        async with working(Hands(second)):
            job = await manifests.apply(context, admin, second.space.guid, MANIFEST)
            assert job.state == "COMPLETE"
            with context.database.read() as tx:
                app = tx.all(App)[0]
            package = await packages.create(context, admin, app_guid=app.guid)
            await packages.upload(context, admin, package.guid, chunks(BITS))
            build = await builds.create(context, admin, package_guid=package.guid)
            with trio.fail_after(10):
                async with context.database.watch("builds", "instances") as changes:
                    while build.state == "STAGING":
                        await changes.wait()
                        changes.take()
                        with context.database.read() as tx:
                            build = tx.need(Build, build.guid)
                    await apps.set_current_droplet(context, admin, app.guid, build.droplet_guid or "")
                    await apps.restart(context, admin, app.guid)
                    while True:
                        with context.database.read() as tx:
                            if tx.count(Instance):
                                break
                        await changes.wait()
                        changes.take()
        assert outcome(second, "dora") == once


async def test_a_failed_build_ends_with_its_error(world: World) -> None:
    async with working(Hands(world, build_error="NoAppDetectedError - none of the buildpacks detected an app")):
        events = await push(world)
    assert events[-1].kind == "error"
    assert events[-1].text.startswith("NoAppDetectedError")
    assert [event.text for event in events if event.kind == "log"] == ["Installing things"]


async def test_an_app_that_is_deleted_while_it_is_staged_ends_with_that(world: World) -> None:
    context = world.context
    async with trio.open_nursery() as nursery:

        async def delete_it() -> None:
            async with context.database.watch("builds") as changes:
                while True:
                    with context.database.read() as tx:
                        if tx.exists(Build):
                            break
                    await changes.wait()
                    changes.take()
            await apps.delete(context, world.admin, find_app(context, world.admin, world.space, "dora").guid)

        async with open_scheduler(context.config, context.database, context.clock):
            nursery.start_soon(delete_it)
            events = await push(world)
    assert events[-1].kind == "error" and events[-1].text == "The app was deleted while it was staged"


async def test_an_app_that_crashes_at_start_ends_with_why(world: World) -> None:
    async with working(Hands(world, state="CRASHED")):
        events = await push(world)
    assert events[-1].kind == "error"
    assert "crashed at start: exited with status 7" in events[-1].text


async def test_an_app_without_room_ends_with_why(world: World) -> None:
    async with working(Hands(world)):
        events = await push(world, manifest=MANIFEST.replace("64M", "900G"))
    assert events[-1].kind == "error"
    assert "insufficient resources: memory" in events[-1].text


async def test_without_a_manifest_the_app_gets_a_default_route(world: World) -> None:
    async with working(Hands(world)):
        events = await push(world, manifest=None, name="fresh")
    assert events[-1].data["urls"] == ["fresh.apps.localhost"]


async def test_what_is_no_archive_fails_the_push_and_the_package(world: World) -> None:
    async with working(Hands(world)):
        events = await push(world, chunks=chunks(b"hello"))
    assert events[-1].kind == "error" and "neither a zip nor a tar.gz" in events[-1].text
    with world.context.database.read() as tx:
        [package] = tx.all(Package)
    assert package.state == "FAILED" and package.error


async def test_what_can_be_checked_is_refused_before_anything_changes(world: World) -> None:
    two = "applications: [{name: a}, {name: b}]"
    with pytest.raises(Unprocessable, match="Name one app of the manifest"):
        await push(world, manifest=two)
    with pytest.raises(Unprocessable, match="Send a manifest or name the app"):
        await push(world, manifest=None)
    with pytest.raises(NotFound):
        await push(world, caller=await world.user())
    with pytest.raises(Forbidden):
        await push(world, caller=await world.user("space_manager"))
    with world.context.database.read() as tx:
        assert tx.count(App) == 0


async def test_a_broken_off_upload_leaves_no_package_half_uploaded(world: World) -> None:
    app = await world.app()
    package = await packages.create(world.context, world.admin, app_guid=app.guid)

    async def broken() -> AsyncIterator[bytes]:
        yield BITS[:20]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await packages.upload(world.context, world.admin, package.guid, broken())
    with world.context.database.read() as tx:
        assert tx.need(Package, package.guid).state == "FAILED"
    with pytest.raises(Unprocessable, match="Bits may be uploaded only once"):
        await packages.upload(world.context, world.admin, package.guid, chunks(BITS))
