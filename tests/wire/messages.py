"""Every message that nodes send each other, with an example of each made from its type; stored ones of releases.

    python -m tests.wire.messages        store those of this release, once, when it is made

A stored message is read by every later release that nodes of that one may meet: that is what the next one promises.
"""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

import paasd

STORED = Path(__file__).parent / "stored"
MODULES = (
    "paasd.copies.findings",
    "paasd.copies.wire",
    "paasd.gossip.sync",
    "paasd.gossip.wire.messages",
    "paasd.logs.wire",
    "paasd.membership.messages",
    "paasd.observed.facts",
    "paasd.observed.ledger",
    "paasd.peer.wire",
    "paasd.router.confirming",
    "paasd.ssh.wire",
    "paasd.state.log.messages",
    "paasd.state.replication.copying",
    "paasd.state.replication.failures",
    "paasd.state.replication.forwarding",
    "paasd.unsealing.interface",
    "paasd.unsealing.remote",
)


def messages() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """(name, type) of all, those with something in them."""
    for module in MODULES:
        for name, kind in vars(importlib.import_module(module)).items():
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module:
                yield f"{module.removeprefix('paasd.')}.{name}", kind


def example(kind: type[msgspec.Struct]) -> Any:
    """What a message of this type looks like in msgpack, taken apart: every field is there and has a value."""
    return _value(inspect.type_info(kind))


def _value(info: inspect.Type) -> Any:
    match info:
        case inspect.StructType():
            return _struct(info)
        case inspect.UnionType():
            return _value(next(one for one in info.types if not isinstance(one, inspect.NoneType)))
        case inspect.IntType():
            return info.ge if info.ge is not None else 7
        case inspect.FloatType():
            return 1.5
        case inspect.BoolType():
            return True
        case inspect.StrType():
            return "text".ljust(info.min_length or 0, "-")[: info.max_length]
        case inspect.BytesType():
            return b"data".ljust(info.min_length or 0, b"-")
        case inspect.LiteralType():
            return info.values[0]
        case inspect.DictType():
            return {_value(info.key_type): _value(info.value_type)}
        case inspect.ListType() | inspect.SetType() | inspect.FrozenSetType() | inspect.VarTupleType():
            return [_value(info.item_type)] * max(1, info.min_length or 0)
        case inspect.TupleType():
            return [_value(one) for one in info.item_types]
        case inspect.RawType() | inspect.AnyType():
            return 7
    raise NotImplementedError(f"an example of {info}")


def _struct(info: inspect.StructType) -> Any:
    values = {field.encode_name: _value(field.type) for field in info.fields}
    if not info.array_like:
        return values if info.tag is None else {info.tag_field: info.tag, **values}
    return list(values.values()) if info.tag is None else [info.tag, *values.values()]


def main() -> None:
    STORED.mkdir(exist_ok=True)
    path = STORED / f"{paasd.__version__}.json"
    found = {name: msgspec.msgpack.encode(example(kind)).hex() for name, kind in messages()}
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(found)} messages in {path.name}")


if __name__ == "__main__":
    main()
