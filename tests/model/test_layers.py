"""Who may share a layer with everybody."""

import pytest

from paasd.model import Layer, build_caches, builds, layers, membership
from paasd.model.arguments import SYSTEM
from paasd.model.organizations import CreateOrganization, create_organization
from tests.model.planting import PlantedLayers, plant_layers
from tests.model.seeding import NODE, Seed

PYTHON = layers.NewLayer(key="toolchain/python", role="toolchain", sha256="b" * 64, size_bytes=1, shared=True)
DEPENDENCIES = layers.NewLayer(key="dependencies/x", role="dependencies", sha256="a" * 64, size_bytes=1)


async def admit(seed: Seed, role: str) -> None:
    token = membership.CreateToken(id="t", secret_hash="h", role=role, expires_at=4_000_000_000, actor=SYSTEM)
    await seed.database.write(membership.create_token, token)
    joined = membership.AdmitMember(
        token_id="t",
        secret_hash="h",
        guid=NODE,
        name="joined",
        zone="z",
        memory_mb=4096,
        disk_mb=4096,
        cpus=1,
        address="192.0.2.1",
        peer_port=1,
        tunnel_port=2,
        etcd_client_port=3,
        etcd_peer_port=4,
        version="1",
        schema_limit=99,
    )
    await seed.database.write(membership.admit_member, joined)


@pytest.mark.parametrize(("role", "kept"), [("control", ["/", "space"]), ("worker", ["space"])])
async def test_the_toolchains_of_everybody_are_made_by_control_nodes_alone(
    seed: Seed, role: str, kept: list[str]
) -> None:
    await admit(seed, role)
    build = await seed.build()
    finish = builds.FinishBuild(
        build_guid=build.guid,
        node_guid=NODE,
        epoch=build.epoch,
        layers=[],
        process_types={},
        register=[PYTHON, DEPENDENCIES],
    )
    assert await seed.database.write(builds.finish_build, finish), "the build itself is as good as any"
    with seed.database.read() as tx:
        assert sorted("/" if row.cache_key.startswith("/") else "space" for row in tx.all(Layer)) == kept
        assert (layers.find_layer(tx, PYTHON.key, None) is not None) == (role == "control")


async def test_layers_that_no_build_finds_any_more_go_in_portions(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Organizations shared them once; what spaces and the platform have is found, and stays."""
    monkeypatch.setattr("paasd.state.portions.ROWS", 3)
    organization, space, _ = await seed.place()
    other = await seed.database.write(create_organization, CreateOrganization(name="other", actor=SYSTEM))
    for owner, whose, count in (
        (organization.guid, organization.guid, 4),
        (other.guid, other.guid, 1),
        (space.guid, organization.guid, 2),
        ("", "", 1),
    ):
        planted = PlantedLayers(owner_guid=owner, organization_guid=whose, count=count)
        await seed.database.write(plant_layers, planted)
    gone = []
    while not gone or gone[-1]:
        gone.append(await seed.database.write(layers.expire_layers, layers.ExpireLayers()))
    assert gone == [3, 2, 0]
    with seed.database.read() as tx:
        left = [row.cache_key for row in tx.all(Layer, order=("cache_key",))]
    assert sorted(left) == sorted(["/dependencies/0", *(f"{space.guid}/dependencies/{number}" for number in range(2))])


async def test_clearing_caches_forgets_what_spaces_share_and_keeps_toolchains(
    seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paasd.state.portions.ROWS", 3)
    organization, space, _ = await seed.place()
    for owner, whose, count in ((space.guid, organization.guid, 4), ("", "", 1)):
        await seed.database.write(plant_layers, PlantedLayers(owner_guid=owner, organization_guid=whose, count=count))
    done = [await seed.database.write(build_caches.forget_layers, build_caches.ForgetLayers()) for _ in range(2)]
    assert done == [False, True]
    with seed.database.read() as tx:
        assert [row.cache_key for row in tx.all(Layer)] == ["/dependencies/0"]
