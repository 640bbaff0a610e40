"""What a worker may write is about itself, and the table names operations and arguments that exist."""

import importlib
import pkgutil

import paasd.model
from paasd.model.arguments import SYSTEM
from paasd.model.draining import DrainNode
from paasd.model.membership import Advertise
from paasd.model.nodes import ReturnNode
from paasd.model.worker_rights import OWNER_FIELD, owner_of_rows
from paasd.state import registered_operations


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
