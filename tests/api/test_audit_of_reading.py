"""What people read that is secret is an audit event, and a program that looks all the time does not fill the state."""

from typing import Any

import httpx
import pytest

from paasd.actions import Context
from paasd.api.routes import make_route_table
from paasd.model import AuditEvent
from paasd.state import In
from tests.api.calls import BITS, Caller, to
from tests.api.test_hidden_variables import PLANTED, Planting

SHOWN = "audit.app.environment.show"
OF_A_REVISION = "audit.app.revision.environment_variables.show"
DOWNLOADED = "audit.app.package.download"


def events(context: Context, event_type: str) -> list[AuditEvent]:
    with context.database.read() as tx:
        return tx.all(AuditEvent, type=event_type, order=("sequence",))


async def ok(http: httpx.AsyncClient, path: str, **headers: str) -> Any:
    answer = await http.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


async def test_who_reads_an_environment_is_told_once_an_hour_from_each_source(caller: Caller) -> None:
    served, http = caller.served, caller.http
    app = (await caller.make_apps())["guid"]
    other = (await caller.make_apps())["guid"]
    await ok(http, f"/v3/apps/{app}/env")
    [event] = events(served.context, SHOWN)
    assert (event.target_guid, event.actor_name, event.address != "", event.request_id != "") == (
        app,
        "admin",
        True,
        True,
    )
    for path in (f"/v3/apps/{app}/environment_variables", f"/v3/apps/{app}/env", f"/v3/apps/{app}/manifest"):
        await ok(http, path)
    assert len(events(served.context, SHOWN)) == 1
    await ok(http, f"/v3/apps/{app}/env", **{"X-Forwarded-For": "203.0.113.9"})
    assert [one.address for one in events(served.context, SHOWN)][1:] == ["203.0.113.9"]
    await ok(http, f"/v3/apps/{other}/manifest")
    assert [one.target_guid for one in events(served.context, SHOWN)] == [app, app, other]


async def test_after_an_hour_reading_is_told_anew(caller: Caller) -> None:
    served = caller.served
    app = (await caller.make_apps())["guid"]
    await ok(caller.http, f"/v3/apps/{app}/env")
    served.clock.ahead_s = 3700
    async with await served.admin() as later:
        await ok(later, f"/v3/apps/{app}/environment_variables")
    assert len(events(served.context, SHOWN)) == 2


async def test_whoever_may_not_read_leaves_no_event(caller: Caller) -> None:
    app = (await caller.make_apps())["guid"]
    await caller.served.make_user("stranger")
    async with caller.served.client((await caller.served.login("stranger"))["access_token"]) as http:
        assert (await http.get(f"/v3/apps/{app}/env")).status_code == 404
    assert events(caller.served.context, SHOWN) == []


async def test_a_download_of_source_code_is_told(caller: Caller) -> None:
    http = caller.http
    app = (await caller.make_apps())["guid"]
    package = await caller.make("/v3/packages", {"type": "bits", "relationships": {"app": to(app)}})
    assert (await http.get(f"/v3/packages/{package}/download")).status_code == 422
    assert events(caller.served.context, DOWNLOADED) == []
    await http.post(f"/v3/packages/{package}/upload", files={"bits": ("bits.zip", BITS)})
    assert (await ok(http, f"/v3/packages/{package}/download")).content == BITS
    [event] = events(caller.served.context, DOWNLOADED)
    assert (event.target_type, event.data["package_guid"], event.actor_name) == ("app", package, "admin")


async def test_downloads_are_told_once_an_hour_of_each_package_from_each_source(caller: Caller) -> None:
    served, http = caller.served, caller.http
    app = (await caller.make_apps())["guid"]
    packages = [
        await caller.make("/v3/packages", {"type": "bits", "relationships": {"app": to(app)}}) for _ in range(2)
    ]
    for package in packages:
        await http.post(f"/v3/packages/{package}/upload", files={"bits": ("bits.zip", BITS)})
        for _ in range(3):
            await ok(http, f"/v3/packages/{package}/download")
    assert [event.data["package_guid"] for event in events(served.context, DOWNLOADED)] == packages
    await ok(http, f"/v3/packages/{packages[0]}/download", **{"X-Forwarded-For": "203.0.113.9"})
    assert len(events(served.context, DOWNLOADED)) == 3
    served.clock.ahead_s = 3700
    async with await served.admin() as later:
        await ok(later, f"/v3/packages/{packages[0]}/download")
    assert len(events(served.context, DOWNLOADED)) == 4


async def test_changing_or_comparing_variables_shows_the_others_and_is_told_too(caller: Caller) -> None:
    context, http = caller.served.context, caller.http
    app, space = (await caller.make_apps())["guid"], await caller.dev()
    name = (await http.get(f"/v3/apps/{app}")).json()["name"]

    async def patch(**variables: str) -> None:
        answer = await http.patch(f"/v3/apps/{app}/environment_variables", json={"var": variables})
        assert answer.status_code == 200, answer.text

    async def compare(extra: str, source: str) -> str:
        headers = {"Content-Type": "application/x-yaml", "X-Forwarded-For": source}
        manifest = f"applications:\n- name: {name}\n{extra}"
        answer = await http.post(f"/v3/spaces/{space}/manifest_diff", content=manifest, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.text

    await patch(SECRET=PLANTED)
    await compare("", "192.0.2.1")
    assert events(context, SHOWN) == [], "nothing was shown that was not sent"
    await patch()
    assert len(events(context, SHOWN)) == 1
    assert PLANTED in await compare("  env: {SECRET: other}\n", "192.0.2.2")
    assert [one.address for one in events(context, SHOWN)][1:] == ["192.0.2.2"]
    assert PLANTED not in await compare("  env: {OTHER: other}\n", "192.0.2.3")
    assert [one.address for one in events(context, SHOWN)][2:] == ["192.0.2.3"], "that it has not that one is told"


async def test_a_call_that_is_sent_again_reads_again(caller: Caller) -> None:
    served = caller.served
    app = (await Planting(served, caller.http).make_apps())["guid"]
    for hours in (0, 2):
        served.clock.ahead_s = hours * 3600
        async with await served.admin() as http:
            path = f"/v3/apps/{app}/environment_variables"
            answer = await http.patch(path, json={"var": {}}, headers={"Idempotency-Key": "one"})
            assert PLANTED in answer.text
    assert len(events(served.context, SHOWN)) == 2


@pytest.mark.parametrize(
    "below",
    [
        pytest.param(("/v3/apps/<guid>/e", "/v3/apps/<guid>/manifest", "/v3/revisions"), id="of apps"),
        pytest.param(("/",), id="all", marks=pytest.mark.slow),
    ],
)
async def test_whichever_call_shows_a_variable_leaves_an_event(below: tuple[str, ...], caller: Caller) -> None:
    """Each on an app that nobody has looked into, so that none is covered by an event of the one before."""
    caller = Planting(caller.served, caller.http)
    database, told, untold = caller.served.context.database, [], []
    for route in make_route_table():
        if "<" not in route.path or not route.path.startswith(below):
            continue
        method, address, more = await caller.request(route)
        with database.read() as tx:
            before = tx.count(AuditEvent, In("type", (SHOWN, OF_A_REVISION)))
        answer = await caller.http.request(method, address, **more)
        with database.read() as tx:
            after = tx.count(AuditEvent, In("type", (SHOWN, OF_A_REVISION)))
        if PLANTED in answer.text:
            (told if after > before else untold).append((method, route.path))
            caller.seen.clear()
    assert untold == []
    assert set(told) >= {
        ("GET", "/v3/apps/<guid>/env"),
        ("GET", "/v3/apps/<guid>/environment_variables"),
        ("PATCH", "/v3/apps/<guid>/environment_variables"),
        ("GET", "/v3/apps/<guid>/manifest"),
        ("GET", "/v3/revisions/<guid>/environment_variables"),
    }
