"""Who read an app's environment variables: an audit event of each reader, at most once an hour from one source.

Programs look every few seconds, and what is written stays for a year; a source that was not seen lately is told anew.
"""

from typing import Final

from paasd.model.apps import need_app
from paasd.model.arguments import Actor, Arguments, seconds_after
from paasd.model.events import record_app_event
from paasd.model.records import App, AuditEvent
from paasd.state import Ge, ReadTx, Tx, operation

SHOWN: Final = "audit.app.environment.show"
WINDOW_S: Final = 3600


class RecordEnvironmentShown(Arguments):
    """Arguments of `record_environment_shown`."""

    app_guid: str
    actor: Actor


@operation("app.record_environment_shown", version=1)
def record_environment_shown(tx: Tx, args: RecordEnvironmentShown) -> App:
    """The audit event of somebody who reads the variables, unless there is one. Raises NotFound."""
    app = need_app(tx, args.app_guid)
    if not shown_lately(tx, args.app_guid, args.actor, tx.now):
        record_app_event(tx, SHOWN, args.actor, app)
    return app


def shown_lately(tx: ReadTx, app_guid: str, actor: Actor, now: str) -> bool:
    """Whether that they read it, from the same address by the same client, was told within the hour before `now`."""
    lately = Ge("created_at", seconds_after(now, -WINDOW_S))
    source = {"actor_guid": actor.guid, "address": actor.address, "client": actor.client}
    return tx.exists(AuditEvent, lately, target_guid=app_guid, type=SHOWN, **source)
