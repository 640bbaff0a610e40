"""The error table, limits of headers and URLs, and a walk over the whole route table."""

import json
import re
import uuid

import httpx
import msgspec
import pytest
import trio

from paasd import errors
from paasd.api.errors import CODES, UNKNOWN_ERROR, code_of, envelope, known_error
from paasd.api.routes import make_route_table
from paasd.api.table import Auth
from paasd.errors import PaasdError
from paasd.state import Duplicate
from tests.api.serving import Served


@pytest.mark.parametrize(
    ("error", "status", "code", "title"),
    [
        (errors.BadQuery("x"), 400, 10005, "CF-BadQueryParameter"),
        (errors.BadRequest("x"), 400, 1001, "CF-MessageParseError"),
        (errors.InvalidToken("x"), 401, 1000, "CF-InvalidAuthToken"),
        (errors.NotAuthenticated("x"), 401, 10002, "CF-NotAuthenticated"),
        (errors.Forbidden("x"), 403, 10003, "CF-NotAuthorized"),
        (errors.NotFound("App"), 404, 10010, "CF-ResourceNotFound"),
        (errors.Unprocessable("x"), 422, 10008, "CF-UnprocessableEntity"),
        (Duplicate("apps", ("name",)), 422, 10008, "CF-UnprocessableEntity"),
    ],
)
def test_kinds_of_error_have_cloud_foundrys_codes(error: PaasdError, status: int, code: int, title: str) -> None:
    assert code_of(error) == (status, code, title)
    body = json.loads(envelope(code_of(error), error.detail))
    assert body == {"errors": [{"code": code, "title": title, "detail": error.detail}]}


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"name": ' * 100_000, b'{"name": "\xff\xfe"}', b"{"])
async def test_json_that_is_none_is_refused_however_deep(served: Served, body: bytes) -> None:
    async with await served.admin() as http:
        assert (await http.post("/v3/organizations", content=body)).status_code == 400
        assert (await http.post("/v3/resource_matches", content=body)).status_code == 422
        hint = {"login_hint": '{"origin": "x", "other": ' + "[" * 15_000}
        form = {"grant_type": "password", "username": "admin", "password": "no", **hint}
        assert (await http.post("/oauth/token", data=form)).status_code == 401


def test_every_kind_of_error_has_a_row() -> None:
    def below(kind: type[PaasdError]) -> list[type[PaasdError]]:
        return [kind, *(lower for one in kind.__subclasses__() for lower in below(one))]

    assert all(any(parent in CODES for parent in kind.__mro__) for kind in below(PaasdError))


def test_a_reported_error_is_found_inside_exception_groups_but_never_hides_another() -> None:
    reported = errors.NotFound("App")
    assert known_error(ExceptionGroup("a", [ExceptionGroup("b", [reported])])) is reported
    assert known_error(ExceptionGroup("a", [reported, ValueError("secret")])) is None
    assert known_error(ValueError("secret")) is None


async def test_an_unexpected_error_shows_a_request_id_and_nothing_of_the_inside(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("the inside")

    async with await served.admin() as http:
        monkeypatch.setattr(served.context.database, "read", broken)
        answer = await http.get("/v3/organizations", headers={"X-Request-Id": "given-by-the-router"})
        monkeypatch.undo()
    # Authentication reads first, so the failure is met in the one place that catches everything.
    assert answer.status_code == 500
    error = answer.json()["errors"][0]
    assert (error["code"], error["title"]) == (10001, "UnknownError")
    assert "given-by-the-router" in error["detail"]
    assert "the inside" not in answer.text
    assert answer.headers["X-Vcap-Request-Id"] == "given-by-the-router"


async def test_long_urls_pass_and_oversized_headers_give_431(served: Served) -> None:
    async with await served.admin() as http:
        guids = ",".join(str(uuid.uuid4()) for _ in range(200))
        assert len(guids) > 7_300
        answer = await http.get(f"/v3/apps?guids={guids}&per_page=200")
        assert answer.status_code == 200, answer.text
        big = await http.get("/v3/apps", headers={"X-Filler": "x" * 40_000})
        assert big.status_code == 431
        assert big.json()["errors"][0]["title"] == "CF-RequestHeaderFieldsTooLarge"
        huge = await http.get("/v3/apps", headers={"X-Filler": "x" * 200_000})
        assert huge.status_code == 431


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "title"),
    [
        ("POST", "/v3/organizations", b"{", 400, "CF-MessageParseError"),
        ("POST", "/v3/organizations", b"[]", 400, "CF-MessageParseError"),
        ("POST", "/v3/organizations", b'{"name":7}', 422, "CF-UnprocessableEntity"),
        ("POST", "/v3/organizations", b"", 422, "CF-UnprocessableEntity"),
        ("POST", "/v3/organizations", b'{"name":"x","colour":1}', 422, "CF-UnprocessableEntity"),
        ("PUT", "/v3/organizations", b"", 404, "CF-NotFound"),
        ("GET", "/v3/organizations/", b"", 404, "CF-NotFound"),
        ("GET", "/v3/apps/nowhere", b"", 404, "CF-ResourceNotFound"),
        ("GET", "/v3/apps?names=a&versions=2", b"", 400, "CF-BadQueryParameter"),
        ("GET", "/v3/processes?embed=everything", b"", 400, "CF-BadQueryParameter"),
    ],
)
async def test_wrong_requests_get_the_envelope(
    served: Served, method: str, path: str, content: bytes, status: int, title: str
) -> None:
    async with await served.admin() as http:
        answer = await http.request(method, path, content=content)
    assert (answer.status_code, answer.json()["errors"][0]["title"]) == (status, title), answer.text


async def test_nothing_but_the_doors_of_login_is_open_to_strangers(served: Served) -> None:
    table = make_route_table()
    assert len(table) > 150
    async with served.client() as http:
        for route in table:
            path = re.sub(r"<[^>]+>", "x", route.path)
            answer = await http.request(route.method, path, content=b"")
            if route.auth is Auth.NONE:
                # The positive control: these answer without a token (a login without a password is still refused).
                # Without its secret there is no invitation to show.
                there = answer.status_code != 404 or route.path.endswith("/invitation")
                assert answer.status_code < 500 and there, (route.method, path)
            else:
                assert answer.status_code == 401, (route.method, path, answer.text)
    open_paths = {route.path.removeprefix("/uaa") for route in table if route.auth is Auth.NONE}
    assert open_paths == {
        "/",
        "/v3",
        "/v3/info",
        "/login",
        "/oauth/token",
        "/token_key",
        "/token_keys",
        "/passcode",
        "/invitation",
        "/oidc/<provider>",
        "/oidc/<provider>/callback",
        "/.well-known/openid-configuration",
        "/paasd/v1/openapi.json",
        "/oauth/token/.well-known/openid-configuration",
        "/api/v1/info",
        "/paasd/v1",
        "/paasd/v1/healthz",
    }


async def test_requests_go_on_while_others_wait(served: Served) -> None:
    async with await served.admin() as http:
        stream = await trio.open_tcp_stream(served.doors.host, served.doors.port)
        await stream.send_all(b"POST /v3/organizations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert (await http.get("/v3/organizations")).status_code == 200
        await stream.aclose()


async def test_addresses_are_those_the_client_used(served: Served) -> None:
    headers = {"Host": "api.system.localhost:8443", "X-Forwarded-Proto": "https"}
    async with await served.admin() as http:
        made = await http.post("/v3/organizations", json={"name": "gone"})
        job = await http.delete(f"/v3/organizations/{made.json()['guid']}", headers=headers)
        assert job.headers["Location"].startswith("https://api.system.localhost:8443/v3/jobs/")
        odd = await http.get("/v3", headers={"Host": "x/../y"})
        assert isinstance(odd, httpx.Response)
        assert odd.json()["links"]["self"]["href"] == "http://localhost/v3"


async def test_half_a_character_in_a_manifest_is_refused_and_no_error_that_quotes_one_is_lost(served: Served) -> None:
    assert msgspec.json.decode(envelope(UNKNOWN_ERROR, "'\ud800' is none"))["errors"][0]["detail"] == "'?' is none"
    async with await served.admin() as http:
        space = (await http.get("/v3/spaces?names=dev")).json()["resources"][0]["guid"]
        manifest = rb'applications: [{name: "\ud800"}]'
        path, yaml = f"/v3/spaces/{space}/actions/apply_manifest", {"Content-Type": "application/x-yaml"}
        answer = await http.post(path, content=manifest, headers=yaml)
        assert answer.status_code == 422, answer.text
        assert "half a character" in answer.text
