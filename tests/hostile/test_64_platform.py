"""Attempts that are not on the list, against the router and the API."""

import http.client
import json
import secrets
import socket
import ssl
import time
from typing import Any

import httpx
import pytest

from tests.node.harness import HELLO, SPACE

from .stage import Stage

pytestmark = pytest.mark.root

ECHO: dict[str, str | bytes] = {
    "Procfile": "web: python3 echo.py\n",
    "echo.py": """
import http.server, json, os
class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"path": self.path, "headers": [[k.lower(), v] for k, v in self.headers.items()]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Echo).serve_forever()
""",
}


def raw(stage: Stage, request: str, name: str = "echo.apps.localhost") -> tuple[int, bytes]:
    """Status and body of an answer to exactly these bytes over TLS; status 0 when the connection was closed."""
    node = stage.node.node
    context = ssl.create_default_context(cafile=str(node.certificates.authority_path))
    with (
        socket.create_connection(("127.0.0.1", node.router.https_port), 5) as plain,
        context.wrap_socket(plain, server_hostname=name) as sock,
    ):
        sock.sendall(request.encode())
        answer = http.client.HTTPResponse(sock)
        try:
            # Not to the end of the connection, which Envoy keeps open for a second.
            answer.begin()
            return answer.status, answer.read()
        except (http.client.HTTPException, OSError):
            return 0, b""
        finally:
            answer.close()


def ask(host: str, path: str = "/", *headers: str, method: str = "GET") -> str:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    return "\r\n".join(lines) + "\r\n\r\n"


def test_64_requests_reach_no_door_of_the_platform_by_their_headers(stage: Stage) -> None:
    node = stage.node.node
    result = stage.push("echo", ECHO)
    assert result["type"] == "result", result
    own = "echo.apps.localhost"
    try:
        status, body = raw(stage, ask(own, "/x"))
        assert (status, json.loads(body)["path"]) == (200, "/x")
        hosts = ["xds", "xds_cluster", "admin", "localhost", "127.0.0.1", f"127.0.0.1:{node.doors.port}", "169.254.1.1",
                 "169.254.169.254", stage.neighbour.address, f"{stage.neighbour.address}:8080", "apps.internal",
                 "*.apps.localhost", "nobody.apps.localhost", ".", "a" * 300]  # fmt: skip
        for host in hosts:
            status, body = raw(stage, ask(host))
            assert status in (400, 404, 421), (host, status, body[:200])
        for request in (
            ask("127.0.0.1:22", f"127.0.0.1:{node.doors.port}", method="CONNECT"),
            ask(f"{stage.neighbour.address}:8080", f"{stage.neighbour.address}:8080", method="CONNECT"),
            "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: {own}\r\nHost: api.system.localhost\r\nConnection: close\r\n\r\n",
            ask(own, "/", "Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\nGET /",
            ask(own, "/", "Content-Length: 1", "Content-Length: 2") + "x",
            f"GET / HTTP/1.1\r\nHost: {own}\r\nX\x00Y: z\r\nConnection: close\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: {own}\r\n folded: header\r\nConnection: close\r\n\r\n",
        ):
            status, body = raw(stage, request)
            assert status in (0, 400, 403, 404, 405, 421, 501), (request, status, body[:200])
        platform = "api.system.localhost"
        handshake = (
            f"GET /v3 HTTP/1.1\r\nHost: {platform}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        )
        for odd in ("Sec-WebSocket-Protocol: \xff\r\n\r\n", "Sec-WebSocket-Extensions: \xff\r\n\r\n", "\r\nx"):
            status, body = raw(stage, handshake + odd, platform)
            assert status in (0, 400, 502, 503), (odd, status, body[:200])
            assert raw(stage, ask(platform, "/v3"), platform)[0] == 200, "a handshake has ended the API"
        # An absolute URI names the host, whatever the header says; it must be one of the two and no third.
        status, body = raw(stage, ask("nobody.apps.localhost", f"http://{own}/y"))
        assert status in (400, 404) or json.loads(body)["path"] == "/y"
        status, body = raw(stage, ask(own, "http://169.254.169.254/latest"))
        assert status in (400, 404) or json.loads(body)["path"].endswith("/latest")
        headers = [
            f"x-envoy-original-dst-host: 127.0.0.1:{node.doors.port}",
            f"x-envoy-original-path: http://127.0.0.1:{node.doors.port}/",
            "x-envoy-upstream-rq-timeout-ms: 1",
            "x-envoy-retry-on: 5xx",
            "x-envoy-internal: true",
            f"X-CF-App-Instance: {'0' * 8}:0",
        ]
        status, body = raw(stage, ask(own, "/z", *headers))
        assert status == 400 or json.loads(body)["path"] == "/z", "whatever they say, the app itself answers"
    finally:
        stage.delete("echo")


def test_65_forwarded_headers_of_clients_are_marked_as_theirs(stage: Stage) -> None:
    result = stage.push("echo", ECHO)
    assert result["type"] == "result", result
    forged = (
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Proto: gopher",
        "X-Forwarded-Client-Cert: By=x;Subject=admin",
        "X-Real-Ip: 203.0.113.9",
        "X-Request-Id: ../../etc/passwd",
    )
    try:
        status, body = raw(stage, ask("echo.apps.localhost", "/", *forged))
        assert status == 200
        got: dict[str, list[str]] = {}
        for name, value in json.loads(body)["headers"]:
            got.setdefault(name, []).append(value)
        (chain,) = got["x-forwarded-for"]
        assert chain.split(",")[-1].strip() == "127.0.0.1", "the last hop is the true one"
        assert got["x-forwarded-proto"] == ["https"]
        assert "x-forwarded-client-cert" not in got
        lines = stage.until(
            lambda: stage.run(stage.node.api.get, f"/api/v1/read/{result['app']['guid']}").text,
            lambda text: '"RTR"' in text,
        )
        assert lines
    finally:
        stage.delete("echo")


async def signed_in(stage: Stage, name: str, role: dict[str, Any] | None) -> dict[str, str]:
    """Headers of a user who has that role in the space and no other."""
    api, password = stage.node.api, "correct-Horse-1"
    name = f"{name}-{secrets.token_hex(3)}"
    body = {"userName": name, "password": password, "origin": "uaa", "emails": [{"value": f"{name}@example.org"}]}
    made = await api.post("/uaa/Users", json=body)
    assert made.status_code == 201, made.text
    guid = made.json()["id"]
    assert (await api.post("/v3/users", json={"guid": guid})).status_code == 201
    if role is not None:
        for kind, place in role.items():
            relationships = {"user": {"data": {"guid": guid}}, place[0]: {"data": {"guid": place[1]}}}
            answer = await api.post("/v3/roles", json={"type": kind, "relationships": relationships})
            assert answer.status_code == 201, answer.text
    form = {"grant_type": "password", "username": name, "password": password}
    async with over_tcp(stage) as web:
        answer = await web.post("/uaa/oauth/token", data=form, auth=("cf", ""))
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"bearer {answer.json()['access_token']}"}


def over_tcp(stage: Stage) -> httpx.AsyncClient:
    """A client of the API whom the kernel does not know as root."""
    doors = stage.node.node.doors
    return httpx.AsyncClient(base_url=f"http://{doors.host}:{doors.port}", timeout=30)


def test_66_logs_files_and_settings_of_others_are_not_shown(stage: Stage) -> None:
    async def attack() -> dict[str, dict[str, int]]:
        api = stage.node.api
        app = await stage.node.app("canary")
        guid, space = app["guid"], app["relationships"]["space"]["data"]["guid"]
        organization = (await api.get(f"/v3/spaces/{space}")).json()["relationships"]["organization"]["data"]["guid"]
        droplet = (await api.get(f"/v3/apps/{guid}/droplets/current")).json()["guid"]
        package = (await api.get(f"/v3/apps/{guid}/packages")).json()["resources"][0]["guid"]
        process = (await api.get(f"/v3/apps/{guid}/processes/web")).json()["guid"]
        places = {
            "organization_user": ("organization", organization),
            "space_developer": ("space", space),
        }
        mallory = await signed_in(stage, "mallory", None)
        developer = await signed_in(stage, "developer", places)
        paths = [
            f"/api/v1/read/{guid}",
            f"/v3/apps/{guid}",
            f"/v3/apps/{guid}/env",
            f"/v3/apps/{guid}/environment_variables",
            f"/v3/processes/{process}/stats",
            f"/v3/packages/{package}",
            f"/v3/droplets/{droplet}",
            f"/v3/apps/{guid}/manifest",
            f"{SPACE}/apps/canary",
        ]
        found: dict[str, dict[str, int]] = {}
        async with over_tcp(stage) as web:
            for who, headers in (("mallory", mallory), ("developer", developer), ("nobody", {})):
                found[who] = {path: (await web.get(path, headers=headers)).status_code for path in paths}
            for verb in ("delete", "patch"):
                answer = await web.request(verb, f"/v3/apps/{guid}", headers=mallory, json={})
                found["mallory"][verb] = answer.status_code
            lists = ["apps", "packages", "builds", "droplets", "routes", "spaces", "processes", "audit_events"]
            for kind in lists:
                answer = await web.get(f"/v3/{kind}", headers=mallory)
                assert answer.status_code == 200, answer.text
                assert answer.json()["resources"] == [], kind
            batch = await web.get("/api/v1/meta", headers=mallory)
            assert guid not in batch.text
        return found

    found = stage.run(attack)
    assert set(found["developer"].values()) == {200}, found["developer"]
    assert set(found["mallory"].values()) <= {403, 404}, found["mallory"]
    assert set(found["nobody"].values()) == {401}, found["nobody"]


def test_67_names_do_not_lead_to_files_or_other_resources(stage: Stage) -> None:
    async def attack() -> dict[str, int]:
        found = {}
        paths = [
            "/paasd/v1/spaces/main/dev/apps/..%2f..%2f..%2fetc%2fpasswd",
            "/paasd/v1/spaces/main/..%2fdev/apps/canary",
            "/paasd/v1/spaces/main/dev/apps/%00",
            "/paasd/v1/spaces/main/dev/apps/canary%0d%0aX-Evil:%201",
            "/paasd/v1/../../etc/passwd",
            "/v3/apps/..%2f..%2froot-key",
            "/v3/apps/%27%20OR%201=1--",
            "/v3/apps/" + "a" * 5000,
            "/v3/packages/..%2F..%2Froot-key/download",
            "/api/v1/read/..%2f..%2froot-key",
        ]
        for path in paths:
            answer = await stage.node.api.get(path)
            assert "x-evil" not in answer.headers
            assert "root:" not in answer.text
            found[path] = answer.status_code
        for name in ("../../evil", "a/b", "evil\0", "evil\r\nX: y", "-rf", "", "e" * 5000, "<script>"):
            answer = await stage.node.api.post(f"{SPACE}/push", params={"name": name, "wait": "true"}, content=b"")
            found[name] = answer.status_code
        found["good"] = (await stage.node.api.get(f"{SPACE}/apps/canary")).status_code
        return found

    before = {path.name for path in stage.node.node.directory.iterdir()}
    found = stage.run(attack)
    assert found.pop("good") == 200
    assert all(400 <= status < 500 for status in found.values()), found
    assert {path.name for path in stage.node.node.directory.iterdir()} == before


def test_68_manifests_that_grow_when_read_are_refused_fast(stage: Stage) -> None:
    laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
    laughs += "".join(f"a{n}: &a{n} [" + ",".join([f"*a{n - 1}"] * 9) + "]\n" for n in range(1, 12))
    manifests = {
        "laughs": laughs + "applications:\n- name: laughs\n  env: {X: *a11}\n",
        "deep": "applications:\n- name: laughs\n  env: {X: " + "[" * 20_000 + "}\n",
        "code": "applications:\n- name: !!python/object/apply:os.system ['touch /tmp/evil-manifest']\n",
        "merge": "x: &x\n  <<: *x\napplications:\n- name: laughs\n",
    }
    for what, manifest in manifests.items():
        began = time.monotonic()
        result = stage.push("laughs", HELLO, manifest)
        assert result["type"] == "error", what
        assert result.get("status", 422) < 500, (what, result)
        assert len(result["detail"]) < 5000, what
        assert time.monotonic() - began < 30, what  # while others attack; to read one in full takes for ever
    good = "x: &x {memory: 64M}\napplications:\n- name: laughs\n  <<: *x\n"
    assert stage.push("laughs", HELLO, good)["type"] == "result"
    stage.delete("laughs")
