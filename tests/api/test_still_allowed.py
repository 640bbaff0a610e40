"""A stream that is open ends when whoever opened it could not open it any more."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import httpx
import pytest
import trio

from tests.api.hands import tar_of
from tests.api.serving import PASSWORD, Served
from tests.api.tenants import Tenant, make_tenant

LOGS = "/paasd/v1/spaces/aaa/dev/apps/one/logs?follow=1&lines=0"
EVENTS = "/paasd/v1/audit/events?organization=aaa&follow=1"
Ending = Callable[[Served, Tenant, httpx.AsyncClient], Awaitable[None]]


async def guid_of(admin: httpx.AsyncClient, name: str) -> str:
    return str((await admin.get(f"/v3/users?usernames={name}")).json()["resources"][0]["guid"])


async def lose_roles(served: Served, tenant: Tenant, admin: httpx.AsyncClient) -> None:
    for name in ("developer@aaa", "auditor@aaa"):
        user = await guid_of(admin, name)
        for role in (await admin.get(f"/v3/roles?user_guids={user}&order_by=-created_at")).json()["resources"]:
            assert (await admin.delete(f"/v3/roles/{role['guid']}")).status_code == 202


async def be_signed_out(served: Served, tenant: Tenant, admin: httpx.AsyncClient) -> None:
    for name in ("developer@aaa", "auditor@aaa"):
        assert (await admin.delete(f"/oauth/token/revoke/user/{await guid_of(admin, name)}")).status_code == 200


async def be_deleted(served: Served, tenant: Tenant, admin: httpx.AsyncClient) -> None:
    for name in ("developer@aaa", "auditor@aaa"):
        assert (await admin.delete(f"/Users/{await guid_of(admin, name)}")).status_code == 200


async def lack_a_factor(served: Served, tenant: Tenant, admin: httpx.AsyncClient) -> None:
    path = "/paasd/v1/organizations/aaa/second-factor"
    assert (await admin.put(path, json={"demanded": True})).status_code == 200


async def outlive_the_token(served: Served, tenant: Tenant, admin: httpx.AsyncClient) -> None:
    served.clock.ahead_s += 601
    async with served.root_client() as root:  # any change makes it look before its half minute is over
        await root.patch(f"/v3/spaces/{tenant.space}", json={"metadata": {"labels": {"later": "yes"}}})


@asynccontextmanager
async def reading(
    http: httpx.AsyncClient, path: str, ended: trio.Event, method: str = "GET", body: bytes = b""
) -> AsyncIterator[list[str]]:
    """The lines of a stream, as they come; `ended` is set at its regular end."""
    lines: list[str] = []

    async def read(task_status: "trio.TaskStatus[None]") -> None:
        async with http.stream(method, path, content=body) as answer:
            assert answer.status_code == 200
            task_status.started()
            async for line in answer.aiter_lines():
                lines.append(line)
        ended.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(read)
        yield lines
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("end", [lose_roles, be_signed_out, be_deleted, lack_a_factor, outlive_the_token])
async def test_a_stream_ends_with_the_right_to_it(served: Served, end: Ending) -> None:
    tenant = await make_tenant(served, "aaa", "developer", "auditor")
    app = await tenant.started_app(served, "one")
    over, told = trio.Event(), trio.Event()
    with trio.fail_after(15):
        async with (
            await served.admin() as admin,
            tenant.client("developer") as developer,
            tenant.client("auditor") as auditor,
            reading(developer, LOGS, over) as lines,
            reading(auditor, EVENTS, told),
        ):
            served.context.logs.say(app, "APP/PROC/WEB", "before")
            while not lines:
                await trio.sleep(0.01)
            await end(served, tenant, admin)
            await over.wait()
            await told.wait()


async def test_a_stream_stays_open_while_others_lose_theirs(served: Served) -> None:
    tenant = await make_tenant(served, "aaa", "developer")
    app = await tenant.started_app(served, "one")
    over = trio.Event()
    basic = httpx.AsyncClient(base_url=served.doors.url, auth=("developer@aaa", PASSWORD), timeout=20)
    with trio.fail_after(15):
        async with await served.admin() as admin, basic, reading(basic, LOGS, over) as lines:
            user = await guid_of(admin, "auditor@aaa")
            await admin.delete(f"/oauth/token/revoke/user/{user}")
            served.clock.ahead_s += 601  # a name and a password do not expire
            async with served.root_client() as root:
                await root.patch(f"/v3/spaces/{tenant.space}", json={"metadata": {"labels": {"later": "yes"}}})
            await trio.sleep(0.5)
            served.context.logs.say(app, "APP/PROC/WEB", "still")
            while not [line for line in lines if "still" in line]:
                await trio.sleep(0.01)
            assert not over.is_set()


async def test_a_stream_ends_with_the_deploy_token(served: Served) -> None:
    tenant = await make_tenant(served, "aaa", "developer")
    await tenant.started_app(served, "one")
    over = trio.Event()
    path = "/paasd/v1/spaces/aaa/dev/deploy-tokens"
    with trio.fail_after(15):
        async with tenant.client("developer") as developer:
            made = (await developer.post(path, json={"name": "ci", "role": "space_developer"})).json()
            async with served.client(made["token"]) as pipeline, reading(pipeline, LOGS, over):
                assert (await developer.delete(f"{path}/ci")).status_code == 204
                await over.wait()


async def test_the_progress_of_a_push_ends_with_the_role_and_not_with_the_token(served: Served) -> None:
    """Nobody builds here, so that the push goes on and on."""
    tenant = await make_tenant(served, "aaa", "developer", "auditor")
    over = trio.Event()
    path = "/paasd/v1/spaces/aaa/dev/push?wait=true&name=two"
    with trio.fail_after(15):
        async with (
            await served.admin() as admin,
            tenant.client("developer") as developer,
            reading(developer, path, over, "POST", tar_of({"app.py": b"x"})),
        ):
            await outlive_the_token(served, tenant, admin)
            await trio.sleep(0.5)
            assert not over.is_set()
            served.clock.ahead_s -= 601
            await lose_roles(served, tenant, admin)
            await over.wait()


async def test_the_command_goes_on_with_the_next_token(served: Served) -> None:
    tenant = await make_tenant(served, "aaa", "developer")
    app = await tenant.started_app(served, "one")
    words = ["--api", served.doors.url, "--space", "aaa/dev", "logs", "one", "-f", "-n", "0"]
    environment = {**os.environ, "PAASD_USER": "developer@aaa", "PAASD_PASSWORD": PASSWORD}
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, served.root_client() as root:
            run = partial(trio.run_process, stdout=subprocess.PIPE, check=False, env=environment)
            process = await nursery.start(run, [sys.executable, "-u", "-m", "paasd", *words])
            seen = b""
            for text in (b"first", b"second"):
                while text not in seen:
                    served.context.logs.say(app, "APP/PROC/WEB", text.decode())
                    with trio.move_on_after(0.2):
                        seen += await process.stdout.receive_some()
                served.clock.ahead_s += 601
                await root.patch(f"/v3/spaces/{tenant.space}", json={"metadata": {"labels": {"l": text.decode()}}})
            process.kill()
