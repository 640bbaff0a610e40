"""What people read that is secret is an audit event, and a program that looks all the time does not fill the state."""

from typing import Any

import httpx

from paasd.actions import Context
from paasd.model import AuditEvent
from tests.api.calls import BITS, Caller, to

SHOWN = "audit.app.environment.show"
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
