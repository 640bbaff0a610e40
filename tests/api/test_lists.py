"""Lists over real rows: every page, every filter, what the caller may see."""

from typing import Any
from urllib.parse import quote

import httpx

from paasd.api.query import TIME_FILTERS, TIME_OPERATORS
from paasd.api.routes import make_route_table
from tests.api.serving import Served

# What filters take that are no free text.
SAYS = dict.fromkeys(("suspended", "globally_enabled_running", "globally_enabled_staging"), "true")
SAYS["origins"] = "uaa&usernames=admin"  # which only narrows names down
SINCE = "2026-01-31T00:00:00Z"


async def space_guid(http: httpx.AsyncClient) -> str:
    return str((await http.get("/v3/spaces?names=dev")).json()["resources"][0]["guid"])


async def make_apps(http: httpx.AsyncClient, *names: str) -> list[dict[str, Any]]:
    relation = {"space": {"data": {"guid": await space_guid(http)}}}
    made = [await http.post("/v3/apps", json={"name": name, "relationships": relation}) for name in names]
    assert all(one.status_code == 201 for one in made), made[0].text
    return [one.json() for one in made]


async def names_of(http: httpx.AsyncClient, query: str) -> list[str]:
    answer = await http.get(f"/v3/apps?{query}")
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["resources"]]


async def test_following_next_gives_every_row_once_and_keeps_the_filters(served: Served) -> None:
    async with await served.admin() as http:
        await make_apps(http, *(f"app-{number}" for number in range(7)), "other")
        wanted = [f"app-{number}" for number in range(7)]
        url: str | None = f"/v3/apps?names={','.join(wanted)}&order_by=-name&per_page=3"
        found, pages = [], 0
        while url is not None:
            page = (await http.get(url)).json()
            found += [one["name"] for one in page["resources"]]
            pages += 1
            assert page["pagination"]["total_results"] == 7
            assert page["pagination"]["total_pages"] == 3
            following = page["pagination"]["next"]
            url = None if following is None else following["href"]
        assert (found, pages) == (sorted(wanted, reverse=True), 3)


async def test_filters_and_labels_select(served: Served) -> None:
    async with await served.admin() as http:
        one, two = await make_apps(http, "a,b", "plain")
        assert await names_of(http, f"names={quote(quote('a,b', safe=''), safe='')}") == ["a,b"]
        assert await names_of(http, "names=a,b") == []
        assert await names_of(http, f"names=plain&guids={one['guid']}") == []
        assert await names_of(http, "names=") == []
        label = {"metadata": {"labels": {"env": "prod"}, "annotations": {"note": "x"}}}
        assert (await http.patch(f"/v3/apps/{two['guid']}", json=label)).json()["metadata"]["labels"] == {"env": "prod"}
        assert await names_of(http, "label_selector=env=prod") == ["plain"]
        assert await names_of(http, "label_selector=!env") == ["a,b"]
        assert await names_of(http, "label_selector=env%20in%20(prod,dev)") == ["plain"]
        gone = await http.patch(f"/v3/apps/{two['guid']}", json={"metadata": {"labels": {"env": None}}})
        assert gone.json()["metadata"] == {"labels": {}, "annotations": {"note": "x"}}
        assert await names_of(http, "created_ats[gt]=2001-01-01T00:00:00Z&order_by=name") == ["a,b", "plain"]
        assert await names_of(http, "created_ats[lt]=2001-01-01T00:00:00Z") == []


async def test_an_empty_path_asks_for_routes_without_one(served: Served) -> None:
    async with await served.admin() as http:
        space = await space_guid(http)
        domain = (await http.get("/v3/domains?names=apps.localhost")).json()["resources"][0]["guid"]
        relations = {"space": {"data": {"guid": space}}, "domain": {"data": {"guid": domain}}}
        for path in ("", "/x"):
            made = await http.post("/v3/routes", json={"host": "r9", "path": path, "relationships": relations})
            assert made.status_code == 201, made.text
        taken = await http.post("/v3/routes", json={"host": "r9", "relationships": relations})
        assert taken.json()["errors"][0]["detail"].startswith("Route already exists")
        found = (await http.get(f"/v3/routes?domain_guids={domain}&hosts=r9&paths=")).json()["resources"]
        assert [one["url"] for one in found] == ["r9.apps.localhost"]
        both = (await http.get(f"/v3/routes?domain_guids={domain}&hosts=r9&include=domain,space")).json()
        assert len(both["resources"]) == 2
        assert [one["guid"] for one in both["included"]["domains"]] == [domain]
        reserved = await http.get(f"/v3/domains/{domain}/route_reservations?host=r9")
        assert reserved.json() == {"matching_route": True}
        for query in ("", "?unmapped=false"):
            refused = await http.delete(f"/v3/spaces/{space}/routes{query}")
            assert refused.status_code == 422
            assert "Use 'unmapped=true' parameter" in refused.json()["errors"][0]["detail"]
        job = await http.delete(f"/v3/spaces/{space}/routes?unmapped=true")
        assert (await http.get(job.headers["Location"])).json()["state"] == "COMPLETE"
        assert (await http.get("/v3/routes?hosts=r9")).json()["resources"] == []


async def test_a_stranger_sees_neither_rows_nor_counts_nor_logs(served: Served) -> None:
    await served.make_user("stranger")
    async with (
        await served.admin() as admin,
        served.client((await served.login("stranger"))["access_token"]) as http,
    ):
        (app,) = await make_apps(admin, "secret")
        for path in (
            "organizations",
            "spaces",
            "apps",
            "processes",
            "packages",
            "builds",
            "droplets",
            "routes",
            "roles",
        ):
            page = (await http.get(f"/v3/{path}")).json()
            assert page["pagination"]["total_results"] == 0, path
        for path in ("", "/env", "/processes", "/stats", "/manifest", "/ssh_enabled", "/features"):
            assert (await http.get(f"/v3/apps/{app['guid']}{path}")).status_code == 404, path
        await served.context.logs.flush()
        assert (await http.get(f"/api/v1/read/{app['guid']}")).status_code == 404
        assert (await admin.get(f"/api/v1/read/{app['guid']}")).json()["envelopes"]["batch"]
        assert (await http.get("/api/v1/meta")).json() == {"meta": {}}
        assert app["guid"] in (await admin.get("/api/v1/meta")).json()["meta"]


async def test_environment_and_features_of_an_app(served: Served) -> None:
    async with await served.admin() as http:
        (app,) = await make_apps(http, "env")
        base = f"/v3/apps/{app['guid']}"
        changed = await http.patch(f"{base}/environment_variables", json={"var": {"A": "1", "B": 2, "C": {"d": 3}}})
        assert changed.json()["var"] == {"A": "1", "B": "2", "C": '{"d":3}'}
        changed = await http.patch(f"{base}/environment_variables", json={"var": {"A": None}})
        assert set(changed.json()["var"]) == {"B", "C"}
        refused = await http.patch(f"{base}/environment_variables", json={"var": {"VCAP_X": "1"}})
        assert refused.status_code == 422
        assert (await http.get(f"{base}/features/ssh")).json()["enabled"] is True
        assert (await http.patch(f"{base}/features/ssh", json={"enabled": False})).json()["enabled"] is False
        assert (await http.get(f"{base}/ssh_enabled")).json() == {"enabled": False, "reason": "Disabled for app"}
        assert (await http.get(f"{base}/features/flying")).status_code == 404
        refused = await http.patch(f"{base}/features/service-binding-k8s", json={"enabled": True})
        assert (refused.status_code, "no services to bind" in refused.text) == (422, True)
        assert (await http.patch(f"{base}/features/service-binding-k8s", json={"enabled": False})).status_code == 200
        start = await http.post(f"{base}/actions/start")
        assert start.json()["errors"][0]["detail"] == "Assign a droplet before starting this app."
        assert (await http.get(f"{base}/droplets/current")).json()["errors"][0]["detail"] == "Droplet not found"
        web = (await http.get(f"{base}/processes/web")).json()
        check = {"health_check": {"type": "http", "data": {"endpoint": "/up", "timeout": 90}}}
        shown = (await http.patch(f"/v3/processes/{web['guid']}", json=check)).json()["health_check"]
        assert (shown["type"], shown["data"]["endpoint"], shown["data"]["timeout"]) == ("http", "/up", 90)
        kept = (await http.patch(f"/v3/processes/{web['guid']}", json={"command": "run"})).json()
        assert (kept["command"], kept["health_check"]["type"]) == ("run", "http")
        back = {"health_check": {"data": {"timeout": None, "endpoint": None}}}
        data = (await http.patch(f"/v3/processes/{web['guid']}", json=back)).json()["health_check"]["data"]
        assert (data["timeout"], data["endpoint"]) == (None, "/")
        listed = (await http.get(f"{base}/processes")).json()["resources"][0]
        assert listed["command"] == "[PRIVATE DATA HIDDEN IN LISTS]"
        renamed = await http.patch(base, json={"name": "new", "lifecycle": {"type": "buildpack", "data": {}}})
        assert renamed.json()["name"] == "new"
        assert (await http.get(f"{base}/manifest")).headers["Content-Type"].startswith("application/x-yaml")


async def test_every_list_takes_every_parameter_that_it_says_it_takes(served: Served) -> None:
    refused = []
    async with await served.admin() as http:
        for route in make_route_table():
            if route.method != "GET" or not route.query.pages or "<" in route.path:
                continue
            spec = route.query
            queries = [f"{name}={SAYS.get(name, 'x')}" for name in spec.filters if name != "after_guid"]
            queries += [f"{name}[not]=x" for name in spec.negated]
            queries += [f"order_by={sign}{name}" for name in spec.order_by for sign in ("", "-")]
            queries += [f"include={name}" for name in spec.include]
            queries += ["label_selector=a"] if spec.labels else []
            for time in TIME_FILTERS if spec.times else ():
                queries += [f"{time}={SINCE}", *(f"{time}[{operator}]={SINCE}" for operator in TIME_OPERATORS)]
            for query in queries:
                answer = await http.get(f"{route.path}?{query}")
                if answer.status_code != 200:
                    refused.append((route.path, query, answer.status_code, answer.text))
    assert refused == []
