"""How much one app may ask for, and that what asks for nothing leaves nothing behind."""

from typing import Any

import httpx

from paasd.actions.manifests import PARTS_LIMIT
from paasd.model import AppUsageEvent, DropletSidecar, Process, Sidecar
from paasd.model.apps import SetDroplet, set_current_droplet
from paasd.model.arguments import SYSTEM
from paasd.model.processes import PROCESS_TYPES_LIMIT
from paasd.model.sidecars import SIDECARS_LIMIT
from tests.api.serving import Served
from tests.api.tenants import PutDroplet, Tenant, make_tenant, put_droplet

TOO_MANY = f"An app has at most {PROCESS_TYPES_LIMIT} process types; this would make {PROCESS_TYPES_LIMIT + 1}"


def types(count: int, of: str = "t") -> dict[str, str]:
    return {f"{of}{number}": "x" for number in range(count)}


async def staged(served: Served, app: str, process_types: dict[str, str]) -> str:
    """A droplet of the app, as a build of any Procfile leaves it."""
    droplet = await served.context.database.write(put_droplet, PutDroplet(app_guid=app, process_types=process_types))
    return droplet.guid


def detail(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["detail"]


async def choose(http: httpx.AsyncClient, app: str, droplet: str) -> httpx.Response:
    return await http.patch(f"/v3/apps/{app}/relationships/current_droplet", json={"data": {"guid": droplet}})


def present(served: Served, app: str) -> int:
    with served.context.database.read() as tx:
        return tx.count(Process, app_guid=app)


async def test_an_app_has_only_so_many_process_types_whatever_names_them(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    app = await tenant.started_app(served, "dora")
    async with tenant.client("developer") as http:
        # One of them is web, which is there.
        assert (await choose(http, app, await staged(served, app, types(PROCESS_TYPES_LIMIT - 1)))).status_code == 200
        assert present(served, app) == PROCESS_TYPES_LIMIT
        more = await staged(served, app, types(1, "another"))
        assert detail(await choose(http, app, more)) == (422, TOO_MANY)
        assert (await choose(http, app, await staged(served, app, types(3)))).status_code == 200
        asked = {"relationships": {"app": {"data": {"guid": app}}}, "process_types": types(PROCESS_TYPES_LIMIT + 1)}
        words = f"Process types: at most {PROCESS_TYPES_LIMIT} of them, not {PROCESS_TYPES_LIMIT + 1}"
        assert detail(await http.post("/v3/droplets", json=asked)) == (422, words)
        assert await applied(http, tenant, "dora", types(1, "another")) == (
            "FAILED",
            [f"For application 'dora': {TOO_MANY}"],
        )
        assert await applied(http, tenant, "dora", types(2)) == ("COMPLETE", [])
        # The web process of a new app is one of them.
        assert (await applied(http, tenant, "new", types(PROCESS_TYPES_LIMIT)))[0] == "FAILED"
        assert await applied(http, tenant, "new", types(PROCESS_TYPES_LIMIT - 1)) == ("COMPLETE", [])
    assert present(served, app) == PROCESS_TYPES_LIMIT


async def applied(
    http: httpx.AsyncClient, tenant: Tenant, name: str, process_types: dict[str, str]
) -> tuple[str, list[str]]:
    lines = "".join(f"  - {{type: {one}, command: x}}\n" for one in process_types)
    return await apply(http, tenant, name, f"  processes:\n{lines}")


async def apply(http: httpx.AsyncClient, tenant: Tenant, name: str, lines: str) -> tuple[str, list[str]]:
    """The state and the errors of the job of a manifest of one app."""
    answer = await http.post(
        f"/v3/spaces/{tenant.space}/actions/apply_manifest",
        content=f"applications:\n- name: {name}\n{lines}",
        headers={"Content-Type": "application/x-yaml"},
    )
    job: dict[str, Any] = (await http.get(answer.headers["Location"])).json()
    return job["state"], [one["detail"] for one in job["errors"]]


async def test_an_app_that_has_more_types_from_former_times_goes_on(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    app = await tenant.started_app(served, "dora")
    many = await staged(served, app, types(PROCESS_TYPES_LIMIT + 5))
    wanted = SetDroplet(app_guid=app, droplet_guid=many, sizes=served.context.sizes, actor=SYSTEM)
    await served.context.database.write(set_current_droplet, wanted)
    async with tenant.client("developer") as http:
        assert (await choose(http, app, many)).status_code == 200
        assert await applied(http, tenant, "dora", types(2)) == ("COMPLETE", [])
        assert (await choose(http, app, await staged(served, app, types(1, "another")))).status_code == 422


async def test_an_app_has_only_so_many_sidecars(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    app = await tenant.started_app(served, "dora")
    async with tenant.client("developer") as http:

        async def add(number: int) -> httpx.Response:
            body = {"name": f"s{number}", "command": "x", "process_types": ["web"]}
            return await http.post(f"/v3/apps/{app}/sidecars", json=body)

        for number in range(SIDECARS_LIMIT):
            assert (await add(number)).status_code == 201
        assert detail(await add(SIDECARS_LIMIT)) == (422, f"An app has at most {SIDECARS_LIMIT} sidecars")
        first = (await http.get(f"/v3/apps/{app}/sidecars")).json()["resources"][0]["guid"]
        await http.delete(f"/v3/sidecars/{first}")
        assert (await add(SIDECARS_LIMIT)).status_code == 201


async def test_neither_a_manifest_nor_a_droplet_brings_more_sidecars(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    app = await tenant.started_app(served, "dora")

    def sidecars(count: int, of: str) -> str:
        return "  sidecars:\n" + "".join(
            f"  - {{name: {of}{number}, command: x, process_types: [web]}}\n" for number in range(count)
        )

    too_many = f"An app has at most {SIDECARS_LIMIT} sidecars"
    async with tenant.client("developer") as http:
        assert await apply(http, tenant, "dora", sidecars(SIDECARS_LIMIT + 1, "s")) == (
            "FAILED",
            [f"For application 'dora': {too_many}"],
        )
        assert await apply(http, tenant, "dora", sidecars(SIDECARS_LIMIT - 1, "s")) == ("COMPLETE", [])
        of_droplet = [DropletSidecar(name=f"d{number}", command="x", process_types=["web"]) for number in range(2)]
        for count in (2, 1):
            droplet = PutDroplet(app_guid=app, process_types={"web": "x"}, sidecars=of_droplet[:count])
            chosen = await choose(http, app, (await served.context.database.write(put_droplet, droplet)).guid)
            if count == 2:
                words = f"{too_many}; this droplet would make {SIDECARS_LIMIT + 1}"
                assert detail(chosen) == (422, words)
        assert chosen.status_code == 200
    with served.context.database.read() as tx:
        assert tx.count(Sidecar, app_guid=app) == SIDECARS_LIMIT


async def test_an_organization_without_a_quota_wants_only_so_many_instances(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    one, other = await tenant.started_app(served, "one"), await tenant.started_app(served, "other")
    limit = served.context.config.apps.organization_instances_limit
    words = (
        f"organization 'acme' can have at most {limit} instances in all, as its quota sets no limit of its own; "
        "an administrator can give it one (total_instances)"
    )
    async with tenant.client("developer") as http, await served.admin() as admin:

        async def scale(app: str, instances: int) -> httpx.Response:
            body = {"instances": instances}
            return await http.post(f"/v3/apps/{app}/processes/web/actions/scale", json=body)

        assert (await scale(one, limit - 1)).status_code == 202
        assert detail(await scale(other, 2)) == (422, words)
        processes = "  processes: [{type: worker, command: x, instances: 1}]\n"
        assert await apply(http, tenant, "other", processes) == ("FAILED", [f"For application 'other': {words}"])
        assert (await http.post(f"/v3/apps/{other}/actions/stop")).status_code == 200
        assert (await scale(other, 2)).status_code == 202, "what is stopped is not wanted"
        for action in ("start", "restart"):
            assert detail(await http.post(f"/v3/apps/{other}/actions/{action}")) == (422, words)
        for app in (one, other):
            assert (await scale(app, 1)).status_code == 202
        assert (await http.post(f"/v3/apps/{other}/actions/start")).status_code == 200

        more = {"apps": {"total_instances": limit + 5}}
        assert (await admin.patch("/v3/organization_quotas/default", json=more)).status_code == 200
        for app, instances in ((one, limit), (other, 5)):
            assert (await scale(app, instances)).status_code == 202, "the quota says more"


async def test_processes_without_instances_leave_no_usage_events(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    app = await tenant.started_app(served, "dora")
    async with tenant.client("developer") as http:
        await choose(http, app, await staged(served, app, types(20)))
        before = events(served)
        for action in ("stop", "start"):
            assert (await http.post(f"/v3/apps/{app}/actions/{action}")).status_code == 200
        assert events(served)[len(before) :] == [("web", "STOPPED", 1, 1), ("web", "STARTED", 1, 1)]
        before = events(served)
        for instances in (0, 2, 0):
            body = {"instances": instances, "memory_in_mb": 100 + instances}
            await http.post(f"/v3/apps/{app}/processes/t0/actions/scale", json=body)
        found = events(served)[len(before) :]
        assert found == [("t0", "STARTED", 0, 2), ("t0", "STARTED", 2, 0)], "as soon as there is one, and to its end"


def events(served: Served) -> list[tuple[str | None, str, int | None, int]]:
    with served.context.database.read() as tx:
        rows = tx.all(AppUsageEvent, order=("sequence",))
    return [(one.process_type, one.state, one.previous_instances, one.instances) for one in rows]


async def test_a_manifest_is_refused_before_it_holds_up_everybodys_writes(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")

    def manifest(routes: int) -> str:
        lines = [f"  - route: h{number}.apps.localhost" for number in range(routes)]
        return "\n".join(["applications:", "- name: dora", "  routes:", *lines])

    async with tenant.client("developer") as http:
        address, kind = f"/v3/spaces/{tenant.space}/actions/apply_manifest", {"Content-Type": "application/x-yaml"}
        answer = await http.post(address, content=manifest(PARTS_LIMIT + 1), headers=kind)
        assert detail(answer) == (
            422,
            f"A manifest names at most {PARTS_LIMIT} routes, processes and sidecars together, not {PARTS_LIMIT + 1};"
            " split it",
        )
        assert (await http.post(address, content=manifest(PARTS_LIMIT), headers=kind)).status_code == 202
