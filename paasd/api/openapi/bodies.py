"""Which struct a handler reads its body into: the argument of its `call.json(...)`, in it or in a helper that it calls.

Read from the handlers themselves, so that nobody has to say it twice, and nobody can say it wrongly.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import msgspec

DEPTH: Final = 2


@cache
def body_of(handler: Callable[..., Any]) -> type[msgspec.Struct] | None:
    """None for a handler that reads no JSON."""
    return next(_forms(handler, DEPTH), None)


def _forms(function: Callable[..., Any], depth: int) -> Iterator[type[msgspec.Struct]]:
    names = _names(function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in calls:
        match call:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="call"), attr="json"), args=[ast.Name(id=name), *_]):
                form = names.get(name)
                if isinstance(form, type) and issubclass(form, msgspec.Struct):
                    yield form
    if depth == 0:
        return
    for call in calls:
        match call:
            case ast.Call(func=ast.Name(id=name), args=[ast.Name(id="call"), *_]):
                helper = names.get(name)
                if inspect.iscoroutinefunction(helper):
                    yield from _forms(helper, depth - 1)


def _names(function: Callable[..., Any]) -> dict[str, Any]:
    found = inspect.getclosurevars(function)
    return {**found.globals, **found.nonlocals}
