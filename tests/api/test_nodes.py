"""Nodes, tokens, keys and the brake by the API: what each call does, who may, what is refused, what is written down."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from paasd.api.paasd_v1 import nodes as door
from paasd.membership.tokens import parse_token
from paasd.testing import BlockingCluster, running_cluster

NODES, TOKENS = "/paasd/v1/nodes", "/paasd/v1/tokens"
PASSWORD = "a quiet harbour town in april"


@pytest.fixture(scope="module")
def pair() -> Iterator[BlockingCluster]:
    """Two nodes; tests leave them as they were."""
    with running_cluster(zones=2) as made:
        made.api("POST", "/uaa/Users", json={"userName": "tenant", "password": PASSWORD}).raise_for_status()
        yield made


def error_of(answer: httpx.Response) -> str:
    """The only one of the answer."""
    (error,) = answer.json()["errors"]
    return str(error["detail"])


def events(pair: BlockingCluster, kind: str) -> list[dict[str, Any]]:
    found = pair.api("GET", "/v3/audit_events", params={"types": kind, "order_by": "created_at", "per_page": 500})
    return list(found.raise_for_status().json()["resources"])


def state_of(pair: BlockingCluster, name: str) -> str:
    return str(pair.api("GET", f"{NODES}/{name}").raise_for_status().json()["state"])


@pytest.mark.parametrize("route", door.ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_nobody_but_administrators_of_the_platform_may(pair: BlockingCluster, route: Any) -> None:
    path = route.path.replace("<node>", "node-2").replace("<token>", "x").replace("<what>", "gossip")
    with httpx.Client(base_url=pair.cluster.nodes[0].node.doors.url, timeout=20) as anybody:
        assert anybody.request(route.method, path).status_code == 401
        assert anybody.request(route.method, path, auth=("tenant", "wrong")).status_code == 401
        refused = anybody.request(route.method, path, auth=("tenant", PASSWORD), json={})
        assert (refused.status_code, refused.json()["errors"][0]["title"]) == (403, "CF-NotAuthorized")
        password = (pair.cluster.nodes[0].directory / "admin-password").read_text().strip()
        assert anybody.get(NODES, auth=("admin", password)).status_code == 200
    assert state_of(pair, "node-2") == "READY"
    keys = pair.api("GET", "/paasd/v1/keys").json()
    assert (keys["changes"], len(keys["ssh_host_keys"])) == ([], 1)


def test_nodes_are_listed_with_what_they_are(pair: BlockingCluster) -> None:
    one, two = pair.api("GET", NODES).json()["nodes"]
    assert [(node["name"], node["zone"], node["this"]) for node in (one, two)] == [
        ("node-1", "zone-1", True),
        ("node-2", "zone-2", False),
    ]
    assert {node["role"] for node in (one, two)} == {"control"}
    shown = pair.api("GET", f"{NODES}/{two['guid']}").json()
    assert shown == {"guid": two["guid"], "name": "node-2", "state": "READY", "drained": False, "progress": ""}


def test_a_node_is_drained_and_taken_back_and_both_are_in_the_audit(pair: BlockingCluster) -> None:
    drained = pair.api("POST", f"{NODES}/node-2/actions/drain").raise_for_status().json()
    assert drained["state"] == "DRAINING"
    assert "drained" in pair.until(lambda: pair.api("GET", f"{NODES}/node-2").json()["progress"])
    assert pair.api("POST", f"{NODES}/node-2/actions/undrain").json()["state"] == "READY"
    for kind in ("platform.node.drain", "platform.node.undrain"):
        (event,) = events(pair, kind)
        assert (event["target"]["name"], event["actor"]["name"]) == ("node-2", "root")


def test_what_is_no_node_or_cannot_be_done_is_refused_in_words(pair: BlockingCluster) -> None:
    for method, path in (
        ("GET", "nobody"),
        ("DELETE", "nobody"),
        ("POST", "nobody/actions/drain"),
        ("POST", "nobody/actions/undrain"),
        ("POST", "nobody/actions/declare-dead"),
    ):
        answer = pair.api(method, f"{NODES}/{path}")
        assert (answer.status_code, "there is no node 'nobody'" in error_of(answer)) == (404, True)
    for method, path, why in (
        ("DELETE", "node-2", "`paasd node drain node-2` first, or remove it with --force"),
        ("DELETE", "node-1", "votes; `paasd node drain node-1`"),
        ("POST", "node-1/actions/declare-dead", "answers this call, so it is not dead"),
    ):
        answer = pair.api(method, f"{NODES}/{path}")
        assert (answer.status_code, why in error_of(answer)) == (422, True), answer.text
    assert pair.api("DELETE", f"{NODES}/node-2", params={"forced": "true"}).status_code == 400
    assert pair.api("POST", "/paasd/v1/brake/actions/release").json() == {"released": False}
    assert pair.api("POST", "/paasd/v1/keys/nonsense/actions/change").status_code == 404


def test_a_token_is_made_listed_without_its_secret_and_deleted(pair: BlockingCluster) -> None:
    made = pair.api("POST", TOKENS, json={"role": "worker", "zone": "dc/x", "ttl_s": 600, "uses": 3})
    assert made.status_code == 201
    token = parse_token(made.json()["token"])
    assert token.role == "worker"
    (listed,) = [one for one in pair.api("GET", TOKENS).json()["tokens"] if one["id"] == token.id]
    assert (listed["role"], listed["zone"], listed["uses_left"]) == ("worker", "dc/x", 3)
    assert listed["expires_at"] == made.json()["expires_at"]
    assert token.secret not in pair.api("GET", TOKENS).text
    assert pair.api("DELETE", f"{TOKENS}/{token.id}").status_code == 204
    assert pair.api("DELETE", f"{TOKENS}/{token.id}").status_code == 404
    (created,) = [one for one in events(pair, "audit.join_token.create") if one["target"]["guid"] == token.id]
    (deleted,) = [one for one in events(pair, "audit.join_token.delete") if one["target"]["guid"] == token.id]
    assert created["data"] == {"role": "worker", "zone": "dc/x", "uses": 3, "expires_at": listed["expires_at"]}
    assert deleted["actor"]["name"] == "root"
    assert token.secret not in str(created)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"role": "boss"}, "role is control or worker"),
        ({"ttl_s": 59}, "lives 60 to"),
        ({"ttl_s": 31 * 86400}, "lives 60 to"),
        ({"uses": 0}, "1 to 1000 times"),
        ({"uses": 1001}, "1 to 1000 times"),
        ({"uses": "many"}, "Uses must be an integer"),
        ({"ttl": 600}, "ttl"),
        ({"zone": "with a blank"}, "zone"),
        ({"zone": "z" * 200}, "zone"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(pair: BlockingCluster, body: dict[str, Any], why: str) -> None:
    before = len(pair.api("GET", TOKENS).json()["tokens"])
    answer = pair.api("POST", TOKENS, json=body)
    assert (answer.status_code, why in error_of(answer)) == (422, True), answer.text
    assert len(pair.api("GET", TOKENS).json()["tokens"]) == before


def test_a_token_that_is_asked_for_again_by_its_key_is_not_made_twice(pair: BlockingCluster) -> None:
    def ask() -> httpx.Response:
        return pair.api("POST", TOKENS, json={"ttl_s": 600}, headers={"Idempotency-Key": "tokens/1"})

    made = ask()
    number = len(pair.api("GET", TOKENS).json()["tokens"])
    again = ask()
    assert (made.status_code, again.status_code) == (201, 422)
    assert "its secret is not kept; `paasd token delete " + parse_token(made.json()["token"]).id in error_of(again)
    assert len(pair.api("GET", TOKENS).json()["tokens"]) == number
