"""Operations: the registered functions that may change the database.

    @operation("app.create", version=1)
    def create_app(tx: Tx, arguments: CreateApp) -> App: ...

An operation depends on nothing but the database, its arguments, `tx.now` and `tx.guid()`, and may run more than once
before it takes effect. Name and version are stored and sent, so they stay; change the meaning and raise the version.
Called as a plain function it runs inside the transaction of another operation.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import msgspec

if typing.TYPE_CHECKING:
    from paasd.state.transactions import Tx

A = TypeVar("A", bound=msgspec.Struct)
R = TypeVar("R")


class Operation(Generic[A, R]):
    """A registered operation; hand it to `Database.write`, or call it inside another one."""

    def __init__(self, name: str, version: int, function: Callable[[Tx, A], R]) -> None:
        self.name = name
        self.version = version
        self.function = function
        self.__doc__ = function.__doc__

    def __call__(self, tx: Tx, arguments: A) -> R:
        return self.function(tx, arguments)

    def __repr__(self) -> str:
        return f"<operation {self.name} v{self.version}>"

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return typing.get_type_hints(self.function, None, _annotation_names())

    @cached_property
    def arguments_type(self) -> type[A]:
        """The struct that the operation takes as second parameter."""
        names = list(self.function.__annotations__)
        return typing.cast("type[A]", self._hints[next(n for n in names[1:] if n != "return")])

    @cached_property
    def result_decoder(self) -> msgspec.msgpack.Decoder[R]:
        return msgspec.msgpack.Decoder(self._hints["return"])

    def encode_result(self, result: R) -> bytes:
        return _packer.encode(result)

    def encode_arguments(self, arguments: A) -> bytes:
        return _packer.encode(arguments)

    def decode_arguments(self, data: bytes) -> A:
        return msgspec.msgpack.decode(data, type=self.arguments_type)


_packer = msgspec.msgpack.Encoder()
_registered: dict[
    tuple[str, int], Operation[Any, Any]
] = {}  # filled by imports alone, so a table of code and not state


def _annotation_names() -> dict[str, Any]:
    from paasd.state.transactions import ReadTx, Tx  # the names stand in annotations that are only text until now

    return {"Tx": Tx, "ReadTx": ReadTx}


def operation(name: str, *, version: int = 1) -> Callable[[Callable[[Tx, A], R]], Operation[A, R]]:
    """Register the decorated function. Raises TypeError when the name and version are taken."""

    def register(function: Callable[[Tx, A], R]) -> Operation[A, R]:
        made: Operation[A, R] = Operation(name, version, function)
        if (name, version) in _registered:
            raise TypeError(f"operation {name} v{version} is registered twice")
        _registered[name, version] = made
        return made

    return register


def registered_operations() -> Mapping[tuple[str, int], Operation[Any, Any]]:
    """Every operation of the modules imported so far, by (name, version)."""
    return MappingProxyType(_registered)
