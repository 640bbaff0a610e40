"""`cloudfoundry-client` from PyPI, which knows nothing of paasd, against a whole node over HTTPS and Envoy."""

from typing import Any

import pytest
import trio
from cloudfoundry_client.client import CloudFoundryClient
from cloudfoundry_client.errors import InvalidStatusCode
from cloudfoundry_client.v3.domains import ToOneRelationship
from cloudfoundry_client.v3.packages import PackageType

from tests.node.harness import HELLO, Driver

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("localhost_names")]


async def test_the_pypi_client_manages_a_pushed_app(node: Driver) -> None:
    result = await node.push("hello", HELLO)
    assert result["type"] == "result", result
    await trio.to_thread.run_sync(use, node)


def use(node: Driver) -> None:
    """All of it blocks, so it runs in a thread."""
    client = sign_in(node)
    tenancy(client)
    app = apps(client)
    routing(client, app)
    staging(client, app)
    kinds = {event["type"] for event in client.v3.audit_events.list(target_guids=app["guid"])}
    assert "audit.app.create" in kinds
    job = client.v3.apps.remove(app["guid"])
    assert client.v3.jobs.wait_for_job_completion(job)["state"] == "COMPLETE"
    assert client.v3.apps.get_first(names="hello") is None
    refused(node)


def sign_in(node: Driver, password: str | None = None) -> Any:
    ca = str(node.node.certificates.authority_path)
    client = CloudFoundryClient(node.node.url("api"), proxy={"http": "", "https": ""}, verify=ca)
    client.init_with_user_credentials("admin", password or node.node.admin_password)
    return client


def refused(node: Driver) -> None:
    with pytest.raises(Exception, match=r"401|unauthorized|Bad credentials"):
        sign_in(node, "wrong")


def tenancy(client: Any) -> None:
    v3 = client.v3
    organization = v3.organizations.create("acme", suspended=False, meta_labels={"team": "red"})
    assert organization["metadata"]["labels"] == {"team": "red"}
    assert v3.organizations.get_first(label_selector="team=red")["guid"] == organization["guid"]
    space = v3.spaces.create("prod", organization["guid"])
    assert space.organization()["name"] == "acme"
    assert v3.spaces.update(space["guid"], "production")["name"] == "production"
    assert [one["name"] for one in organization.domains()] == [one["name"] for one in v3.domains.list()]
    assert v3.organizations.get_default_domain(organization["guid"])["name"] == "apps.localhost"
    roles = list(v3.roles.list(include="user,organization", types="organization_user"))
    assert all("guid" in role.user() for role in roles)
    with pytest.raises(InvalidStatusCode) as caught:
        v3.spaces.create("production", organization["guid"])
    assert caught.value.status_code == 422
    job = v3.organizations.remove(organization["guid"])
    assert v3.jobs.wait_for_job_completion(job)["state"] == "COMPLETE"


def apps(client: Any) -> Any:
    v3 = client.v3
    app = v3.apps.get_first(names="hello")
    assert app.space()["name"] == "dev"
    assert [one["type"] for one in app.processes()] == ["web"]
    assert v3.apps.get_env(app["guid"])["application_env_json"]["VCAP_APPLICATION"]["name"] == "hello"
    assert "name: hello" in v3.apps.get_manifest(app["guid"])
    process = v3.processes.get_first(app_guids=app["guid"])
    assert process.app()["guid"] == app["guid"]
    assert v3.apps.restart(app["guid"])["state"] == "STARTED"
    assert v3.apps.get(app["guid"], include="space,space.organization")["guid"] == app["guid"]
    return app


def routing(client: Any, app: Any) -> None:
    v3 = client.v3
    assert [one["url"] for one in v3.apps.list_routes(app["guid"])] == ["hello.apps.localhost"]
    owner = app.space().organization()
    own = v3.domains.create("shop.example", organization=ToOneRelationship(owner["guid"]))
    route = v3.routes.create(app.space()["guid"], own["guid"], host="www", path="/in")
    assert route["url"] == "www.shop.example/in"
    assert route.domain()["name"] == "shop.example"
    assert v3.routes.update(route["guid"], meta_labels={"a": "b"})["metadata"]["labels"] == {"a": "b"}
    assert v3.jobs.wait_for_job_completion(v3.routes.remove(route["guid"]))["state"] == "COMPLETE"
    assert v3.jobs.wait_for_job_completion(v3.domains.remove(own["guid"]))["state"] == "COMPLETE"


def staging(client: Any, app: Any) -> None:
    v3 = client.v3
    packages = list(v3.apps.list_packages(app["guid"]))
    assert [one["state"] for one in packages] == ["READY"]
    droplets = list(v3.apps.list_droplets(app["guid"]))
    assert [one["state"] for one in droplets] == ["STAGED"]
    assert [one["guid"] for one in v3.packages.list_droplets(packages[0]["guid"])] == [droplets[0]["guid"]]
    builds = list(packages[0].app().packages())
    assert builds
    created = v3.packages.create(app["guid"], PackageType.BITS)
    assert created["state"] == "AWAITING_UPLOAD"
    labelled = v3.droplets.update(droplets[0]["guid"], meta_labels={"good": "yes"})
    assert labelled["metadata"]["labels"] == {"good": "yes"}
    assert [one["name"] for one in v3.stacks.list()]
    assert [one["name"] for one in v3.buildpacks.list()]
