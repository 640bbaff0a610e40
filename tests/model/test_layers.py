"""Who may share a layer with everybody."""

import pytest

from paasd.model import Layer, builds, layers, membership
from paasd.model.arguments import SYSTEM
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
