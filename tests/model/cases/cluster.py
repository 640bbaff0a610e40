"""Arguments of the operations on nodes, votes, recovery and rotation of keys."""

from typing import Any

from paasd.model import (
    Authority,
    GossipKey,
    brake,
    draining,
    liveness,
    membership,
    nodes,
    recovery,
    refusals,
    rotation,
    voting,
)
from paasd.model.arguments import SYSTEM
from tests.model.cases.register import case
from tests.model.seeding import NODE, Seed


@case(nodes.register_node)
async def _(seed: Seed) -> Any:
    return nodes.RegisterNode(guid="n", name="n", zone="z", memory_mb=1, disk_mb=1, cpus=1)


@case(membership.open_cluster)
async def _(seed: Seed) -> Any:
    await seed.node()
    return membership.OpenCluster(
        cluster_id="cluster",
        node_guid=NODE,
        authority=Authority(guid="a1", purpose="nodes", certificate="pem", sealed_key="s", state="SIGNING"),
        public=Authority(guid="a2", purpose="public", certificate="pem", sealed_key="s", state="SIGNING"),
        gossip_key=GossipKey(id="k", sealed="s", state="SENDING"),
    )


@case(membership.advertise_node)
async def _(seed: Seed) -> Any:
    await seed.node()
    return membership.Advertise(
        guid=NODE,
        address="10.0.0.1",
        peer_port=1,
        tunnel_port=2,
        etcd_client_port=3,
        etcd_peer_port=4,
        version="1",
        schema_limit=3,
    )


TOKEN = membership.CreateToken(id="t", secret_hash="h", role="worker", expires_at=4_000_000_000, actor=SYSTEM)


@case(membership.create_token)
async def _(seed: Seed) -> Any:
    return TOKEN


@case(membership.delete_token)
async def _(seed: Seed) -> Any:
    await seed.database.write(membership.create_token, TOKEN)
    return membership.DeleteToken(id="t", actor=SYSTEM)


@case(membership.admit_member)
async def _(seed: Seed) -> Any:
    await seed.database.write(membership.create_token, TOKEN)
    return membership.AdmitMember(
        token_id="t",
        secret_hash="h",
        guid="new",
        name="new",
        zone="z",
        memory_mb=1,
        disk_mb=1,
        cpus=1,
        address="10.0.0.2",
        peer_port=1,
        tunnel_port=2,
        etcd_client_port=3,
        etcd_peer_port=4,
        version="1",
        schema_limit=3,
    )


@case(membership.remove_node)
async def _(seed: Seed) -> Any:
    await seed.node()
    await seed.database.write(
        nodes.register_node, nodes.RegisterNode(guid="n2", name="n2", zone="z", memory_mb=1, disk_mb=1, cpus=1)
    )
    return membership.RemoveNode(guid="n2", force=True, actor=SYSTEM)


@case(nodes.set_node_state)
async def _(seed: Seed) -> Any:
    await seed.node()
    return nodes.SetNodeState(guid=NODE, incarnation=1, state="DEAD")


@case(nodes.return_node)
async def _(seed: Seed) -> Any:
    await seed.node()
    await seed.database.write(nodes.set_node_state, nodes.SetNodeState(guid=NODE, incarnation=1, state="DEAD"))
    return nodes.ReturnNode(guid=NODE, incarnation=1)


@case(liveness.admit_node)
async def _(seed: Seed) -> Any:
    await seed.node()
    await seed.database.write(nodes.set_node_state, nodes.SetNodeState(guid=NODE, incarnation=1, state="RETURNING"))
    return liveness.AdmitNode(node_guid=NODE, incarnation=1)


@case(liveness.declare_dead)
async def _(seed: Seed) -> Any:
    for guid in (NODE, "other", "third"):
        await seed.node(guid)
    return liveness.DeclareDead(node_guid=NODE, incarnation=1, witnesses=["other", "third"])


@case(liveness.declare_dead_by_hand)
async def _(seed: Seed) -> Any:
    await seed.node()
    return liveness.DeclareDeadByHand(node_guid=NODE, actor=SYSTEM)


@case(draining.drain_node)
async def _(seed: Seed) -> Any:
    await seed.node()
    return draining.DrainNode(node_guid=NODE, actor=SYSTEM)


@case(draining.undrain_node)
async def _(seed: Seed) -> Any:
    await seed.node()
    await seed.database.write(draining.drain_node, draining.DrainNode(node_guid=NODE, actor=SYSTEM))
    return draining.DrainNode(node_guid=NODE, actor=SYSTEM)


@case(brake.engage_brake)
async def _(seed: Seed) -> Any:
    return brake.EngageBrake(nodes=[NODE], reason="1 of 2 nodes")


@case(brake.release_brake)
async def _(seed: Seed) -> Any:
    await seed.database.write(brake.engage_brake, brake.EngageBrake(nodes=[NODE], reason="1 of 2 nodes"))
    return brake.ReleaseBrake(by_operator=True)


@case(brake.accept_losses)
async def _(seed: Seed) -> Any:
    await seed.database.write(brake.engage_brake, brake.EngageBrake(nodes=[NODE, "other"], reason="2 of 3 nodes"))
    await seed.database.write(brake.release_brake, brake.ReleaseBrake(by_operator=True))
    return brake.AcceptLosses(nodes=["other"])


@case(voting.add_etcd_authority)
async def _(seed: Seed) -> Any:
    authority = Authority(guid="a", purpose="etcd", certificate="pem", sealed_key="sealed", state="SIGNING")
    return voting.AddEtcdAuthority(authority=authority)


@case(voting.offer_vote)
async def _(seed: Seed) -> Any:
    await seed.node()
    return voting.OfferVote(node_guid=NODE, etcd_version="3.4.23")


@case(voting.change_vote)
async def _(seed: Seed) -> Any:
    await seed.member()
    return voting.ChangeVote(node_guid=NODE, before="", after="JOINING")


@case(recovery.note_backup)
async def _(seed: Seed) -> Any:
    return recovery.NoteBackup(node_guid=NODE, position=7, actor=SYSTEM)


@case(recovery.start_over)
async def _(seed: Seed) -> Any:
    await seed.member()
    return recovery.StartOver(node_guid="new", position=7)


@case(recovery.recover_cluster)
async def _(seed: Seed) -> Any:
    await seed.member()
    return recovery.Recover(node_guid=NODE, lost=[])


async def opened(seed: Seed) -> None:
    """A cluster of one node."""
    await seed.node()
    await seed.database.write(
        membership.open_cluster,
        membership.OpenCluster(
            cluster_id="cluster",
            node_guid=NODE,
            authority=Authority(guid="a1", purpose="nodes", certificate="pem", sealed_key="s", state="SIGNING"),
            public=Authority(guid="a2", purpose="public", certificate="pem", sealed_key="s", state="SIGNING"),
            gossip_key=GossipKey(id="k", sealed="s", state="SENDING"),
        ),
    )


NEXT_AUTHORITY = rotation.BeginAuthority(
    authority=Authority(guid="a3", purpose="nodes", certificate="pem", sealed_key="s"), actor=SYSTEM
)


NEXT_KEY = rotation.BeginGossipKey(key=GossipKey(id="k2", sealed="s"), actor=SYSTEM)


@case(rotation.begin_authority)
async def _(seed: Seed) -> Any:
    await opened(seed)
    return NEXT_AUTHORITY


@case(rotation.replace_host_key)
async def _(seed: Seed) -> Any:
    row = Authority(guid="h1", purpose=rotation.HOST_KEY, certificate="ssh-ed25519 A", sealed_key="s", state="SIGNING")
    return rotation.ReplaceHostKey(authority=row, actor=SYSTEM)


@case(rotation.advance_authority)
async def _(seed: Seed) -> Any:
    await opened(seed)
    await seed.database.write(rotation.begin_authority, NEXT_AUTHORITY)
    return rotation.AdvanceAuthority(guid="a3", before="TRUSTED")


@case(rotation.begin_gossip_key)
async def _(seed: Seed) -> Any:
    await opened(seed)
    return NEXT_KEY


@case(rotation.advance_gossip_key)
async def _(seed: Seed) -> Any:
    await opened(seed)
    await seed.database.write(rotation.begin_gossip_key, NEXT_KEY)
    return rotation.AdvanceGossipKey(id="k2", before="KNOWN")


@case(rotation.note_rotation)
async def _(seed: Seed) -> Any:
    return rotation.NoteRotation(kind="root_key", name="k", actor=SYSTEM)


@case(refusals.note_refusals)
async def _(seed: Seed) -> Any:
    await seed.node()
    return refusals.NoteRefusals(node_guid=NODE, count=1, head="h")
