"""From a manifest and what is there to changes, without a database."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paasd.model.manifests import AppManifest, Changes, ManifestError, State, parse_manifest, plan_app
from paasd.model.manifests.planning import RouteName, parse_route
from paasd.model.records import App, Destination, Domain, HealthCheck, Process, Route, Sidecar

SHARED = Domain(guid="d1", name="apps.localhost")
NESTED = Domain(guid="d2", name="team.apps.localhost", organization_guid="o")
DOMAINS = [SHARED, NESTED]
APP = App(guid="a", name="dora", space_guid="s", buildpacks=["ruby"], stack="host")
WEB = Process(guid="p", app_guid="a", type="web", instances=1, command="run")


def manifest(body: str) -> AppManifest:
    return parse_manifest(f"applications: [{{name: dora, {body}}}]").applications[0]


def plan(body: str, **state: object) -> Changes:
    present = {"app": APP, "processes": [WEB], "domains": DOMAINS, "default_domain": SHARED, **state}
    return plan_app(manifest(body), State(**present), "calm-otter-ab")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x.apps.localhost", RouteName("d1", "x", "")),
        ("X.Apps.localhost", RouteName("d1", "x", "")),
        ("x.apps.localhost/", RouteName("d1", "x", "")),
        ("x.apps.localhost/a/b", RouteName("d1", "x", "/a/b")),
        ("x.team.apps.localhost", RouteName("d2", "x", "")),
        ("team.apps.localhost", RouteName("d2", "", "")),
        ("a.b.apps.localhost", RouteName("d1", "a.b", "")),
        ("*.apps.localhost", RouteName("d1", "*", "")),
    ],
)
def test_a_route_is_split_at_the_longest_domain(text: str, parts: RouteName) -> None:
    assert parse_route(text, DOMAINS) == parts


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x.example.org", "did not match any existing domains"),
        ("http://x.apps.localhost", "without a scheme"),
        ("x.apps.localhost:8080", "has a port"),
        ("xapps.localhost", "did not match any existing domains"),
        ("x y.apps.localhost", "not a properly formed URL"),
        ("x.apps.localhost/a?b", "not a properly formed URL"),
    ],
)
def test_what_is_no_route_says_why(text: str, why: str) -> None:
    found = parse_route(text, DOMAINS)
    assert isinstance(found, str) and why in found
    with pytest.raises(ManifestError, match="For application 'dora': routes: "):
        plan(f"routes: [{{route: '{text}'}}]")


def test_what_is_as_the_manifest_says_is_not_changed() -> None:
    same = plan("buildpacks: [ruby], stack: host, instances: 1, command: run, health-check-type: port")
    assert same == Changes(create=False)


def test_only_what_differs_is_changed() -> None:
    changes = plan("buildpacks: [python], instances: 2, command: run")
    assert changes.app == {"buildpacks": ["python"]}
    assert changes.processes == [("web", {"instances": 2})]


def test_a_new_app_is_created_with_what_is_mentioned() -> None:
    changes = plan("memory: 64M", app=None, processes=[])
    assert changes.create
    [(kind, values)] = changes.processes
    assert (kind, values["memory_mb"], values["health_check"].type) == ("web", 64, "port")


def test_a_new_process_type_is_made_even_without_further_keys() -> None:
    [(kind, values)] = plan("processes: [{type: worker}]").processes
    assert (kind, values["health_check"].type) == ("worker", "process")


def test_the_type_http_gets_an_endpoint_and_loses_it_with_the_type() -> None:
    [(_, values)] = plan("health-check-type: http").processes
    assert values["health_check"] == HealthCheck(type="http", endpoint="/")
    http = Process(
        guid="p",
        app_guid="a",
        type="web",
        instances=1,
        health_check=HealthCheck(type="http", endpoint="/up", timeout_s=70),
    )
    [(_, values)] = plan("health-check-type: port", processes=[http]).processes
    assert values["health_check"] == HealthCheck(type="port", timeout_s=70)
    [(_, values)] = plan("health-check-http-endpoint: /other", processes=[http]).processes
    assert values["health_check"] == HealthCheck(type="http", endpoint="/other", timeout_s=70)


def test_an_endpoint_for_a_check_of_another_type_is_refused() -> None:
    with pytest.raises(ManifestError, match="health-check-http-endpoint needs health-check-type"):
        plan("health-check-http-endpoint: /x")


def test_a_new_sidecar_needs_command_and_types_and_a_known_one_does_not() -> None:
    with pytest.raises(ManifestError, match='sidecar "s": command must be given'):
        plan("sidecars: [{name: s, process_types: [web]}]")
    known = Sidecar(guid="x", app_guid="a", name="s", command="old", process_types=["web"])
    changes = plan("sidecars: [{name: s, command: new}]", sidecars=[known])
    assert changes.sidecars == [("s", {"command": "new"})]


def test_a_route_that_is_mapped_already_is_left_alone() -> None:
    route = Route(guid="r", domain_guid="d1", space_guid="s", host="x")
    mapped = Destination(guid="m", route_guid="r", app_guid="a")
    body = "routes: [{route: x.apps.localhost}]"
    assert plan(body, routes=[route], destinations=[mapped]).routes == []
    assert [one.route_guid for one in plan(body, routes=[route]).routes] == ["r"]
    assert [one.route_guid for one in plan(body).routes] == [None]


def test_another_protocol_on_a_mapped_route_is_a_change() -> None:
    route = Route(guid="r", domain_guid="d1", space_guid="s", host="x")
    mapped = Destination(guid="m", route_guid="r", app_guid="a")
    [wanted] = plan(
        "routes: [{route: x.apps.localhost, protocol: http2}]", routes=[route], destinations=[mapped]
    ).routes
    assert wanted.protocol == "http2"


def test_listed_routes_win_over_default_and_random_ones() -> None:
    for flag in ("default-route", "random-route"):
        [wanted] = plan(f"{flag}: true, routes: [{{route: x.apps.localhost}}]").routes
        assert wanted.name.host == "x"


def test_default_and_random_routes_are_for_apps_without_any() -> None:
    mapped = Destination(guid="m", route_guid="r", app_guid="a")
    assert [one.name.host for one in plan("default-route: true").routes] == ["dora"]
    assert [one.name.host for one in plan("random-route: true").routes] == ["dora-calm-otter-ab"]
    assert plan("default-route: true", destinations=[mapped]).routes == []
    assert plan("random-route: true", destinations=[mapped]).routes == []


def test_a_default_route_without_a_domain_says_so() -> None:
    with pytest.raises(ManifestError, match="default-route: there is no domain for apps"):
        plan("default-route: true", default_domain=None)


def test_no_route_wins_over_everything() -> None:
    mapped = Destination(guid="m", route_guid="r", app_guid="a")
    changes = plan("no-route: true, routes: [{route: x.apps.localhost}]", destinations=[mapped])
    assert (changes.unmap, changes.routes) == (["m"], [])


names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=100)


@settings(max_examples=100, deadline=None)
@given(names)
def test_a_default_host_is_always_a_valid_label(name: str) -> None:
    wanted = AppManifest(name=name, default_route=True)
    try:
        changes = plan_app(wanted, State(app=None, domains=DOMAINS, default_domain=SHARED))
    except ManifestError:
        assert not any(c.isascii() and c.isalnum() for c in name.lower())
        return
    [route] = changes.routes
    assert 1 <= len(route.name.host) <= 63
    assert all(c.isascii() and (c.isalnum() or c == "-") for c in route.name.host)
    assert route.name.host[0] != "-" != route.name.host[-1]


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "instances": st.integers(0, 9),
            "memory": st.sampled_from(["64M", "1G"]),
            "command": st.sampled_from(["run", "null"]),
            "timeout": st.integers(1, 99),
            "health-check-type": st.sampled_from(["http", "port", "process", "none"]),
        },
    )
)
def test_planning_again_after_the_changes_plans_nothing(entry: dict[str, object]) -> None:
    body = ", ".join(f"{key}: {value}" for key, value in entry.items())
    import msgspec

    changed = WEB
    for _, values in plan(body).processes:
        changed = msgspec.structs.replace(changed, **values)
    assert plan(body, processes=[changed]).processes == []
