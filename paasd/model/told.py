"""What people read that is secret is told once an hour of each reader and source.

Programs look every few seconds, and what is written stays for a year; a source that was not seen lately is told anew.
"""

from typing import Any, Final

from paasd.model.arguments import Actor, seconds_after
from paasd.model.records import AuditEvent
from paasd.state import Ge, ReadTx

WINDOW_S: Final = 3600
_LOOKED_AT: Final = 100
"""Who reads more of one target in an hour is told again of some: looking must not become dear with their number."""


def told_lately(tx: ReadTx, event_type: str, target_guid: str, actor: Actor, now: str, **data: Any) -> bool:
    """Whether that they read it, from the same address by the same client, was told within the hour before `now`:
    such an event with `data` in what it says.
    """
    lately = Ge("created_at", seconds_after(now, -WINDOW_S))
    source: dict[str, Any] = {"actor_guid": actor.guid, "address": actor.address, "client": actor.client}
    newest: dict[str, Any] = {"order": ("-created_at",), "limit": _LOOKED_AT}
    found = tx.all(AuditEvent, lately, target_guid=target_guid, type=event_type, **newest, **source)
    return any(data.items() <= event.data.items() for event in found)
