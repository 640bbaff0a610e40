"""What a worker may write is about itself, and the table names operations and arguments that exist."""

import importlib
import pkgutil

import pytest
from msgspec.structs import replace

import paasd.model
from paasd.errors import Unprocessable
from paasd.model import Node
from paasd.model.arguments import SYSTEM
from paasd.model.draining import DrainNode
from paasd.model.membership import AdmitMember, Advertise, CreateToken, admit_member, advertise_node, create_token
from paasd.model.nodes import ReturnNode
from paasd.model.worker_rights import OWNER_FIELD, owner_of_rows
from paasd.state import registered_operations
from tests.model.seeding import Seed


def test_every_right_names_an_operation_and_one_of_its_arguments() -> None:
    for module in pkgutil.walk_packages(paasd.model.__path__, "paasd.model."):
        importlib.import_module(module.name)
    known = registered_operations()
    assert len(OWNER_FIELD) > 5
    for key, field in OWNER_FIELD.items():
        assert field in known[key].arguments_type.__struct_fields__, key


def test_a_worker_speaks_for_itself_alone() -> None:
    own = ReturnNode(guid="worker", incarnation=1)
    assert owner_of_rows(None, "node.return", 1, own) == "worker"  # type: ignore[arg-type]
    drain = DrainNode(node_guid="worker", actor=SYSTEM)
    assert owner_of_rows(None, "node.drain", 1, drain) is None  # type: ignore[arg-type]
    assert owner_of_rows(None, "node.return", 2, own) is None  # type: ignore[arg-type]


def test_no_right_lets_a_worker_make_itself_a_control_node() -> None:
    assert "role" not in Advertise.__struct_fields__


@pytest.mark.parametrize(("role", "moves"), [("worker", False), ("control", True)])
async def test_a_worker_stays_where_it_was_let_in(seed: Seed, role: str, moves: bool) -> None:
    """Else it could close any address to all tenants, and have routers and gossip go there."""
    token = CreateToken(id="t", secret_hash="h", role=role, expires_at=4_000_000_000, actor=SYSTEM)
    await seed.database.write(create_token, token)
    where = {"address": "10.0.0.2", "peer_port": 1, "tunnel_port": 2, "etcd_client_port": 3, "etcd_peer_port": 4}
    facts = {"guid": "n", "name": "n", "zone": "z", "memory_mb": 1, "disk_mb": 1, "cpus": 1}
    admitted = AdmitMember(token_id="t", secret_hash="h", version="1", schema_limit=3, **facts, **where)
    await seed.database.write(admit_member, admitted)
    said = Advertise(guid="n", version="2", schema_limit=4, **where)
    assert await seed.database.write(advertise_node, said), "it may be of another release"
    for name, there in where.items():
        other = replace(said, **{name: "192.0.2.7" if name == "address" else there + 10})
        if moves:
            assert await seed.database.write(advertise_node, other)
        else:
            with pytest.raises(Unprocessable, match=r"n joined at 10\.0\.0\.2:1 .* joins anew"):
                await seed.database.write(advertise_node, other)
            with seed.database.read() as tx:
                assert tx.need(Node, "n").address == "10.0.0.2"
