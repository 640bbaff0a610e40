"""Attempts 69 and 70: turn what a group or a policy opens into more than it says."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from paasd.model.security_groups import group_name
from paasd.sandbox import Container, Policies, ProcessSpec
from tests.sandbox.network.world import Outside, connects, host_addresses

from .stage import NEIGHBOUR_PORT, Stage
from .test_26_network import out_there

pytestmark = pytest.mark.root
SLEEP = ProcessSpec(argv=("/bin/sleep", "1000"), cwd="/")
WIDE = ("0.0.0.0/0", "169.254.0.0/16", "127.0.0.0/8", "10.254.0.0/16", "100.100.100.200", "169.254.1.1")
REACH = """
for address, port in targets:
    found[f"{address}:{port}"] = connect(address, port, 0.5)
for name in names:
    try:
        found[name] = socket.getaddrinfo(name, 8080, socket.AF_INET)[0][4][0]
    except OSError:
        found[name] = "unknown"
"""


def api(stage: Stage, method: str, path: str, body: Any = None) -> Any:
    answer = stage.run(stage.node.api.request, method, path, json=body)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


@contextmanager
def group(stage: Stage, **fields: Any) -> Iterator[str]:
    guid = api(stage, "POST", "/v3/security_groups", {"name": "hostile", **fields})["guid"]
    try:
        yield guid
    finally:
        api(stage, "DELETE", f"/v3/security_groups/{guid}")


@contextmanager
def tenant(stage: Stage, **policies: str) -> Iterator[Container]:
    with stage.container(egress=(), policies=Policies(**policies)) as container:
        stage.run(container.start, SLEEP)
        yield container


def test_69_the_widest_group_opens_neither_host_nor_neighbours_nor_metadata(stage: Stage, outside: Outside) -> None:
    space = api(stage, "GET", "/v3/spaces")["resources"][0]["guid"]
    node = stage.node.node
    rules = [{"protocol": "all", "destination": destination} for destination in (*WIDE, ",".join(WIDE))]
    rules += [{"protocol": "tcp", "destination": "169.254.169.254", "ports": "1-65535"}]
    ports = [22, node.doors.port, node.router.http_port, node.router.https_port, node.router.engine.doorway]
    with out_there(outside) as server, tenant(stage, group=group_name("running", space)) as container:
        port = server.getsockname()[1]
        closed = [(outside.private, port)]
        inside = stage.probe(REACH, container, targets=closed, names=[])
        assert "ok" not in inside.values(), "nobody opened it yet"
        with group(stage, rules=rules, globally_enabled={"running": True}):
            stage.until(
                lambda: stage.probe(REACH, container, targets=closed, names=[]), lambda one: "ok" in one.values()
            )
            targets = [
                *((address, one) for address in ("127.0.0.1", "169.254.1.1", outside.host_side) for one in ports),
                *((address, 22) for address in host_addresses()),
                *((address, port) for address in (outside.metadata, "100.100.100.200", "169.254.128.1", "224.0.0.1")),
                (stage.neighbour.address, NEIGHBOUR_PORT),
                (outside.host_side, NEIGHBOUR_PORT),
            ]
            inside = stage.probe(REACH, container, targets=targets, names=[])
        assert connects(outside.metadata, port)
        assert connects(stage.neighbour.address, NEIGHBOUR_PORT)
    assert "ok" not in inside.values(), inside


@contextmanager
def policy(stage: Stage, source: str, destination: str) -> Iterator[None]:
    ports = {"start": 8080, "end": 8080}
    one = {"source": {"id": source}, "destination": {"id": destination, "protocol": "tcp", "ports": ports}}
    path = "/networking/v1/external/policies"
    api(stage, "POST", path, {"policies": [one]})
    try:
        yield
    finally:
        api(stage, "POST", f"{path}/delete", {"policies": [one]})


@contextmanager
def an_app(stage: Stage, name: str) -> Iterator[str]:
    """Its guid. It goes with the block, as what is there already is another attempt's failure."""
    space = api(stage, "GET", "/v3/spaces")["resources"][0]["guid"]
    body = {"name": name, "relationships": {"space": {"data": {"guid": space}}}}
    guid = str(api(stage, "POST", "/v3/apps", body)["guid"])
    try:
        yield guid
    finally:
        api(stage, "DELETE", f"/v3/apps/{guid}")


@contextmanager
def named_inside(stage: Stage, host: str, app_guid: str) -> Iterator[None]:
    """An internal route of an app."""
    domain = api(stage, "GET", "/v3/domains?names=apps.internal")["resources"][0]["guid"]
    space = api(stage, "GET", "/v3/spaces")["resources"][0]["guid"]
    relationships = {"domain": {"data": {"guid": domain}}, "space": {"data": {"guid": space}}}
    route = api(stage, "POST", "/v3/routes", {"host": host, "relationships": relationships})["guid"]
    try:
        api(stage, "POST", f"/v3/routes/{route}/destinations", {"destinations": [{"app": {"guid": app_guid}}]})
        yield
    finally:
        api(stage, "DELETE", f"/v3/routes/{route}")


def test_70_what_one_app_may_call_no_other_may_and_nothing_beside_it(stage: Stage) -> None:
    canary = stage.run(stage.node.app, "canary")["guid"]
    name, doorway = "canary.apps.internal", stage.node.node.router.engine.doorway
    with (
        an_app(stage, "caller") as caller,
        an_app(stage, "other") as other,
        named_inside(stage, "canary", canary),
        tenant(stage, caller=caller) as allowed,
        tenant(stage, caller=other) as stranger,
        policy(stage, caller, canary),
    ):
        found = stage.until(
            lambda: stage.probe(REACH, allowed, targets=[], names=[name]), lambda one: one[name] != "unknown"
        )[name]
        assert stage.probe(REACH, allowed, targets=[(found, 8080)], names=[]) == {f"{found}:8080": "ok"}
        last = int(found.rpartition(".")[2])
        beside = [
            (found, 8081),
            (found, 22),
            (f"{found.rpartition('.')[0]}.{last + 1}", 8080),
            ("169.254.1.1", doorway),
        ]
        direct = [(stage.instance(canary).address, 8080)]
        inside = stage.probe(REACH, allowed, targets=[*beside, *direct], names=["other.apps.internal"])
        assert inside.pop("other.apps.internal") == "unknown"
        assert "ok" not in inside.values(), inside
        inside = stage.probe(REACH, stranger, targets=[(found, 8080), *beside, *direct], names=[name])
        assert inside.pop(name) == "unknown", "not even that it exists"
        assert "ok" not in inside.values(), inside
