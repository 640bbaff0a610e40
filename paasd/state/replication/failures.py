"""Errors that travel: what an operation raised on another node is raised here as the same class.

Only classes of `PaasdError` that this process has loaded are made, by their attributes and without running any code of
theirs. Of a class that only a newer paasd knows, the nearest ancestor is taken.
"""

import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from paasd.errors import PaasdError


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """Names of the class and of its ancestors, nearest first; the attributes of the error."""

    classes: tuple[str, ...]
    attributes: dict[str, Any]


def describe(error: PaasdError) -> Failure:
    names = tuple(_name(kind) for kind in type(error).__mro__ if issubclass(kind, PaasdError))
    return Failure(names, {name: value for name, value in vars(error).items() if _is_plain(value)})


def revive(failure: Failure) -> PaasdError:
    """The error as it was, as far as this node knows its class."""
    known = {_name(kind): kind for kind in _subclasses(PaasdError)}
    kind = next((known[name] for name in failure.classes if name in known), PaasdError)
    detail = str(failure.attributes.get("detail", "it failed on another node, which did not say why"))
    error = kind.__new__(kind, detail)
    error.args = (detail,)
    error.__dict__.update(_typed(kind, {**failure.attributes, "detail": detail}))
    return error


def _typed(kind: type[PaasdError], attributes: dict[str, Any]) -> dict[str, Any]:
    """Lists were tuples where the class takes a tuple of that name."""
    hints = typing.get_type_hints(kind.__init__)
    found = {}
    for name, value in attributes.items():
        try:
            found[name] = msgspec.convert(value, hints.get(name, Any))
        except (msgspec.ValidationError, TypeError):
            found[name] = value
    return found


def _subclasses(kind: type[PaasdError]) -> Iterator[type[PaasdError]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from _subclasses(inner)


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(inner) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)
