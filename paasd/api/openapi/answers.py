"""What a handler answers with: what it says that it returns, which the type checker holds it to."""

from collections.abc import Callable
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from paasd.api.answers import Refusal
from paasd.api.call import Reply


class Answers(msgspec.Struct, frozen=True):
    """Kinds of answers of one operation: when it was carried out, and when it was refused in a form of its own."""

    done: tuple[Any, ...]
    refused: tuple[Any, ...]

    @property
    def structs(self) -> tuple[Any, ...]:
        """What JSON is written from when the operation was carried out."""
        return tuple(kind for kind in self.done if kind is not None and not isinstance(kind, str))

    @property
    def media(self) -> tuple[str, ...]:
        """Types of what is no JSON."""
        return tuple(kind for kind in self.done if isinstance(kind, str))


@cache
def answers_of(handler: Callable[..., Any]) -> Answers:
    """What stands in `Reply[...]`: structs (`Page[AppShown]` is one), media types, None. Raises TypeError without."""
    returned = get_type_hints(handler).get("return")
    kinds: tuple[Any, ...] = ()
    for one in get_args(returned) if _is_union(returned) else (returned,):
        kinds += _bodies(one, handler)
    refused = tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Refusal))
    return Answers(done=tuple(kind for kind in kinds if kind not in refused), refused=refused)


def _is_union(kind: Any) -> bool:
    return isinstance(kind, UnionType) or get_origin(kind) is Union


def _bodies(reply: Any, handler: Callable[..., Any]) -> tuple[Any, ...]:
    if get_origin(reply) is Reply:
        (body,) = get_args(reply)
        if body is type(None):
            return (None,)
        if get_origin(body) is Literal:
            return get_args(body)
        struct = get_args(body)[0] if get_origin(body) is list else get_origin(body) or body
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
            return (body,)
    raise TypeError(f"{handler.__module__}.{handler.__qualname__} has to return Reply[a struct], or Reply[None]")
