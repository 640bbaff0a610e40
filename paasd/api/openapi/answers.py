"""What a handler answers with: what it says that it returns, which the type checker holds it to."""

from collections.abc import Callable
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from paasd.api.answers import Refusal
from paasd.api.call import Reply


class Answers(msgspec.Struct, frozen=True):
    """Kinds of answers of one operation: when it was carried out, and when it was refused in a form of its own."""

    done: tuple[Any, ...]
    refused: tuple[Any, ...]


@cache
def answers_of(handler: Callable[..., Any]) -> Answers:
    """Structs (`Page[AppShown]` is one) and None, as they stand in `Reply[...]`. Raises TypeError without."""
    returned = get_type_hints(handler).get("return")
    kinds = tuple(_body(one, handler) for one in (get_args(returned) if _is_union(returned) else (returned,)))
    refused = tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Refusal))
    return Answers(done=tuple(kind for kind in kinds if kind not in refused), refused=refused)


def _is_union(kind: Any) -> bool:
    return isinstance(kind, UnionType) or get_origin(kind) is Union


def _body(reply: Any, handler: Callable[..., Any]) -> Any:
    if get_origin(reply) is Reply:
        (body,) = get_args(reply)
        if body is type(None):
            return None
        struct = get_args(body)[0] if get_origin(body) is list else get_origin(body) or body
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
            return body
    raise TypeError(f"{handler.__module__}.{handler.__qualname__} has to return Reply[a struct], or Reply[None]")
