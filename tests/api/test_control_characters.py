"""What no program, file name or terminal can take is refused where it comes in, and changes nothing."""

from typing import Any

import httpx
import msgspec
import pytest

from paasd.actions.environment import check_variables
from paasd.errors import Unprocessable
from paasd.model.processes import can_be_run
from paasd.stager.outcome import ResultFile
from tests.api.serving import Served
from tests.api.sign_in import signed_in
from tests.api.tenants import make_tenant

YAML = {"Content-Type": "application/x-yaml"}
APP = "/v3/apps/<app>"
SIDECAR = {"name": "one", "command": "run", "process_types": ["web"]}
NUL = "cannot contain the character NUL"
PRINTABLE = "printable characters"
TYPE = "letters, digits, '_', '-' and '.'"


def endpoint(path: str) -> dict[str, Any]:
    return {"health_check": {"type": "http", "data": {"endpoint": path}}}


CASES: list[tuple[str, Any, str]] = [
    (f"PATCH {APP}/processes/web", {"command": "run\0"}, NUL),
    (f"POST {APP}/tasks", {"command": "run\0"}, NUL),
    (f"POST {APP}/tasks", {"command": "run", "name": "a\nb"}, PRINTABLE),
    (f"POST {APP}/sidecars", {**SIDECAR, "command": "run\0"}, NUL),
    (f"POST {APP}/sidecars", {**SIDECAR, "name": "a\nb"}, PRINTABLE),
    (f"POST {APP}/sidecars", {**SIDECAR, "process_types": ["a\x1bb"]}, TYPE),
    (f"PATCH {APP}", {"name": "a\0b"}, NUL),
    (f"PATCH {APP}", {"name": "a\x1b[2Jb"}, PRINTABLE),
    (f"PATCH {APP}", {"metadata": {"annotations": {"a": "x\0y"}}}, NUL),
    (f"PATCH {APP}", {"metadata": {"annotations": {"a\0": "x"}}}, NUL),
    (
        f"PATCH {APP}",
        {"lifecycle": {"type": "buildpack", "data": {"buildpacks": ["https://x.example/a\nb"]}}},
        "git URI",
    ),
    (
        f"PATCH {APP}",
        {"lifecycle": {"type": "buildpack", "data": {"buildpacks": ["https://x.example/a b"]}}},
        "git URI",
    ),
    (f"PATCH {APP}/processes/web", endpoint("/a\x1b"), "valid URI path"),
    (f"PATCH {APP}/processes/web", endpoint("/ä"), "valid URI path"),
    (
        "POST /v3/droplets",
        {"process_types": {"web": "run\0"}, "relationships": {"app": {"data": {"guid": "<app>"}}}},
        NUL,
    ),
    (
        "POST /v3/droplets",
        {"process_types": {"web": "€" * 30_000}, "relationships": {"app": {"data": {"guid": "<app>"}}}},
        "at most 65536 bytes",
    ),
    (
        "POST /v3/space_quotas",
        {"name": "a\nb", "relationships": {"organization": {"data": {"guid": "<organization>"}}}},
        PRINTABLE,
    ),
    ("PATCH /v3/spaces/<space>", {"name": "a\0b"}, NUL),
]


@pytest.mark.parametrize(("call", "body", "words"), CASES)
async def test_a_text_that_nothing_can_take_is_refused(served: Served, call: str, body: Any, words: str) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    app = await tenant.started_app(served, "dora")
    guids = {"<app>": app, "<organization>": tenant.organization, "<space>": tenant.space}
    method, path = (placed(text, guids) for text in call.split())
    async with await served.admin() as http:
        before = await everything(http, app)
        answer = await http.request(
            method, path, json=msgspec.json.decode(placed(msgspec.json.encode(body).decode(), guids))
        )
        assert (answer.status_code, words in answer.json()["errors"][0]["detail"]) == (422, True), answer.text
        assert await everything(http, app) == before


def placed(text: str, guids: dict[str, str]) -> str:
    for name, guid in guids.items():
        text = text.replace(name, guid)
    return text


async def everything(http: httpx.AsyncClient, app: str) -> list[Any]:
    paths = (
        f"/v3/apps/{app}",
        *(f"/v3/apps/{app}/{part}" for part in ("processes/web", "tasks", "sidecars", "droplets")),
    )
    return [(await http.get(path)).json() for path in (*paths, "/v3/space_quotas", "/v3/spaces")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{name: dora, command: "x\\0y"}', "has NUL in it"),
        ('{name: dora, command: "x\\uD800y"}', "half a character"),
        ('{name: dora, env: {A: "\\udfff"}}', "half a character"),
        ('{name: dora, processes: [{type: "w\\nb", command: x}]}', TYPE),
        ('{name: dora, sidecars: [{name: "w\\nb", command: x, process_types: [web]}]}', PRINTABLE),
        ('{name: dora, health-check-type: http, health-check-http-endpoint: "/\\x1b"}', "percent-encoded"),
        ('{name: dora, buildpacks: ["https://x.example/a\\nb"]}', "git URI"),
        ('{name: dora, routes: [{route: "a\\0.apps.localhost"}]}', "has NUL in it"),
    ],
)
async def test_neither_is_it_taken_from_a_manifest(served: Served, text: str, words: str) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    app = await tenant.started_app(served, "dora")
    async with tenant.client("developer") as http, await served.admin() as admin:
        before = await everything(admin, app)
        path = f"/v3/spaces/{tenant.space}/actions/apply_manifest"
        answer = await http.post(path, content=f"applications: [{text}]", headers=YAML)
        if answer.status_code == 202:
            answer = await http.get(answer.headers["Location"])
        assert answer.status_code in (200, 422), answer.text
        assert words in " ".join(one["detail"] for one in answer.json()["errors"]), answer.text
        assert await everything(admin, app) == before


async def test_line_breaks_in_commands_are_taken(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    app = await tenant.started_app(served, "dora")
    async with tenant.client("developer") as http:
        command = "set -e\nexec run\t--all"
        changed = await http.patch(f"/v3/apps/{app}/processes/web", json={"command": command})
        assert (changed.status_code, changed.json()["command"]) == (200, command)


async def test_an_account_has_a_name_that_can_be_shown(served: Served) -> None:
    async with await served.admin() as http:
        for name in ("a\0b", "a\x1b]0;b", "a\u202eb"):
            refused = await http.post("/Users", json={"userName": name, "password": "long enough to be one"})
            assert refused.status_code in (400, 422), refused.text
            refused = await http.post("/v3/users", json={"username": name, "origin": "uaa"})
            assert refused.status_code == 422, refused.text
    await served.make_user("ada")
    async with await signed_in(served, "ada") as http:
        assert (await http.get("/v3/users")).status_code == 200


def result(**process_types: str) -> bytes:
    return msgspec.json.encode(
        {
            "process_types": process_types,
            "sidecars": [],
            "lifecycle_metadata": {"detected_buildpack": "", "buildpacks": []},
            "layers": [],
            "toolchains": [],
        }
    )


@pytest.mark.parametrize("command", ["run\0", "€" * 65_000])
def test_a_build_that_names_a_command_which_cannot_be_run_fails_with_the_reason(command: str) -> None:
    assert msgspec.json.decode(result(web="run\n--all"), type=ResultFile).process_types == {"web": "run\n--all"}
    with pytest.raises(msgspec.ValidationError, match="the command of web has NUL in it, or more than 65536 bytes"):
        msgspec.json.decode(result(web=command), type=ResultFile)
    with pytest.raises(msgspec.ValidationError, match="matching regex"):
        msgspec.json.decode(result(**{"a\nb": "run"}), type=ResultFile)


def test_a_command_and_a_variable_are_as_long_as_the_kernel_takes() -> None:
    assert can_be_run("x" * 65_536) and not can_be_run("x" * 65_537)
    check_variables({"A": "x" * (128 * 1024 - 3)})
    with pytest.raises(Unprocessable, match="128 KiB"):
        check_variables({"A": "x" * (128 * 1024 - 2)})
