"""What builds keep for the next one. It counts for one generation, so clearing it is a number that every node reads.

An app's build finds package caches, former droplets and layers of its own generation alone. Nodes delete the others.
"""

from typing import Final

from paasd.model.apps import ChangeApp, need_app
from paasd.model.arguments import Actor, Arguments
from paasd.model.auditing import difference
from paasd.model.events import record_app_event, record_event
from paasd.model.records import App, Layer
from paasd.model.settings import read_setting, set_setting
from paasd.state import Ne, Portion, ReadTx, Tx, operation

SETTING: Final = "build_caches"


def generation(tx: ReadTx, app: App) -> str:
    """Of what the app's builds keep; empty as long as nobody has cleared anything."""
    return _generation(read_setting(tx, SETTING), app)


def generations(tx: ReadTx) -> dict[str, str]:
    """That of each app by guid."""
    everybodys = read_setting(tx, SETTING)
    return {app.guid: _generation(everybodys, app) for app in tx.all(App)}


def _generation(everybodys: str, app: App) -> str:
    return f"{everybodys or 0}.{app.cache_generation}" if everybodys or app.cache_generation else ""


@operation("app.clear_build_cache", version=1)
def clear_app_cache(tx: Tx, args: ChangeApp) -> App:
    """The app's next build begins with nothing. Raises NotFound."""
    app = need_app(tx, args.app_guid)
    cleared = tx.update(app, cache_generation=app.cache_generation + 1)
    record_app_event(tx, "audit.app.clear_buildpack_cache", args.actor, cleared, difference(app, cleared))
    return cleared


class ClearCaches(Arguments):
    """Arguments of `clear_caches`."""

    actor: Actor


@operation("platform.clear_build_caches", version=1)
def clear_caches(tx: Tx, args: ClearCaches) -> None:
    """The next build of every app begins with nothing."""
    former = int(read_setting(tx, SETTING, "0"))
    set_setting(tx, SETTING, str(former + 1))
    record_event(
        tx,
        "platform.build_caches.clear",
        args.actor,
        target_type="setting",
        target_guid=SETTING,
        target_name=SETTING,
        data={"before": {"generation": former}, "after": {"generation": former + 1}},
    )


class ForgetLayers(Arguments):
    """Arguments of `forget_layers`."""


@operation("layer.forget", version=1)
def forget_layers(tx: Tx, args: ForgetLayers) -> bool:
    """Forget a portion of the layers that builds of spaces share; True when none is left. Droplets keep theirs."""
    return Portion(tx).clear(Layer, Ne("organization_guid", None))
