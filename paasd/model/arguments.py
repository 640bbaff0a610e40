"""What arguments of operations have in common: they are plain, serialisable and name who asked."""

import typing
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def rfc3339(unix_s: float) -> str:
    """A time as rows hold it, whole seconds."""
    return datetime.fromtimestamp(int(unix_s), UTC).strftime(TIME_FORMAT)


class ArgumentsMeta(msgspec.StructMeta):
    """Makes every struct below it frozen and keyword-only."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> "ArgumentsMeta":
        return super().__new__(mcls, name, bases, namespace, **{"frozen": True, "kw_only": True, **options})


@typing.dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Arguments(msgspec.Struct, metaclass=ArgumentsMeta, frozen=True, kw_only=True):
    """Base of the arguments of an operation."""


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who an audit event names, and from where: the client's address, its OAuth client, the id of the request."""

    guid: str
    type: str
    name: str
    address: str = ""
    client: str = ""
    request_id: str = ""


SYSTEM = Actor(guid="paasd", type="process", name="paasd")


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of labels and annotations; None takes a key away."""

    labels: dict[str, str | None] = {}
    annotations: dict[str, str | None] = {}


def seconds_after(now: str, seconds: float) -> str:
    """The RFC 3339 time `seconds` after `now`."""
    moment = datetime.strptime(now, TIME_FORMAT) + timedelta(seconds=seconds)
    return moment.strftime(TIME_FORMAT)


def unix_seconds(time: str) -> float:
    """Unix seconds of an RFC 3339 time."""
    return datetime.strptime(time, TIME_FORMAT).replace(tzinfo=UTC).timestamp()
