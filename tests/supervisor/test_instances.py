"""Instances in the real sandbox: good ones, and tenants that misbehave."""

import json

import msgspec
import pytest
import trio

from paasd.model import AuditEvent, HealthCheck

from .world import QUICK, SERVER, World, eventually, get

pytestmark = pytest.mark.root


async def test_an_app_starts_serves_is_measured_and_stops_without_a_trace(world: World) -> None:
    async with world.supervised():
        (guid,) = await world.run_app("app", SERVER)
        fact = await world.running(guid)
        assert fact.address is not None
        assert b"200 OK" in await get(fact.address)
        assert "GET / HTTP/1.0" in await world.line("app", "GET /")
        usage = await eventually(lambda: now.usage if (now := world.observed.get(guid)) else None)
        assert usage.memory_bytes > 1_000_000
        await world.remove(guid)
        stopping = await world.until(guid, lambda now: now is None or now.state == "STOPPING")
        assert stopping is None or not stopping.routable
        await world.gone(guid)
        assert world.sandbox.containers == {}
        await world.logs.flush()
        cell = world.lines("app", "CELL")
        for words in (
            "creating container",
            "Container became healthy",
            "stopping instance app-0",
            "successfully destroyed container",
        ):
            assert any(words in line for line in cell)


async def test_the_environment_is_cloud_foundrys_with_the_apps_own_and_its_secrets_opened(world: World) -> None:
    async with world.supervised():
        (guid,) = await world.run_app(
            "app",
            'env -0 | tr "\\n\\0" " \\n"; ' + SERVER,
            environment={"SECRET": "opened", "PORT": "1"},
            memory_mb=512,
        )
        await world.running(guid)
        await world.line("app", "SECRET=")
        env = dict(line.split("=", 1) for line in world.lines("app") if "=" in line)
        assert env["SECRET"] == "opened"
        assert env["PORT"] == "8080"
        assert env["MEMORY_LIMIT"] == "512m"
        assert env["WEB_CONCURRENCY"] == "2"
        assert env["CF_INSTANCE_GUID"] == env["INSTANCE_GUID"] == guid
        assert env["CF_INSTANCE_INDEX"] == "0"
        assert (env["HOME"], env["USER"], env["LANG"]) == ("/home/vcap/app", "vcap", "en_US.UTF-8")
        assert json.loads(env["VCAP_SERVICES"]) == {}
        application = json.loads(env["VCAP_APPLICATION"])
        assert application["limits"] == {"mem": 512, "disk": 64, "fds": QUICK.open_files}
        assert application["space_name"] == "space"
        assert application["process_type"] == "web"
        assert application["instance_id"] == guid


async def test_several_instances_are_separate_and_one_crash_touches_only_itself(world: World) -> None:
    async with world.supervised():
        guids = await world.run_app("app", "(sleep 1; [ $INSTANCE_INDEX != 1 ] || kill $$) & " + SERVER, instances=3)
        facts = [await world.running(guid) for guid in guids]
        assert len({fact.address for fact in facts}) == 3
        await world.line("app", '"index": 1', "API")
        assert not [line for line in world.lines("app", "API") if '"index": 0' in line or '"index": 2' in line]
        for guid, fact in zip(guids, facts, strict=True):
            if guid != "app-1":
                assert world.observed.get(guid) is not None
                assert world.observed.get(guid).address == fact.address  # type: ignore[union-attr]


async def test_an_app_that_crashes_at_once_is_restarted_then_made_to_wait_and_recorded_once(world: World) -> None:
    async with world.supervised():
        (guid,) = await world.run_app("app", "echo falling; exit 42")
        crashed = await world.until(guid, lambda fact: fact is not None and fact.state == "CRASHED")
        assert crashed.details == "APP/PROC/WEB: Exited with status 42"
        assert crashed.address is None
        await world.logs.flush()
        exits = [line for line in world.lines("app", "API") if "App instance exited" in line]
        assert [json.loads(line.split("payload: ")[1])["crash_count"] for line in exits] == [1, 2, 3, 4]
        assert world.lines("app").count("falling") == 4
        assert "Exit status 42" in world.lines("app")
        with world.database.read() as tx:
            (event,) = tx.all(AuditEvent, type="app.crash")
        assert event.data["exit_description"] == "APP/PROC/WEB: Exited with status 42"


async def test_an_app_that_never_listens_is_ended_with_the_reason(world: World) -> None:
    async with world.supervised():
        (guid,) = await world.run_app("app", "exec sleep 1000", health=HealthCheck(timeout_s=1))
        fact = await world.until(guid, lambda now: now is not None and now.details is not None)
        assert fact.details == (
            "Instance never healthy after 1s: Failed to make TCP connection to port 8080: connection refused"
        )
        assert not fact.routable
        await world.line("app", "Instance never healthy", "API")


async def test_an_app_that_ignores_term_is_killed_after_the_grace(world: World) -> None:
    async with world.supervised():
        stubborn = "import signal, time; signal.signal(15, lambda *_: print('no', flush=True)); print('up', flush=True)"
        (guid,) = await world.run_app(
            "app",
            f'exec python3 -c "{stubborn}\nwhile True: time.sleep(1)"',
            health=HealthCheck(type="process"),
        )
        await world.line("app", "up")
        started = trio.current_time()
        await world.remove(guid)
        await world.gone(guid)
        assert trio.current_time() - started >= QUICK.stop_grace_s
        assert "no" in world.lines("app")
        assert "Exit status 137" in world.lines("app")


async def test_an_app_that_obeys_term_is_not_made_to_wait(world: World) -> None:
    async with world.supervised():
        (guid,) = await world.run_app("app", "echo up; exec sleep 1000", health=HealthCheck(type="process"))
        await world.line("app", "up")
        await world.remove(guid)
        await world.gone(guid)
        assert "Exit status 143" in world.lines("app")


async def test_an_app_that_eats_memory_ends_alone_with_its_reason(world: World) -> None:
    async with world.supervised():
        (neighbour,) = await world.run_app("neighbour", SERVER)
        before = await world.running(neighbour)
        await world.run_app(
            "eater", "exec python3 -c 'b=bytearray(10**9)'", health=HealthCheck(type="process"), memory_mb=64
        )
        line = await world.line("eater", "out of memory", "API")
        assert "APP/PROC/WEB: Exited with status 137 (out of memory)" in line
        after = world.observed.get(neighbour)
        assert after is not None
        assert (after.address, after.routable) == (before.address, True)


async def test_an_app_that_forks_without_end_is_bounded_and_leaves_nothing(world: World) -> None:
    async with world.supervised():
        (guid,) = await world.run_app(
            "app", "echo up; f() { f & f & wait; }; f; sleep 1000", health=HealthCheck(type="process")
        )
        await world.line("app", "up")
        await world.line("app", "fork")
        await world.remove(guid)
        await world.gone(guid)
        assert world.sandbox.containers == {}


async def test_an_http_check_wants_status_200_and_readiness_moves_it_in_and_out_of_the_routes(world: World) -> None:
    server = """exec python3 -u -c '
import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/flip":
            open("/tmp/bad", "w").close()
        self.send_response(503 if self.path == "/ready" and os.path.exists("/tmp/bad") else 200)
        self.end_headers()
http.server.ThreadingHTTPServer(("", 8080), H).serve_forever()'"""
    async with world.supervised():
        (guid,) = await world.run_app(
            "app",
            server,
            health=HealthCheck(type="http", endpoint="/health"),
            readiness=HealthCheck(type="http", endpoint="/ready", interval_s=1),
        )
        fact = await world.running(guid)
        assert fact.address is not None
        await get(fact.address, "/flip")
        out = await world.until(guid, lambda now: now is not None and not now.routable)
        assert out.state == "RUNNING"
        assert "received status code 503" in (out.details or "")


async def test_a_failing_sidecar_ends_the_instance_and_term_reaches_all(world: World) -> None:
    async with world.supervised():
        (guid,) = await world.run_app(
            "app",
            SERVER,
            sidecars={"helper": "echo helping; trap 'echo helper was told; exit 0' TERM; sleep 1000 & wait"},
        )
        await world.running(guid)
        await world.line("app", "helping")
        await world.remove(guid)
        await world.gone(guid)
        assert "helper was told" in world.lines("app")
        await world.run_app("other", SERVER, sidecars={"brittle": "sleep 1; exit 7"})
        assert "Exited with status 7" in await world.line("other", "Exited with", "API")
        assert "Sidecar brittle exited with status 7" in await world.line("other", "Sidecar brittle")


async def test_an_app_that_prints_without_end_is_counted_and_holds_up_nobody(world: World) -> None:
    async with world.supervised():
        (noisy,) = await world.run_app("noisy", "exec yes", health=HealthCheck(type="process"))
        await world.running(noisy)
        await eventually(lambda: world.lines("noisy")[:1] or None)
        (canary,) = await world.run_app("canary", SERVER)
        fact = await world.running(canary)
        assert fact.address is not None
        await get(fact.address, "/canary")
        await world.line("canary", "/canary", timeout_s=5)
        await world.remove(noisy)
        await world.gone(noisy)
        await world.logs.flush()
        newest = world.logs.read("noisy", limit=1000, descending=True)
        assert any("lost_bytes" in line.tags for line in newest)
        assert world.observed.get(canary) is not None


async def test_a_later_epoch_replaces_the_instance_one_after_the_other(world: World) -> None:
    async with world.supervised():
        (guid,) = await world.run_app("app", SERVER)
        before = await world.running(guid)
        (old,) = world.sandbox.containers
        await world.bump(guid)
        after = await world.until(guid, lambda fact: fact is not None and fact.epoch == 2 and fact.routable)
        assert list(world.sandbox.containers) != [old]
        assert len(world.sandbox.containers) == 1
        assert (before.epoch, after.epoch) == (1, 2)


async def test_a_failure_of_the_platform_in_one_instance_is_shown_and_touches_no_other(world: World) -> None:
    patient = msgspec.structs.replace(QUICK, backoff_s=60.0)
    async with world.supervised(patient):
        (broken,) = await world.run_app("broken", SERVER, environment=[1, 2])  # no code expects this
        fact = await world.until(broken, lambda now: now is not None and now.state == "CRASHED")
        assert fact.details == "The platform failed to run this instance; it is started again shortly"
        (canary,) = await world.run_app("canary", SERVER)
        await world.running(canary)
        await world.remove(broken)
        await world.gone(broken)
        assert len(world.sandbox.containers) == 1
