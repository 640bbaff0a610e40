import json
import re
import ssl
import time

import httpx
import trio
import wsproto
from wsproto.events import AcceptConnection, Message, Request, TextMessage

from paasd.router import Certificates, Endpoint, RouteEntry, Router, rtr_line

from .conftest import Journal, entry, serve
from .upstream import App, apps, exchange, fetch

HOST = "shop.apps.localhost"


async def test_a_published_route_answers_and_an_unpublished_one_does_not(router: Router, app: App) -> None:
    await serve(router, entry(HOST, app))
    assert (await fetch(router.http_port, HOST)).seen["instance"] == "instance-1"
    unknown = await fetch(router.http_port, "other.apps.localhost")
    assert (unknown.status, unknown.header("x-cf-routererror")) == (404, "unknown_route")
    assert unknown.body == b"404 Not Found: Requested route ('other.apps.localhost') does not exist.\n"
    await serve(router)
    assert (await fetch(router.http_port, HOST)).status == 404


async def test_the_host_is_matched_without_case_port_or_final_dot_and_passed_on_as_sent(
    router: Router, app: App
) -> None:
    await serve(router, entry(HOST, app))
    for host in ("Shop.Apps.LocalHost", f"{HOST}:8080"):
        seen = dict((await fetch(router.http_port, host)).seen["headers"])
        assert seen["host"] == host
        assert seen["x-forwarded-host"] == host
    assert (await fetch(router.http_port, f"{HOST}.")).status == 200


async def test_no_host_reaches_the_control_socket_or_anything_unregistered(router: Router, app: App) -> None:
    await serve(router, entry(HOST, app), entry("split.apps.localhost", app, path="/api"))
    hosts = (
        "xds",
        "paasd|control",
        "control",
        "split.apps.localhost/api|",
        "x|.apps.localhost",
        "127.0.0.1",
        "*.apps.localhost",
    )
    for host in hosts:
        async with await trio.open_tcp_stream("127.0.0.1", router.http_port) as stream:
            await stream.send_all(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            status = (await stream.receive_some(4096)).split(b" ")[1]
        assert status in (b"404", b"400"), host
    spoofed = await fetch(router.http_port, "unknown.apps.localhost", headers=[("x-paasd-route", HOST)])
    assert spoofed.status == 404


async def test_the_app_learns_who_asked_how_and_under_which_id(router: Router, app: App) -> None:
    await serve(router, entry(HOST, app))
    answer = await fetch(
        router.http_port, HOST, headers=[("X-Forwarded-For", "192.0.2.7"), ("X-Vcap-Request-Id", "mine")]
    )
    seen = dict(answer.seen["headers"])
    assert seen["x-forwarded-for"].replace(" ", "") == "192.0.2.7,127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-vcap-request-id"] == answer.header("x-vcap-request-id") != "mine"
    assert len(seen["x-request-id"]) == 36
    random = seen["x-vcap-request-id"][:8]
    trace = re.fullmatch(rf"00-(\d{{19}})00000{random}-\d{{8}}{random}-00", seen["traceparent"])
    assert trace is not None, seen["traceparent"]
    assert abs(time.time() - int(trace[1]) / 1e9) < 60
    assert not any(name.startswith(("x-envoy", "x-paasd")) for name in seen)
    assert not any(name.startswith(("x-envoy", "x-paasd")) for name, _ in answer.headers)
    assert answer.header("server") == "app"


async def test_trace_and_request_ids_of_the_client_are_kept(router: Router, app: App) -> None:
    await serve(router, entry(HOST, app))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = [("traceparent", trace), ("tracestate", "a=b"), ("x-request-id", "my-own-id")]
    seen = dict((await fetch(router.http_port, HOST, headers=sent)).seen["headers"])
    assert (seen["traceparent"], seen["tracestate"], seen["x-request-id"]) == (trace, "a=b", "my-own-id")


async def test_paths_lead_to_their_own_route_by_whole_segments(router: Router) -> None:
    async with apps("root", "api", "deep") as (root, api, deep):
        await serve(router, entry(HOST, root), entry(HOST, api, path="/api"), entry(HOST, deep, path="/api/v2/"))
        expected = {
            "/": "root",
            "/apiary": "root",
            "/api": "api",
            "/api?x=1": "api",
            "/api/v1": "api",
            "/api/v2/x": "deep",
        }
        for target, name in expected.items():
            assert (await fetch(router.http_port, HOST, target)).seen["instance"] == name, target
        assert (await fetch(router.http_port, HOST, "/api/v2/x")).seen["target"] == "/api/v2/x"
        await serve(router, entry(HOST, api, path="/api"))
        assert (await fetch(router.http_port, HOST, "/api")).status == 200
        assert (await fetch(router.http_port, HOST, "/")).header("x-cf-routererror") == "unknown_route"


async def test_a_wildcard_takes_what_no_exact_route_takes(router: Router) -> None:
    async with apps("exact", "wild", "partial") as (exact, wild, partial):
        await serve(
            router,
            entry("one.example.test", exact),
            entry("*.example.test", wild),
            entry("part.example.test", partial, path="/only"),
            entry("example.test", exact),
        )
        cases = {
            ("one.example.test", "/"): "exact",
            ("example.test", "/"): "exact",
            ("two.example.test", "/"): "wild",
            ("a.b.example.test", "/x"): "wild",
            ("part.example.test", "/only/this"): "partial",
            ("part.example.test", "/other"): "wild",
        }
        for (host, target), name in cases.items():
            assert (await fetch(router.http_port, host, target)).seen["instance"] == name, (host, target)
        await serve(router, entry("one.example.test", exact))
        assert (await fetch(router.http_port, "two.example.test")).status == 404
        assert (await fetch(router.http_port, "one.example.test")).status == 200


async def test_a_system_host_leads_to_the_daemon_over_https_alone_and_no_route_can_take_it(
    router: Router, certificates: Certificates
) -> None:
    host = "api.system.localhost"
    async with apps("daemon", "thief") as (daemon, thief):
        await serve(router, entry(host, thief), entry(HOST, thief), api=("127.0.0.1", daemon.port))
        plain = await fetch(router.http_port, host, "/v3?a=b")
        assert plain.status == 308
        assert plain.header("location") == f"https://{host}:{router.https_port}/v3?a=b"
        forged = await fetch(router.http_port, host, "/v3", [("X-Forwarded-Proto", "https")])
        assert forged.status == 308
        assert (await fetch(router.http_port, HOST)).seen["instance"] == "thief", "apps are served over both"
        context = ssl.create_default_context(cafile=str(certificates.authority_path))
        raw = await trio.open_tcp_stream("127.0.0.1", router.https_port)
        async with trio.SSLStream(raw, context, server_hostname=host, https_compatible=True) as stream:
            assert (await exchange(stream, host, "/v3")).seen["instance"] == "daemon"
        assert (await fetch(router.http_port, "login.system.localhost")).status == 404


async def test_https_shows_the_certificate_of_the_name_asked_for(
    router: Router, app: App, certificates: Certificates
) -> None:
    await serve(router, entry(HOST, app), api=("127.0.0.1", app.port))
    context = ssl.create_default_context(cafile=str(certificates.authority_path))
    for host in (HOST, "api.system.localhost"):
        raw = await trio.open_tcp_stream("127.0.0.1", router.https_port)
        stream = trio.SSLStream(raw, context, server_hostname=host)
        assert dict((await exchange(stream, host)).seen["headers"])["x-forwarded-proto"] == "https"
        await trio.aclose_forcefully(stream)
    raw = await trio.open_tcp_stream("127.0.0.1", router.https_port)
    stranger = trio.SSLStream(raw, context, server_hostname="elsewhere.test")
    try:
        await stranger.do_handshake()
    except trio.BrokenResourceError as error:
        assert "Hostname mismatch" in str(error.__cause__)
    else:
        raise AssertionError("a certificate for another name was accepted")
    finally:
        await trio.aclose_forcefully(stranger)


async def test_clients_may_speak_http2_over_tls(router: Router, app: App, certificates: Certificates) -> None:
    await serve(router, entry(HOST, app))
    context = ssl.create_default_context(cafile=str(certificates.authority_path))
    async with httpx.AsyncClient(http2=True, verify=context) as client:
        address = f"https://127.0.0.1:{router.https_port}/"
        answer = await client.post(
            address, content=b"x" * 200_000, headers={"Host": HOST}, extensions={"sni_hostname": HOST}
        )
    assert answer.http_version == "HTTP/2"
    assert answer.json()["size"] == 200_000


async def test_a_websocket_talks_both_ways_and_outlives_the_request_timeout_and_its_route(
    router: Router, app: App
) -> None:
    await serve(router, entry(HOST, app))
    async with await trio.open_tcp_stream("127.0.0.1", router.http_port) as stream:
        socket = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        await stream.send_all(socket.send(Request(host=HOST, target="/ws")))

        async def event() -> object:
            while True:
                for found in socket.events():
                    return found
                socket.receive_data(bytes(await stream.receive_some(4096)))

        with trio.fail_after(10):
            assert isinstance(await event(), AcceptConnection)
            await trio.sleep(1.2)  # longer than the request timeout of these tests
            await serve(router)
            await stream.send_all(socket.send(TextMessage(data="hello")))
            message = await event()
        assert isinstance(message, Message) and message.data == "HELLO"


async def test_a_route_without_instances_says_so(router: Router) -> None:
    await serve(router, entry(HOST))
    answer = await fetch(router.http_port, HOST)
    assert (answer.status, answer.header("x-cf-routererror")) == (503, "no_endpoints")
    assert b"has no available endpoints" in answer.body


async def test_an_app_that_hangs_up_is_a_bad_gateway_and_is_asked_once(router: Router, app: App) -> None:
    await serve(router, entry(HOST, app))
    answer = await fetch(router.http_port, HOST, "/die")
    assert (answer.status, answer.header("x-cf-routererror")) == (502, "endpoint_failure")
    assert app.requests == 1


async def test_an_app_that_does_not_answer_in_time_is_a_gateway_timeout(router: Router, app: App) -> None:
    await serve(router, entry(HOST, app))
    with trio.fail_after(5):
        answer = await fetch(router.http_port, HOST, "/hang")
    assert (answer.status, answer.header("x-cf-routererror")) == (504, "endpoint_timeout")


async def test_oversized_headers_are_refused_by_name(router: Router, app: App) -> None:
    await serve(router, entry(HOST, app))
    fine = await fetch(router.http_port, HOST, headers=[("x-big", "a" * 8_000)])
    assert fine.status == 200
    refused = await fetch(router.http_port, HOST, headers=[("x-big", "a" * 20_000)])
    assert refused.status == 431
    many = await fetch(router.http_port, HOST, headers=[(f"x-{number}", "a") for number in range(300)])
    assert many.status == 431
    assert app.requests == 1


async def test_a_dead_endpoint_is_passed_over_and_one_alone_is_a_bad_gateway(router: Router, app: App) -> None:
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        dead = Endpoint(instance_guid="dead", index=1, address="127.0.0.1", port=taken.getsockname()[1])
        both = RouteEntry(host=HOST, endpoints=(app.endpoint(), dead))
        await serve(router, both, RouteEntry(host="dead.apps.localhost", endpoints=(dead,)))
        assert [(await fetch(router.http_port, HOST, method="POST")).status for _ in range(40)] == [200] * 40
        alone = await fetch(router.http_port, "dead.apps.localhost")
        assert (alone.status, alone.header("x-cf-routererror")) == (502, "endpoint_failure")


async def test_requests_are_shared_among_instances_by_either_policy(router: Router) -> None:
    async with apps("one", "two") as (one, two):
        least = entry("least.apps.localhost", one, two, options={"loadbalancing": "least-connection"})
        await serve(router, entry(HOST, one, two), least)
        for host in (HOST, "least.apps.localhost"):
            seen = {(await fetch(router.http_port, host)).seen["instance"] for _ in range(20)}
            assert seen == {"one", "two"}


async def test_a_session_stays_with_its_instance_until_that_is_gone(router: Router) -> None:
    async with apps("one", "two", "three") as (one, two, three):
        await serve(router, entry(HOST, one, two, three))
        started = await fetch(router.http_port, HOST, "/session")
        home = started.seen["instance"]
        assert started.all("set-cookie")[1] == f"__VCAP_ID__={home}; Path=/; HttpOnly; Max-Age=60; Secure"
        assert not (await fetch(router.http_port, HOST)).all("set-cookie")
        cookie = [("cookie", f"JSESSIONID=abc; __VCAP_ID__={home}")]
        seen = [(await fetch(router.http_port, HOST, headers=cookie)).seen["instance"] for _ in range(12)]
        assert seen == [home] * 12
        without = {
            (await fetch(router.http_port, HOST, headers=[("cookie", f"__VCAP_ID__={home}")])).seen["instance"]
            for _ in range(12)
        }
        assert len(without) == 3
        left = [one for one in (one, two, three) if one.name != home]
        await serve(router, entry(HOST, *left))
        assert (await fetch(router.http_port, HOST, headers=cookie)).seen["instance"] in {one.name for one in left}


async def test_every_request_is_reported_with_its_route_instance_and_fate(
    router: Router, app: App, journal: Journal
) -> None:
    await serve(
        router, entry(HOST, app, space_guid="space-1", organization_guid="org-1"), entry("empty.apps.localhost")
    )
    answer = await fetch(router.http_port, HOST, "/hello?a=1", headers=[("user-agent", 'te"st')])
    await fetch(router.http_port, "empty.apps.localhost", "/nobody")
    await fetch(router.http_port, "gone.apps.localhost", "/nowhere")
    found = await journal.of("/hello?a=1")
    assert (found.route_guid, found.app_guid, found.instance_guid, found.instance_index) == (
        f"route of {HOST}",
        "app-1",
        "instance-1",
        0,
    )
    assert (found.space_guid, found.organization_guid, found.status, found.method) == ("space-1", "org-1", 200, "GET")
    assert found.bytes_out == len(answer.body)
    assert found.request_id == answer.header("x-vcap-request-id")
    assert 0 < (found.upstream_first_byte_s or 0) <= found.duration_s < 5
    line = rtr_line(found)
    assert line.startswith(f"{HOST} - [") and '"GET /hello?a=1 HTTP/1.1" 200 0 ' in line
    assert (
        '"te\\x22st"' in line and 'app_id:"app-1" app_index:"0" instance_id:"instance-1" x_cf_routererror:"-"' in line
    )
    nobody = await journal.of("/nobody")
    assert (nobody.route_guid, nobody.app_guid, nobody.error) == (
        "route of empty.apps.localhost",
        "app-1",
        "no_endpoints",
    )
    nowhere = await journal.of("/nowhere")
    assert (nowhere.route_guid, nowhere.app_guid, nowhere.error) == ("", None, "unknown_route")
    assert json.dumps(nowhere.flags)


async def test_a_route_that_envoy_would_refuse_costs_only_itself(router: Router, app: App) -> None:
    bad = [entry(HOST, app, path=path) for path in ("/a?b", "/a#b", "relative", "/a b")]
    hosts = [entry(host, app) for host in ("a*.apps.localhost", "*", "a b.apps.localhost", "")]
    await serve(router, *bad, *hosts, entry(HOST, app, path="/good"), entry("*.example.test", app))
    assert router.refused == 0
    assert (await fetch(router.http_port, HOST, "/good")).status == 200
    assert (await fetch(router.http_port, "any.example.test")).status == 200
    assert (await fetch(router.http_port, HOST, "/a")).status == 404
