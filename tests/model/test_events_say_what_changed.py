"""The event of a change says what was before: of the platform's rules, which hold for every tenant."""

from typing import Any

import msgspec

from paasd.model import AuditEvent, SecurityGroup
from paasd.model.arguments import SYSTEM, Metadata
from paasd.model.buildpacks import FinishBuildpackUpload, UpdateBuildpack, finish_buildpack_upload, update_buildpack
from paasd.model.clients import PutClient, put_client
from paasd.model.feature_flags import SetFlag, set_flag
from paasd.model.quotas.applying import ApplyQuota, apply_organization_quota, apply_space_quota
from paasd.model.quotas.definitions import UpdateQuota, update_organization_quota
from paasd.model.security_groups import (
    CreateSecurityGroup,
    UpdateSecurityGroup,
    create_security_group,
    update_security_group,
)
from paasd.model.variable_groups import SetVariableGroup, set_variable_group
from tests.model.quota_cases import buildpack, organization_quota, space_quota
from tests.model.seeding import Seed


def told(seed: Seed, event_type: str) -> dict[str, Any]:
    """The data of the newest event of a type."""
    with seed.database.read() as tx:
        return tx.all(AuditEvent, type=event_type, order=("-sequence",))[0].data


def rule(destination: str) -> dict[str, Any]:
    return {"protocol": "tcp", "destination": destination, "ports": "443"}


async def test_an_opened_security_group_says_so_however_many_rules_it_has(seed: Seed) -> None:
    rules = [rule(f"10.0.0.{number}") for number in range(25)]
    made = CreateSecurityGroup(name="db", rules=rules, actor=SYSTEM)
    group: SecurityGroup = await seed.database.write(create_security_group, made)
    assert rule("10.0.0.0") in told(seed, "audit.security_group.create")["request"]["rules"]
    opened = UpdateSecurityGroup(
        security_group_guid=group.guid, rules=[*rules[1:], rule("0.0.0.0/0")], running_default=True, actor=SYSTEM
    )
    await seed.database.write(update_security_group, opened)
    changed = told(seed, "audit.security_group.update")["changed"]
    assert (changed["rules"]["removed"], changed["rules"]["added"]) == ([rules[0]], [rule("0.0.0.0/0")])
    assert changed["globally_enabled"]["before"]["running"] is False
    few = UpdateSecurityGroup(security_group_guid=group.guid, rules=rules[:2], actor=SYSTEM)
    await seed.database.write(update_security_group, few)
    assert len(told(seed, "audit.security_group.update")["changed"]["rules"]["removed"]) == 24


async def test_no_number_of_rules_hides_a_wide_one_from_the_event(seed: Seed) -> None:
    few = [{"protocol": "tcp", "destination": "10.0.0.1", "ports": "1"}]
    made = CreateSecurityGroup(name="db", rules=few, actor=SYSTEM)
    group: SecurityGroup = await seed.database.write(create_security_group, made)

    async def told_of(rules: list[dict[str, Any]]) -> dict[str, Any]:
        change = UpdateSecurityGroup(security_group_guid=group.guid, rules=rules, actor=SYSTEM)
        await seed.database.write(update_security_group, change)
        data = told(seed, "audit.security_group.update")
        assert "shortened_from_bytes" not in data
        found: dict[str, Any] = data["changed"]["rules"]
        await seed.database.write(
            update_security_group, UpdateSecurityGroup(security_group_guid=group.guid, rules=few, actor=SYSTEM)
        )
        return found

    filling = [rule(f"10.{a}.{b}.1") | {"description": "d" * 300} for a in range(16) for b in range(10)]
    wide = {"protocol": "tcp", "destination": "0.0.0.0/1", "ports": "443"}
    found = await told_of([*filling, wide])
    assert found["added"][0] == wide
    assert found["added"][-1].endswith("more, each with at most 1 addresses (x 1 ports)")
    assert (found["before"]["addresses"], found["after"]["addresses"]) == (1, 2**31)

    among = ",".join(f"192.168.{number}.1" for number in range(250)) + ",64.0.0.0-127.255.255.255"
    found = await told_of([{"protocol": "all", "destination": among}])
    assert found["added"][0]["destination"].startswith("64.0.0.0-127.255.255.255,")

    divided = [{"protocol": "all", "destination": ",".join(f"{a}.{b}.0.0/16" for a in range(8) for b in range(256))}]
    assert (await told_of(divided))["after"]["addresses"] == 2**27


async def test_a_changed_buildpack_says_which_bits_and_settings_it_had(seed: Seed) -> None:
    guid = await buildpack(seed)
    for letter in "ab":
        bits = FinishBuildpackUpload(
            buildpack_guid=guid, filename=f"{letter}.zip", blob_sha256=letter * 64, actor=SYSTEM
        )
        await seed.database.write(finish_buildpack_upload, bits)
    data = told(seed, "audit.buildpack.upload")
    assert (data["sha256"], data["before"]["blob_sha256"], data["after"]["blob_sha256"]) == (
        "b" * 64,
        "a" * 64,
        "b" * 64,
    )
    labels = Metadata(labels={"a": "b"})
    changed = UpdateBuildpack(buildpack_guid=guid, enabled=False, stack="debian12", metadata=labels, actor=SYSTEM)
    await seed.database.write(update_buildpack, changed)
    data = told(seed, "audit.buildpack.update")
    assert data["before"] == {"stack": "", "enabled": True}
    assert data["after"] == {"stack": "debian12", "enabled": False}
    assert data["metadata"]["labels"] == {"a": "b"}


async def test_a_quota_says_what_it_was_and_which_applied_before(seed: Seed) -> None:
    organization, space, _ = await seed.place()
    quota = await organization_quota(seed)
    more = UpdateQuota(quota_guid=quota.guid, limits={"total_memory_in_mb": None}, actor=SYSTEM)
    await seed.database.write(update_organization_quota, more)
    data = told(seed, "audit.organization_quota.update")
    assert data["before"]["limits"]["total_memory_in_mb"] == 512
    assert "total_memory_in_mb" not in data["after"]["limits"]
    back = ApplyQuota(quota_guid="default", guids=[organization.guid], actor=SYSTEM)
    await seed.database.write(apply_organization_quota, back)
    data = told(seed, "audit.organization_quota.apply")
    assert (data["before"], data["after"]) == ({"quota_guid": quota.guid}, {"quota_guid": "default"})
    small = await space_quota(seed)
    await seed.database.write(apply_space_quota, ApplyQuota(quota_guid=small.guid, guids=[space.guid], actor=SYSTEM))
    data = told(seed, "audit.space_quota.apply")
    assert (data["before"], data["after"]) == ({"quota_guid": None}, {"quota_guid": small.guid})


async def test_flags_clients_and_variable_groups_say_what_was(seed: Seed) -> None:
    for enabled in (False, True):
        await seed.database.write(set_flag, SetFlag(name="app_scaling", enabled=enabled, actor=SYSTEM))
    data = told(seed, "audit.feature_flag.update")
    assert (data["before"], data["after"]) == ({"enabled": False}, {"enabled": True})

    for scopes, secret in ((["cloud_controller.read"], "one"), (["cloud_controller.admin"], "two")):
        value = msgspec.json.encode({"client_id": "ci", "secret_hash": secret, "scopes": scopes}).decode()
        await seed.database.write(put_client, PutClient(client_id="ci", value=value, scopes=scopes, actor=SYSTEM))
    data = told(seed, "audit.oauth_client.put")
    assert data == {
        "scopes": ["cloud_controller.admin"],
        "before": {"scopes": ["cloud_controller.read"]},
        "secret_replaced": True,
    }

    gone = SetVariableGroup(
        name="running", previous="", variables="sealed", names=["A", "B"], removed=["B"], actor=SYSTEM
    )
    await seed.database.write(set_variable_group, gone)
    data = told(seed, "audit.environment_variable_group.update")
    assert data == {"environment_variables": ["A", "B"], "removed": ["B"]}
