"""`cloudfoundry-client` from PyPI: every call of every group that it knows, made, and found as it was made.

What paasd does not have is called too, and has to be refused in words that a client can show.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from cloudfoundry_client.errors import InvalidEntity, InvalidStatusCode
from cloudfoundry_client.networking.v1.external.policies import Policy
from cloudfoundry_client.v3.entities import ToManyRelationship, ToOneRelationship
from cloudfoundry_client.v3.organization_quotas import AppsQuota
from cloudfoundry_client.v3.packages import PackageType
from cloudfoundry_client.v3.routes import LoadBalancing
from cloudfoundry_client.v3.security_groups import GloballyEnabled, Rule, RuleProtocol
from requests import RequestException

from tests.api.hands import tar_of, working_hands, zip_of
from tests.api.serving import Served
from tests.api.test_pypi_client import sign_in

LABELS: dict[str, Any] = {"meta_labels": {"team": "red"}, "meta_annotations": {"note": "kept"}}
NO_SEGMENT = (404, "Isolation segment not found")
UNKNOWN = (404, "Unknown request")
"""What Cloud Foundry, too, answers on an address that it does not have."""


def record(*doors: Any) -> tuple[set[str], set[str]]:
    """(every call that the client knows, those that were made, which grows)."""
    known, made = set(), set()

    def noting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            made.add(name)
            return method(*args, **more)

        return call

    for group, manager in (one for door in doors for one in vars(door).items()):
        for name, method in inspect.getmembers(manager, inspect.ismethod):
            if not name.startswith("_"):
                known.add(f"{group}.{name}")
                setattr(manager, name, noting(f"{group}.{name}", method))
    return known, made


def look(v3: Any) -> None:
    """What all groups have: lists, their length, the first, and one by its guid (or, of flags, by its name)."""
    for group, manager in vars(v3).items():
        if group == "jobs":  # one polls those that one was told of
            for call in (manager.list, manager.get_first, manager.len):
                refused(UNKNOWN, call)
            continue
        found = list(manager.list())
        assert manager.len() == len(found), group
        first = manager.get_first()
        assert (first is None) == (not found), group
        key = found[0].get("guid", found[0].get("name")) if found else "none"
        if found:
            assert manager.get(key).get("created_at") == found[0].get("created_at"), group
        else:
            refused((404, ""), manager.get, key)


def refused(how: tuple[int, str], call: Callable[..., Any], *args: Any, **more: Any) -> None:
    """The call is refused with this status and this text."""
    with pytest.raises(InvalidStatusCode) as caught:
        call(*args, **more)
    assert (caught.value.status_code, how[1] in str(caught.value.body)) == (how[0], True), caught.value.body


def done(v3: Any, job: Any) -> None:
    """A job came to its end."""
    assert v3.jobs.wait_for_job_completion(job)["state"] == "COMPLETE"


def people_and_places(v3: Any) -> None:
    organization = v3.organizations.create("acme", suspended=False, **LABELS)
    guid = organization["guid"]
    assert v3.organizations.update(guid, "acme inc", suspended=True, **LABELS)["suspended"] is True
    assert v3.organizations.update(guid, "acme", suspended=False)["metadata"]["labels"] == {"team": "red"}
    shared = v3.organizations.get_default_domain(guid)
    assert shared["name"] in [one["name"] for one in v3.organizations.list_domains(guid)]
    assert v3.organizations.get_usage_summary(guid)["usage_summary"]["routes"] == 0
    assert v3.organizations.get_default_isolation_segment(guid).guid is None
    refused((422, "isolation segment"), v3.organizations.assign_default_isolation_segment, guid, "none")
    space = v3.spaces.create("prod", guid)["guid"]
    assert v3.spaces.update(space, "production")["name"] == "production"
    assert v3.spaces.get_assigned_isolation_segment(space).guid is None
    assert v3.spaces.assign_isolation_segment(space, None).guid is None
    user = v3.users.create(("ann", "corp"), **LABELS)
    assert v3.users.update(user["guid"], meta_labels={"team": "blue"})["metadata"]["labels"] == {"team": "blue"}
    done(v3, v3.users.remove(user["guid"]))
    quota = v3.organization_quotas.create("small", AppsQuota(1024, 512, 3, 4))["guid"]
    assert v3.organization_quotas.update(quota, "smaller", AppsQuota(512, 256, 1, 2))["apps"]["total_instances"] == 1
    assert v3.organization_quotas.apply_to_organizations(quota, ToManyRelationship(guid)).guids == [guid]
    refused((422, "applied to one or more organizations"), v3.organization_quotas.remove, quota)
    assert v3.spaces.remove(space) is None
    done(v3, v3.organizations.remove(guid))
    done(v3, v3.organization_quotas.remove(quota))


def roles(v3: Any, http_role: Callable[[str, str], str]) -> None:
    """It makes none itself."""
    organization = v3.organizations.create("roles", suspended=False)["guid"]
    ann = v3.users.create(("ann", "other"))["guid"]
    made = http_role(organization, ann)
    assert v3.roles.get(made)["type"] == "organization_user"
    assert v3.roles.get_first(user_guids=ann, include="user").user()["username"] == "ann"
    done(v3, v3.roles.remove(made))


def apps(v3: Any, app: str) -> None:
    assert v3.apps.restart(app)["state"] == "STARTED"
    assert set(v3.apps.get_env(app)) >= {"environment_variables", "system_env_json"}
    assert "name: hello" in v3.apps.get_manifest(app)
    with pytest.deprecated_call():
        assert v3.apps.get_routes(app)["resources"] == list(v3.apps.list_routes(app))
    (revision,) = v3.apps.list_revisions(app)
    assert (revision["version"], revision["description"]) == (1, "Initial revision.")
    assert [one["guid"] for one in v3.apps.list_deployed_revisions(app)] == [revision["guid"]]
    package = next(iter(v3.apps.list_packages(app)))
    assert v3.packages.create(app, PackageType.BITS, **LABELS)["metadata"]["annotations"] == {"note": "kept"}
    assert v3.packages.copy(package["guid"], app)["state"] in ("READY", "PROCESSING_UPLOAD")
    droplet = next(iter(v3.packages.list_droplets(package["guid"])))
    assert droplet["guid"] in [one["guid"] for one in v3.apps.list_droplets(app)]
    assert v3.droplets.update(droplet["guid"], **LABELS)["metadata"]["labels"] == {"team": "red"}
    assert v3.droplets.create(app, {"web": "run"})["state"] == "AWAITING_UPLOAD"
    copied = v3.droplets.copy(droplet["guid"], app)["guid"]
    assert v3.droplets.remove(copied) is not None
    assert v3.processes.get_first(app_guids=app).app()["guid"] == app
    task = v3.tasks.create(app, "run", name="one", disk_in_mb=64, memory_in_mb=64, droplet_guid=droplet["guid"])
    assert v3.tasks.cancel(task["guid"])["state"] in ("CANCELING", "FAILED")
    look(v3)
    done(v3, v3.apps.remove(app))


def policies(api: Any, app: str) -> None:
    wanted = [Policy(app, app, "tcp", 8080, 8090)]
    with pytest.raises(InvalidEntity):  # it takes the empty answer, which is Cloud Foundry's too, for a policy
        api.create(wanted)
    assert len(list(api.list())) == 1
    assert api.get_first(source_id=app)["destination"]["ports"] == {"start": 8080, "end": 8090}
    with pytest.raises(RequestException):  # it takes the policies for an address, and calls nobody
        api.delete(wanted)


def routing(v3: Any, space: str) -> None:
    owner = v3.spaces.get(space).organization()["guid"]
    own = v3.domains.create("shop.example", organization=ToOneRelationship(owner), **LABELS)["guid"]
    assert v3.domains.update(own, meta_labels={"team": None})["metadata"]["labels"] == {}
    assert own in [one["guid"] for one in v3.domains.list_domains_for_org(owner)]
    route = v3.routes.create(space, own, "www", "/in", load_balancing=LoadBalancing.LEAST_CONNECTION, **LABELS)
    assert route["options"] == {"loadbalancing": "least-connection"}
    changed = v3.routes.update(route["guid"], LoadBalancing.ROUND_ROBIN)
    assert changed["options"] == {"loadbalancing": "round-robin"}
    done(v3, v3.routes.remove(route["guid"]))
    other = v3.organizations.create("partner", suspended=False)["guid"]
    assert v3.domains.share_domain(own, ToManyRelationship(other)).guids == [other]
    assert v3.domains.get(own)["relationships"]["shared_organizations"].guids == [other]
    v3.domains.unshare_domain(own, other)
    done(v3, v3.organizations.remove(other))
    done(v3, v3.domains.remove(own))


def platform(v3: Any, space: str, bits: str) -> None:
    rules = [
        Rule(RuleProtocol.TCP, "10.0.0.5", "5432", log=True),
        Rule(RuleProtocol.ICMP, "10.0.0.0/8", type=8, code=0),
    ]
    group = v3.security_groups.create("database", rules, GloballyEnabled(staging=True))["guid"]
    assert [rule["protocol"] for rule in v3.security_groups.get(group)["rules"]] == ["tcp", "icmp"]
    many, one = ToManyRelationship(space), ToOneRelationship(space)
    assert v3.security_groups.bind_running_security_group_to_spaces(group, many).guids == [space]
    assert v3.security_groups.bind_staging_security_group_to_spaces(group, many).guids == [space]
    assert v3.security_groups.get_first(running_space_guids=space)["guid"] == group
    v3.security_groups.unbind_running_security_group_from_space(group, one)
    v3.security_groups.unbind_staging_security_group_from_space(group, one)
    assert v3.security_groups.update(group, name="db")["name"] == "db"
    done(v3, v3.security_groups.remove(group))
    buildpack = v3.buildpacks.create("mine", position=1, **LABELS)["guid"]
    assert v3.buildpacks.update(buildpack, "yours", position=1, locked=False)["name"] == "yours"
    assert v3.buildpacks.upload(buildpack, bits)["state"] == "READY"
    done(v3, v3.buildpacks.remove(buildpack))
    changed = v3.feature_flags.update("app_scaling", enabled=False, custom_error_message="no")
    assert changed["custom_error_message"] == "no"
    stack = v3.stacks.get_first()["guid"]
    assert [app["name"] for app in v3.stacks.list_apps(stack)] == []
    assert v3.stacks.update(stack, **LABELS)["metadata"]["labels"] == LABELS["meta_labels"]
    refused((422, "Stacks come with the platform"), v3.stacks.create, "mine")
    refused((422, "comes with the platform"), v3.stacks.remove, stack)


def what_is_not_here(v3: Any, space: str) -> None:
    """Isolation segments, and services: those of the marketplace come with brokers, which there are not yet."""
    segments = v3.isolation_segments
    refused((422, "Isolation segments are not supported"), segments.create, "mine")
    for call in (segments.list_entitled_organizations, segments.list_entitled_spaces, segments.remove):
        refused(NO_SEGMENT, call, "none")
    for call in (segments.update, segments.entitle_organizations, segments.revoke_organization):
        refused(NO_SEGMENT, call, "none", "x")
    refused(UNKNOWN, v3.service_brokers.create, "mine", "https://broker.example", "u", "p")
    refused(UNKNOWN, v3.service_instances.create, "db", space, "none")
    refused(UNKNOWN, v3.service_credential_bindings.create, "key", "key", "none", None, None, None, None)
    refused(UNKNOWN, v3.service_instances.get_permissions, "none")
    for group in (v3.service_brokers, v3.service_instances, v3.service_offerings, v3.service_plans):
        refused(UNKNOWN, group.update, "none")
        refused(UNKNOWN, group.remove, "none")
    refused(UNKNOWN, v3.service_plans.get_visibility, "none")
    refused(UNKNOWN, v3.service_plans.update_visibility, "none", "public")
    refused(UNKNOWN, v3.service_plans.apply_visibility_to_extra_orgs, "none", [])
    refused(UNKNOWN, v3.service_plans.remove_org_from_service_plan_visibility, "none", "x")


# The client leaves the file that it uploads open.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore:.*buildpack.zip:pytest.PytestUnraisableExceptionWarning")
async def test_every_call_of_every_group_that_the_client_knows(served: Served, tmp_path: Path) -> None:
    bits = tmp_path / "buildpack.zip"
    bits.write_bytes(zip_of({"bin/detect": b"#!/bin/sh\n"}))
    async with working_hands(served.context), await served.admin() as http:
        params, source = {"name": "hello", "wait": "true"}, tar_of({"Procfile": b"web: run"})
        await http.post("/paasd/v1/spaces/main/dev/push", params=params, content=source)
        pushed = (await http.get("/v3/apps?names=hello")).json()["resources"][0]
        app, space = pushed["guid"], pushed["relationships"]["space"]["data"]["guid"]

        async def role(organization: str, user: str) -> str:
            relations = {"user": {"data": {"guid": user}}, "organization": {"data": {"guid": organization}}}
            made = await http.post("/v3/roles", json={"type": "organization_user", "relationships": relations})
            return str(made.json()["guid"])

        def drive() -> tuple[set[str], set[str]]:
            client = sign_in(served.doors.url)
            known, made = record(client.v3, client.networking_v1_external)
            people_and_places(client.v3)
            roles(client.v3, lambda *args: trio.from_thread.run(role, *args))
            routing(client.v3, space)
            platform(client.v3, space, str(bits))
            what_is_not_here(client.v3, space)
            policies(client.networking_v1_external.policies, app)
            apps(client.v3, app)
            for other in ("v2", "rlpgateway"):
                with pytest.raises(NotImplementedError):
                    getattr(client, other)
            return known, made

        known, made = await trio.to_thread.run_sync(drive)
    assert len(known) > 150
    assert known - made == set()
