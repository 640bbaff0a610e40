"""Who read an app's environment variables: an audit event of each reader, at most once an hour from one source."""

from typing import Final

from paasd.model.apps import need_app
from paasd.model.arguments import Actor, Arguments
from paasd.model.events import record_app_event
from paasd.model.records import App
from paasd.model.told import told_lately
from paasd.state import ReadTx, Tx, operation

SHOWN: Final = "audit.app.environment.show"


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
    return told_lately(tx, SHOWN, app_guid, actor, now)
